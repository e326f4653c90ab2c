"""Writes a small data directory with the gateway of this checkout, to be kept as a test file.

Run it once for each release, from the root of the repository::

    python -m tests.support.write_data_dir

It writes two archives to ``tests/data``, of a single process and of two workers, such as
``data_dir_0_1_0.tar.gz`` and ``data_dir_0_1_0_workers.tar.gz``, and beside each a JSON file with
the facts that the gateway reported about it. `tests.system.test_old_data_dir` opens them with the
current gateway. So the files of a version are never written again: the script replaces no file.

The script uses only the command line and HTTP, so that it works with any release. An archive holds
``config.toml`` and ``data/``. `Facts` describes the JSON.

The gateway runs with its clock set back to 1 March 2025. So the files are old from the first day.
A test that opens them cannot depend on their age, and no clock is behind them.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, TypedDict

from tests.support.data_dir_events import ERASED, SUPPRESSED, Call, Plan, config_of
from tests.support.gateway_process import GatewayProcess
from tests.support.receiver import Receiver
from tests.support.waiting import wait_until

__all__ = ["DATA", "Facts", "send"]

_ROOT = Path(__file__).parent.parent.parent
DATA = _ROOT / "tests" / "data"

_AGE_SECONDS = int(time.time() - datetime(2025, 3, 1, 10, tzinfo=UTC).timestamp())
_CLOCK = f"""\
import time

