"""Regulations: kinds, statuses, timed retries and failing places."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway import Erasure, Permanent, Retryable, Subjects
from gateway.components.isolation import left_behind
from gateway.errors import ConfigError
from gateway.privacy.regulations import KINDS, Part, Report
from gateway.runtime.gateway import Gateway
from gateway.state import Commit, Waiting
from gateway.testing import ManualClock, make_event
from tests.support.scripted_vendor import ADA, ScriptedVendor, vendor_gateway
from tests.support.waiting import until


async def carried_out(gateway: Gateway, kind: Any = "DELETE_ONLY", whose: Subjects = ADA) -> Report:
    made = await gateway.regulations.create(kind, whose, "tester")
    found = await gateway.regulations.wait(made.id, 20)
    assert found is not None
    return found


def place(report: Report, name: str = "destination vendor") -> tuple[str, str]:
    return next((p.status, p.detail) for p in report.places if p.place == name)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_each_kind_does(tmp_path: Path, kind: str) -> None:
    """Each kind suppresses, erases here and erases at destinations as it should."""
    vendor = ScriptedVendor(Erasure("FINISHED"))
    async with vendor_gateway(tmp_path, vendor) as gateway:
        if kind == "UNSUPPRESS":
            await asyncio.to_thread(gateway.suppressed.add, ["ada-77af"])
        report = await carried_out(gateway, kind)
        assert report.status == "FINISHED"
        suppresses = kind.startswith("SUPPRESS")
        assert list(gateway.suppressed) == (["ada-77af"] if suppresses else [])
        names = {p.place for p in report.places}
        changed = [p.items for p in report.places if p.place == "suppression"]
        assert changed == ([1] if "SUPPRESS" in kind else [])
        assert ("queue" in names) is ("DELETE" in kind)
        assert bool(vendor.asked) is (kind in ("DELETE_ONLY", "SUPPRESS_WITH_DELETE"))
    with closing(sqlite3.connect(tmp_path / "data" / "state.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM regulation_subjects").fetchone() == (0,)
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file() and "suppressed" not in path.name:
            assert b"ada-77af" not in path.read_bytes(), path
    if kind == "UNSUPPRESS":
        for path in (tmp_path / "data").glob("suppressed*"):
            assert b"ada-77af" not in path.read_bytes()


@pytest.mark.parametrize(
    ("answer", "status", "overall"),
    [
        (Erasure("FINISHED", 3), "FINISHED", "FINISHED"),
        (Erasure("NOT_SUPPORTED", detail="by hand"), "NOT_SUPPORTED", "PARTIAL_SUCCESS"),
        (Erasure("RUNNING", job="77"), "RUNNING", "RUNNING"),
        (Retryable("later"), "RUNNING", "RUNNING"),
        (Permanent("never"), "FAILED", "FAILED"),
        (KeyError("ada-77af"), "FAILED", "FAILED"),
    ],
)
async def test_what_an_answer_means(tmp_path: Path, answer: Any, status: str, overall: str) -> None:
    """A vendor's answer sets the status of place and regulation; a defect's text is not shown."""
    async with vendor_gateway(tmp_path, ScriptedVendor(answer)) as gateway:
        report = await carried_out(gateway)
        assert (place(report)[0], report.status) == (status, overall)
        assert report.settled
        assert "ada" not in place(report)[1]


async def test_a_vendor_is_asked_until_it_is_done(tmp_path: Path) -> None:
    """A vendor is asked when it is due, by its job, across restarts, without the user's id."""
    clock = ManualClock()
    vendor = ScriptedVendor(Erasure("RUNNING", job="77", ask_again_seconds=3600))
    async with vendor_gateway(tmp_path, vendor, clock) as gateway:
        number = (await carried_out(gateway)).id
    assert b"ada-77af" not in (tmp_path / "data" / "state.sqlite").read_bytes()
    async with vendor_gateway(tmp_path, vendor, clock):
        await asyncio.sleep(0)
    assert len(vendor.asked) == 1
    clock.advance(3601)
    vendor.script = [Erasure("FINISHED", detail="deleted")]
    async with vendor_gateway(tmp_path, vendor, clock) as gateway:
        while (report := await gateway.regulations.report(number)) is not None:
            if report.status == "FINISHED":
                break
            await asyncio.sleep(0.01)
    assert vendor.asked[1] == (Subjects(), "77")


