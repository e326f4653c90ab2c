"""Processes that are killed while they upload, and disks that are full, lose nothing."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import pytest

from gateway.testing import make_event
from headgate_lake.manifest import Manifest
from headgate_lake.storage.bucket import NoObject
from headgate_lake.verification import verify_lake

# Delivery in small, with uploads: reads from its cursor, writes a batch, and then moves the cursor.
_WORKER = """
import sys
from pathlib import Path
import msgspec
from gateway import Batch, now_ms
from gateway.testing import make_config, make_event
from headgate_lake import LakeConfig
from headgate_lake.place import storage_of
from headgate_lake.upkeep import keep_up
from headgate_lake.writer import LakeWriter

root, end = Path(sys.argv[1]), int(sys.argv[2])
config = make_config(LakeConfig, msgspec.json.decode(sys.argv[3]), "destinations.lake")
storage = storage_of(root, config)
cursor_file = root.parent / "cursor"
cursor = int(cursor_file.read_text()) if cursor_file.exists() else 0
writer = LakeWriter(storage, 64_000_000, now_ms)
while cursor < end:
    offsets = range(cursor, min(cursor + 5, end))
    events = [make_event(message_id=f"m{offset:06}") for offset in offsets]
    writer.write(Batch(events, offsets, queue_id="q"), 0)
    cursor = offsets.stop
    keep_up(storage, config, now_ms)
    storage.sync(now_ms(), grace_ms=0)
    aside = cursor_file.with_suffix(".new")
    aside.write_text(str(cursor))
    aside.rename(cursor_file)
writer.close()
"""


def begin(home: Any, end: int) -> subprocess.Popen[bytes]:
    keys = msgspec.json.encode(home.keys | {"merge_files": 4, "late_hours": 10**6}).decode()
    return subprocess.Popen([sys.executable, "-c", _WORKER, str(home.root), str(end), keys])


def check_elsewhere(home: Any, name: str) -> list[str]:
    """Opens the lake on another machine, where every file of its manifest must be there."""
    there = home.elsewhere(name)
    there.prepare(writes=False)
    if not (there.root / "manifest.sqlite").exists():
        return []  # nothing was uploaded before the kill
    with closing(Manifest(there.root)) as manifest:
        named = {file.path for file in manifest.files()}
    assert named <= set(home.objects())
    ids: list[str] = home.ids(there)
    assert len(ids) == len(set(ids))
    shutil.rmtree(there.root)
    return ids


def check_kills(home: Any, kills: int, seed: int) -> None:
    """Kills a worker at random moments, lets it finish, and compares."""
    chance = random.Random(seed)
    seen = 0
    for number in range(kills):
        worker = begin(home, 10_000_000)
        time.sleep(chance.uniform(1.0, 3.0))
        worker.kill()
        worker.wait()
        ids = check_elsewhere(home, f"there-{number}")
        assert len(ids) >= seen
        seen = len(ids)
    cursor = home.root.parent / "cursor"
    end = (int(cursor.read_text()) if cursor.exists() else 0) + 10
    assert begin(home, end).wait() == 0
    expected = [f"m{offset:06}" for offset in range(end)]
    assert check_elsewhere(home, "at-the-end") == expected
    assert verify_lake(home.storage, 64_000_000).findings == []
    assert {key for key in home.objects() if key.startswith("events/")} == home.held()


@pytest.mark.long
@pytest.mark.timeout(300)
def test_kills_while_uploading_lose_nothing(home_in: Callable[[str], Any]) -> None:
    """After each kill the manifest in object storage is whole, and the next run goes on."""
    check_kills(home_in("s3"), kills=10, seed=1)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_kills_with_a_mounted_folder_lose_nothing(home_in: Callable[[str], Any]) -> None:
    """The same for a mounted folder."""
    check_kills(home_in("mounted"), kills=10, seed=2)


def test_a_kill_between_an_upload_and_its_note_changes_nothing(far: Any) -> None:
    """What was uploaded without a note is uploaded again, under the same name."""
    far.write([make_event(message_id="a")])
    (file,) = (far.root / "events").rglob("*.parquet")
    far.store.put(str(file.relative_to(far.root)), b"half of an upload that nobody noted")
    assert verify_lake(far.storage, 64_000_000).findings == []
    far.upload()
    far.cold()
    assert far.ids(far.elsewhere("there")) == ["a"]
    with pytest.raises(NoObject):
        far.storage._bucket.read("nothing")


# A limit on the size of files is what a program without special rights has for a full disk.
_FULL = """
import resource, signal, sys
from pathlib import Path
from gateway import Batch, DeliveryError, now_ms
from gateway.testing import make_event
from headgate_lake.failures import explained
from headgate_lake.parquet import Engine
from headgate_lake.session import Session
from headgate_lake.writer import LakeWriter

root, step = Path(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = LakeWriter(root, 128_000_000, now_ms)

def limit(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

def full_before(owner, name):
    work = getattr(owner, name)
    def limited(*args):
        limit(1000)
        return work(*args)
    setattr(owner, name, limited)
    return lambda: setattr(owner, name, work)

def write(first):
    events = [make_event(message_id=f"m{first + n}") for n in range(50)]
    batch = Batch(events, range(first, first + 50), queue_id="q")
    explained(root, lambda: writer.write(batch, 0))

write(0)
owner, name = {
    "lines": (LakeWriter, "_stage"),
    "Parquet": (Engine, "write_staged"),
    "manifest": (Session, "enter"),
}[step]
restore = full_before(owner, name)
for _ in range(2):
    try:
        write(50)
    except DeliveryError as error:
        print(type(error).__name__, error)
    else:
        print("written")
    limit(resource.RLIM_INFINITY)
print(sorted(path.name for path in writer.open().writing.path.rglob("*")))
restore()
write(50)
write(50)
writer.close()
"""


@pytest.mark.parametrize(
    "step",
    ["Parquet", *(pytest.param(step, marks=pytest.mark.long) for step in ("lines", "manifest"))],
)
def test_a_full_disk_costs_no_event(home_in: Callable[[str], Any], step: str) -> None:
    """A batch that does not fit is refused with the reason, leaves nothing, and goes in later."""
    home = home_in("folder")
    found = subprocess.run(
        [sys.executable, "-c", _FULL, str(home.root), step],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    *refusals, left = found.stdout.splitlines()
    for refusal in refusals:
        assert refusal.startswith("Retryable "), refusal
        assert str(home.root) in refusal
        assert refusal.endswith(("File too large", "disk I/O error")), refusal
    assert left == "['lock']"
    assert home.ids() == sorted(f"m{number}" for number in range(100))
    assert verify_lake(home.storage, 64_000_000).findings == []