_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() - {_AGE_SECONDS}
time.time_ns = lambda: _time_ns() - {_AGE_SECONDS} * 10**9
"""
"""Code that each Python process with this file on its path runs at its start."""


class Facts(TypedDict):
    """Facts about a data directory, as reported by the gateway that wrote it.

    Commands ran on the stopped gateway, unless noted.

    Attributes:
        version: of the gateway.
        workers: number of workers.
        ledger: output of `gateway ledger`.
        dead: output of `gateway dead show`, the newest first.
        audit: output of `gateway audit`, the newest first.
        suppressed: ids, from `gateway suppress list`.
        segments: output of `gateway queue inspect` for each worker, without times.
        rollouts: output of `gateway rollout list`.
        decisions: from `gateway rollout report`.
        regulations: output of `gateway erase --list`, from the running gateway.
        replays: output of `gateway replay --status`, from the running gateway.
        lives: output of `gateway why`, for one id in each state at each destination.
        places: state by destination for each stored ``source/id``, from `gateway why`.
        arms: for each user linked to a visitor, the state of the user's last event at ``canary``.
        taken: the events, as ``source/id``, that each path of the receiver accepted.
        accepted: ids that each source accepted, according to the plan.
        erased: the erased ones of these ids; half of them were pending at ``down``.
        discarded: the code of each id that was not stored, according to the plan.
    """

    version: str
    workers: int
    ledger: dict[str, Any]
    dead: list[dict[str, Any]]
    audit: list[dict[str, Any]]
    suppressed: list[str]
    segments: list[list[dict[str, Any]]]
    rollouts: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    regulations: list[dict[str, Any]]
    replays: list[str]
    lives: dict[str, dict[str, Any]]
    places: dict[str, dict[str, str]]
    arms: dict[str, str]
    taken: dict[str, list[str]]
    accepted: dict[str, list[str]]
    erased: list[str]
    discarded: dict[str, str]


def send(url: str, call: Call) -> None:
    """Sends a request over a new connection, and asserts that it is answered 200."""
    body = json.dumps(call.body, separators=(",", ":")).encode()
    headers = {"Connection": "close"}
    if call.key:
        headers["Authorization"] = "Basic " + b64encode(f"{call.key}:".encode()).decode()
    if call.packed:
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    request = urllib.request.Request(url + call.path, body, headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200


def main() -> None:
    """Writes the missing files."""
    with tempfile.TemporaryDirectory(prefix="clock-") as clock:
        (Path(clock) / "sitecustomize.py").write_text(_CLOCK)
        os.environ["PYTHONPATH"] = os.pathsep.join((clock, str(_ROOT)))
        _write_missing()


def _write_missing() -> None:
    version = _run("--version", folder=_ROOT).split()[-1]
    for workers in (1, 2):
        name = f"data_dir_{version.replace('.', '_')}" + ("_workers" if workers > 1 else "")
        archive, facts_file = DATA / f"{name}.tar.gz", DATA / f"{name}.json"
        if archive.exists() or facts_file.exists():
            print(f"{archive.name} is there, and is not made again")
            continue
        with tempfile.TemporaryDirectory(prefix="old-") as folder:
            facts = _write(Path(folder), workers, version)
            archive.write_bytes(_pack(Path(folder), ["config.toml", "data"]))
        facts_file.write_text(_text_of(facts))
        print(f"{archive.name}: {archive.stat().st_size:,} bytes")


# -- the running gateway ------------------------------------------------------------------


def _write(folder: Path, workers: int, version: str) -> Facts:
    plan = Plan.make(workers)
    with Receiver() as receiver:
        receiver.broken = {"/crm", "/mailer"}
        os.environ["RECEIVER"] = receiver.url
        python = Path(sys.executable)
        with GatewayProcess(folder, config_of(workers), python) as gateway:
            _run("erase", "--user", SUPPRESSED, "--suppress", "--internal", "--yes", folder=folder)
            _send_all(gateway, plan.first)
            _wait_settled(gateway, failing=())
            receiver.down.add("/down")
            if workers == 1:
                _decide(folder, "promote", "ten percent were well")
            _send_all(gateway, plan.then)
            _wait_settled(gateway, failing=("down",))
            assert receiver.refused, "the destination that is down was never tried"
            _run("erase", "--user", ERASED, "--yes", folder=folder, code=1)  # by hand at webhooks
            again = ("replay", "-d", "table", "--from", "2025-01-01", "--event", "Order Completed")
            _run(*again, folder=folder)
            letters = _lines("dead", "show", "-d", "mailer", "--json", folder=folder)
            _run("dead", "drop", str(letters[-1]["id"]), "--yes", folder=folder)
            if workers == 1:
                _decide(folder, "hold", "until the new release")
            _wait_settled(gateway, failing=("down",))
            regulations = _json("erase", "--list", "--json", folder=folder)
            replays = _run("replay", "--status", folder=folder).splitlines()
            assert gateway.stop() == 0, gateway.stderr
        taken = receiver.taken
    facts = _ask(folder, workers, plan)
    arms = {user: facts["places"][f"backend/{id_}"]["canary"] for user, id_ in plan.arms.items()}
    found = Facts(
        version=version,
        workers=workers,
        regulations=regulations,
        replays=replays,
        arms=arms,
        taken=taken,
        accepted=plan.accepted,
        erased=plan.erased,
        discarded=plan.discarded,
        **facts,
    )
    _check(found, plan)
    return found


def _send_all(gateway: GatewayProcess, calls: Iterable[Call]) -> None:
    for call in calls:
        send(gateway.url, call)


def _decide(folder: Path, action: str, reason: str) -> None:
    _run("rollout", action, "checkout", "--reason", reason, folder=folder)


def _wait_settled(gateway: GatewayProcess, failing: Iterable[str]) -> None:
    """Waits until every event was tried; pending events wait in a retry lane or are not sent."""

    def settled() -> bool:
        found = gateway.get("/health")["destinations"]
        return all(
            one["pending_events"] == one["waiting_events"]
            for id_, one in found.items()
            if id_ not in failing
        ) and all(found[id_]["status"] == "retrying" for id_ in failing)

    wait_until(settled, what="all events have been tried")
    # An event that fails twice is dead; a retry comes within a second.
    wait_until(
        lambda: gateway.get("/health")["destinations"]["mailer"]["waiting_events"] == 0,
        what="the mailer has given up all waiting events",
    )


# -- the stopped gateway ------------------------------------------------------------------


def _ask(folder: Path, workers: int, plan: Plan) -> dict[str, Any]:
    """Runs the commands on the files."""
    folders = ["data", *(f"data/worker-{number}" for number in range(1, workers))]
    stored = [id_ for ids in plan.accepted.values() for id_ in ids]
    every = sorted({*stored, *plan.discarded})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        lives = dict(zip(every, pool.map(lambda id_: _life(id_, folder), every), strict=True))
    ramp = workers == 1
    report = _json("rollout", "report", "checkout", "--json", folder=folder) if ramp else {}
    return {
        "ledger": _json("ledger", "--json", folder=folder),
        "dead": _lines("dead", "show", "--json", folder=folder),
        "audit": _lines("audit", "--json", folder=folder),
        "suppressed": _run("suppress", "list", folder=folder).splitlines(),
        "segments": [
            [
                {what: segment[what] for what in segment if what != "last_written"}
                for segment in _lines(
                    "queue", "inspect", "--data-dir", one, "--json", folder=folder
                )
            ]
            for one in folders
        ],
        "rollouts": _json("rollout", "list", "--json", folder=folder) if ramp else [],
        "decisions": report.get("decisions", []),
        "lives": _one_of_each(lives),
        "places": {
            f"{stored['source']}/{id_}": {
                place["destination"]: place["state"] for place in stored["places"]
            }
            for id_, life in lives.items()
            for stored in life["stored"]
        },
    }


def _one_of_each(lives: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns a few lives with one example for each outcome of events."""
    first: dict[tuple[str, str], str] = {}
    for id_, life in lives.items():
        for one in life["discarded"]:
            first.setdefault(("", one["code"]), id_)
        for stored in life["stored"]:
            for place in stored["places"]:
                first.setdefault((place["destination"], place["state"]), id_)
    return {id_: lives[id_] for id_ in sorted(set(first.values()))}