async def test_what_is_no_longer_in_config_is_waited_for_no_more(tmp_path: Path) -> None:
    """A removed destination that was not done is named, and the regulation ends."""
    clock = ManualClock()
    vendor = ScriptedVendor(Erasure("RUNNING", job="77", ask_again_seconds=3600))
    async with vendor_gateway(tmp_path, vendor, clock) as gateway:
        number = (await carried_out(gateway)).id
        await gateway.regulations.stop()
        del gateway.deliveries.built["vendor"]
        clock.advance(3601)
        await gateway.regulations.start()
        async with asyncio.timeout(10):
            while (report := await gateway.regulations.report(number)) is not None:
                if report.status != "RUNNING":
                    break
                await asyncio.sleep(0.01)
    assert report is not None
    assert report.status == "PARTIAL_SUCCESS"
    assert place(report) == (
        "NOT_SUPPORTED",
        "it is no longer in config: delete the users there by hand",
    )


async def test_a_part_is_written_down_once(tmp_path: Path) -> None:
    """A part is created once, even if the leading shard asks twice at a time."""
    part = Part.of("DELETE_INTERNAL", "a-group", "tester", ADA)
    async with vendor_gateway(tmp_path, ScriptedVendor()) as gateway:
        take = gateway.regulations.take_part
        one, two = await asyncio.gather(take(part), take(part))
        assert one.id == two.id


async def test_what_failed_is_tried_again_when_asked(tmp_path: Path) -> None:
    """A retry repeats the failed places only, with the kept ids."""
    vendor = ScriptedVendor(Permanent("no"), Erasure("FINISHED"))
    async with vendor_gateway(tmp_path, vendor) as gateway:
        report = await carried_out(gateway)
        await gateway.regulations.retry(report.id)
        found = await gateway.regulations.wait(report.id, 20)
        while found is not None and found.status != "FINISHED":
            found = await gateway.regulations.wait(report.id, 20)
        assert [asked for asked, _ in vendor.asked] == [ADA, ADA]
        assert await gateway.regulations.retry(99) is None


async def test_one_that_failed_can_be_forgotten(tmp_path: Path) -> None:
    """Deleting a failed regulation removes its ids from every byte of the file."""
    async with vendor_gateway(tmp_path, ScriptedVendor(Permanent("no"))) as gateway:
        report = await carried_out(gateway)
        assert await gateway.regulations.delete(report.id)
        assert not await gateway.regulations.delete(report.id)
        assert await gateway.regulations.all() == []
    assert b"ada-77af" not in (tmp_path / "data" / "state.sqlite").read_bytes()


@pytest.mark.parametrize(
    ("kind", "subjects", "message"),
    [
        ("DELETE_ONLY", Subjects(), "no ids"),
        ("DELETE_ONLY", Subjects(frozenset(map(str, range(5001)))), "5001 ids are more"),
        ("DELETE_ONLY", Subjects(frozenset({" "})), "blank"),
        ("DELETE_ONLY", Subjects(frozenset({"a\0b"})), "NUL"),
        ("SUPPRESS_ONLY", Subjects(frozenset(), frozenset({"a"})), "by userId only"),
    ],
)
async def test_what_nobody_could_carry_out(
    tmp_path: Path, kind: Any, subjects: Subjects, message: str
) -> None:
    """An impossible regulation is refused and not written down."""
    async with vendor_gateway(tmp_path, ScriptedVendor()) as gateway:
        with pytest.raises(ConfigError, match=message):
            await gateway.regulations.create(kind, subjects, "tester")
        assert await gateway.regulations.all() == []


async def test_five_thousand_at_once(tmp_path: Path) -> None:
    """A regulation takes up to 5,000 ids."""
    vendor = ScriptedVendor(Erasure("FINISHED"))
    async with vendor_gateway(tmp_path, vendor) as gateway:
        everybody = Subjects(frozenset(f"user {n}" for n in range(5000)))
        report = await carried_out(gateway, "SUPPRESS_WITH_DELETE", everybody)
        assert (report.status, report.subjects) == ("FINISHED", 5000)
        assert len(gateway.suppressed) == 5000


