"""Deletion of users by Amplitude: jobs of days, asked for until they have run."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import Erasure, Misconfigured, Permanent, Retryable, Secret, Subjects
from gateway.testing import Answer, FakeVendor, make_context
from headgate_amplitude import AmplitudeConfig
from headgate_amplitude.destination import Amplitude

ADA = Subjects(frozenset({"ada"}))


@asynccontextmanager
async def running(vendor: FakeVendor, tmp_path: Path, **keys: Any) -> AsyncIterator[Amplitude]:
    keys = {"secret_key": Secret("the secret")} | keys
    config = AmplitudeConfig(api_key=Secret("the key"), url=vendor.url, **keys)
    destination = Amplitude(config, make_context(tmp_path))
    await destination.start()
    try:
        yield destination
    finally:
        await destination.stop()


def job(day: str, status: str = "staging") -> dict[str, Any]:
    """A job as in Amplitude's documentation."""
    whose = {"amplitude_id": 5, "requested_on_day": "2026-11-25", "requester": "headgate"}
    return {"day": day, "status": status, "amplitude_ids": [whose]}


async def test_users_are_put_into_a_job(tmp_path: Path) -> None:
    """The request has key and secret, and tolerates unknown users."""
    answer = Answer(json=job("2026-12-20"))
    async with FakeVendor(answer) as vendor, running(vendor, tmp_path) as destination:
        found = await destination.erase(ADA)
        assert (found.status, found.items, found.job) == ("RUNNING", 1, "2026-12-20")
        (request,) = vendor.requests
        assert (request.method, request.path) == ("POST", "/api/2/deletions/users")
        pair = b64encode(b"the key:the secret").decode()
        assert request.headers["Authorization"] == f"Basic {pair}"
        assert request.json() == {
            "user_ids": ["ada"],
            "requester": "headgate",
            "ignore_invalid_id": "True",
        }


async def test_jobs_are_asked_after_until_all_have_run(tmp_path: Path) -> None:
    """A hundred users are one request; the days of their jobs can differ."""
    first, second = job("2026-12-20"), job("2026-12-21")
    answers = [Answer(json=[first]), Answer(json=[second])]
    answers += [Answer(json=[job("2026-12-20", "done"), job("2026-12-21", "submitted")])]
    answers += [Answer(json=[job("2026-12-21", "done")])]
    async with FakeVendor(*answers) as vendor, running(vendor, tmp_path) as destination:
        found = await destination.erase(Subjects(frozenset(map(str, range(150)))))
        assert [len(request.json()["user_ids"]) for request in vendor.requests] == [100, 50]
        assert found.job == "2026-12-20,2026-12-21"
        found = await destination.erase(Subjects(), found.job)
        assert (found.status, found.job) == ("RUNNING", "2026-12-21")
        asked = "/api/2/deletions/users?start_day=2026-12-20&end_day=2026-12-22"
        assert vendor.requests[-1].path == asked
        found = await destination.erase(Subjects(), found.job)
        assert found == Erasure("FINISHED", detail="deleted by Amplitude")


async def test_nobody_is_known(tmp_path: Path) -> None:
    """An empty list of jobs means that the deletion is finished."""
    async with FakeVendor(Answer(json=[])) as vendor, running(vendor, tmp_path) as destination:
        assert (await destination.erase(ADA)).status == "FINISHED"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(403, b"ada"), Misconfigured),
        (Answer(429, b"ada"), Retryable),
        (Answer(500, b"ada"), Retryable),
        (Answer(400, b"invalid ids: ada"), Permanent),
        (Answer(json={"day": "ada"}), Misconfigured),
        (Answer(json="ada"), Misconfigured),
        (Answer(200, b"ada"), Misconfigured),
    ],
)
async def test_refusals(tmp_path: Path, answer: Answer, error: type[Exception]) -> None:
    """The status decides, and the vendor's text, which may name the user, is not shown."""
    async with FakeVendor(answer) as vendor, running(vendor, tmp_path) as destination:
        with pytest.raises(error) as caught:
            await destination.erase(ADA)
        assert "ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("subjects", "keys", "text"),
    [
        (ADA, {"secret_key": None}, "secret_key"),
        (Subjects(frozenset(), frozenset({"dev"})), {}, "anonymousId"),
    ],
)
async def test_what_is_for_a_person(
    tmp_path: Path, subjects: Subjects, keys: dict[str, Any], text: str
) -> None:
    """A deletion that a person must make sends nothing, and the report says why."""
    async with FakeVendor() as vendor, running(vendor, tmp_path, **keys) as destination:
        found = await destination.erase(subjects)
        assert found.status == "NOT_SUPPORTED"
        assert text in found.detail
        assert not vendor.requests