def _life(id_: str, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = _json("why", id_, "--json", folder=folder, code=None)
    return found


def _check(found: Facts, plan: Plan) -> None:
    """Asserts that the gateway followed the plan, and that the files hold what the test needs."""
    sources = {one["id"]: one for one in found["ledger"]["sources"]}
    for id_, ids in plan.accepted.items():
        assert sources[id_]["accepted"] == len(ids), sources
        assert sources[id_]["duplicate"] == plan.duplicates[id_], sources
    codes = Counter(
        code for one in sources.values() for code in Counter(one["discarded"]).elements()
    )
    assert codes == Counter(plan.discarded.values()), sources
    destinations = {one["id"]: one for one in found["ledger"]["destinations"]}
    states: dict[str, Counter[str]] = {id_: Counter() for id_ in destinations}
    for places in found["places"].values():
        for id_, state in places.items():
            states[id_][state] += 1
    # Erased events are unknown to `gateway why`, but those in the queue still count.
    states["down"]["queued"] += len(plan.erased) // 2
    for id_, one in destinations.items():
        assert states[id_]["waiting"] == one["waiting"], (id_, states, one)
        assert states[id_]["queued"] == one["queued"], (id_, states, one)
    assert destinations["down"]["queued"], destinations
    assert destinations["crm"]["waiting"], destinations
    assert set(found["arms"].values()) == {"delivered", "filtered"}, found["arms"]
    assert {letter["reason"] for letter in found["dead"]} == {"rejected", "expired"}
    assert all(len(segments) > 1 for segments in found["segments"]), found["segments"]


# -- commands and files ---------------------------------------------------------------


def _run(*arguments: str, folder: Path, code: int | None = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert code in (None, done.returncode), f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout


def _json(*arguments: str, folder: Path, code: int | None = 0) -> Any:
    return json.loads(_run(*arguments, folder=folder, code=code))


def _lines(*arguments: str, folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _run(*arguments, folder=folder).splitlines()]


def _pack(folder: Path, names: Iterable[str]) -> bytes:
    """Makes an archive that depends on the files only, not on their owner or order."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = int(member.mtime) - _AGE_SECONDS
        return member

    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in names:
            archive.add(folder / name, name, filter=plain)  # a folder's members in order
    return gzip.compress(packed.getvalue(), mtime=0)


def _text_of(facts: Facts) -> str:
    """Encodes JSON with a line for each entry of each fact."""
    parts = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            inner = [f"{json.dumps(key)}: {json.dumps(one)}" for key, one in value.items()]
            text = "{\n  " + ",\n  ".join(inner) + "\n }"
        elif isinstance(value, list) and value:
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        else:
            text = json.dumps(value)
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    main()