async def test_the_retry_lane_is_erased_and_the_ledger_balances(tmp_path: Path) -> None:
    """Erased waiting events count as filtered, also for a removed destination."""
    async with vendor_gateway(tmp_path, ScriptedVendor(Erasure("FINISHED"))) as gateway:
        for destination in ("vendor", "gone"):
            events = [make_event(user_id=user) for user in ("ada-77af", "bob", "ada-77af")]
            waiting = [
                Waiting.of(
                    event,
                    offset,
                    detail="HTTP 500",
                    attempts=1,
                    first_ms=0,
                    last_ms=0,
                    next_ms=0,
                    exchange="about ada-77af",
                )
                for offset, event in enumerate(events)
            ]
            await gateway.state.begin(destination, 0)
            await gateway.state.commit(Commit(destination, cursor=3, waiting=waiting))
        report = await carried_out(gateway)
        assert [p.items for p in report.places if p.place == "retry lanes"] == [4]
        for destination in ("vendor", "gone"):
            waiting_number, counts = await gateway.state.standing(destination)
            assert (waiting_number, counts.filtered) == (1, {"erased": 2})
            [left] = await gateway.state.waiting_at(destination, [1])
            assert left.exchange == ""
        assert await gateway.state.leaks() == []


class _Hangs(ScriptedVendor):
    """Hangs at its first erasure, for as long as the test says."""

    def __init__(self, *, stubborn: bool) -> None:
        super().__init__(Erasure("FINISHED", 1))
        self.go = asyncio.Event()
        self.stubborn = stubborn

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        for _ in range(100):
            try:
                async with asyncio.timeout(0.2):
                    await self.go.wait()
                break
            except TimeoutError:
                continue
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
        return await super().erase(subjects, job)


@pytest.mark.parametrize("stubborn", [False, True])
async def test_a_place_that_hangs_holds_up_no_other(
    tmp_path: Path, stubborn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vendor that hangs fails after the time limit, all else is done, and a retry works."""
    monkeypatch.setattr("gateway.components.isolation.CANCEL_SECONDS", 0.01)
    vendor = _Hangs(stubborn=stubborn)
    async with vendor_gateway(tmp_path, vendor, limit_seconds=0.05) as gateway:
        report = await carried_out(gateway)
        status, detail = place(report)
        assert (status, report.status) == ("FAILED", "FAILED")
        assert "server.erase_timeout_seconds" in detail
        assert {p.status for p in report.places if p.place != "destination vendor"} == {"FINISHED"}

        await gateway.regulations.retry(report.id)
        again = await gateway.regulations.wait(report.id, 20)
        assert again is not None
        assert ("an earlier try still hangs" in place(again)[1]) is stubborn

        vendor.go.set()
        await asyncio.sleep(0)
        await until(lambda: len(vendor.asked) == int(stubborn))
        vendor.script = [Erasure("FINISHED", 1)]
        await gateway.regulations.retry(report.id)
        done = await gateway.regulations.wait(report.id, 20)
        assert done is not None
        assert done.status == "FINISHED"


async def test_a_queue_that_hangs_holds_up_no_other_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rewrite of the queue that hangs fails after the time limit; the other places are done."""
    monkeypatch.setattr("gateway.components.isolation.CANCEL_SECONDS", 0.01)
    vendor = ScriptedVendor(Erasure("FINISHED", 1))
    go = threading.Event()
    async with vendor_gateway(tmp_path, vendor, limit_seconds=0.05) as gateway:
        erase = gateway.queue.store.erase

        def hang(*args: Any) -> Any:
            assert go.wait(20)
            return erase(*args)

        monkeypatch.setattr(gateway.queue.store, "erase", hang)
        report = await carried_out(gateway)
        failed = {p.place for p in report.places if p.status == "FAILED"}
        assert failed == {"queue"}
        assert place(report) == ("FINISHED", "")
        go.set()
        await until(lambda: not left_behind())
        vendor.script = [Erasure("FINISHED", 1)]
        await gateway.regulations.retry(report.id)
        done = await gateway.regulations.wait(report.id, 20)
        assert done is not None
        assert done.status == "FINISHED"
