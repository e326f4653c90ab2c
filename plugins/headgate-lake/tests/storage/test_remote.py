"""A lake in object storage: uploads, copies, other machines, and storage that fails."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway import Batch, Misconfigured, Retryable
from gateway.testing import ManualClock, make_config, make_event
from headgate_lake import Lake, LakeConfig
from headgate_lake.storage import StorageError, remote
from headgate_lake.verification import verify_lake

BatchOf = Callable[..., Batch]


def big(name: str) -> Any:
    """Makes an event that takes a quarter of a megabyte in a file."""
    text = random.Random(name).randbytes(250_000).hex()
    return make_event(message_id=name, properties={"text": text})


def copies(home: Any) -> set[str]:
    return {str(path.relative_to(home.root)) for path in (home.root / "events").rglob("*.parquet")}


def test_another_machine_reads_the_lake_and_follows(
    far: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without a manifest gets that of object storage, and newer ones later."""
    far.write([make_event(message_id="a")])
    far.upload()
    there = far.elsewhere("there")
    assert far.ids(there) == ["a"]
    far.write([make_event(message_id="b")], first=1)
    far.upload()
    assert far.ids(there) == ["a"]
    monkeypatch.setattr(remote, "FOLLOW_SECONDS", 0)
    assert far.ids(there) == ["a", "b"]


def test_what_is_not_uploaded_is_in_no_manifest_elsewhere(far: Any) -> None:
    """The manifest in object storage names only files that are there."""
    far.write([make_event(message_id="a")])
    far.upload()
    far.write([make_event(message_id="b")], first=1)
    assert far.ids(far.elsewhere("there")) == ["a"]
    assert far.ids() == ["a", "b"]
    assert Lake.open(far.storage).state().waiting_files == 1


def test_a_manifest_that_was_written_here_is_never_replaced(
    far: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that follows stops to do so once somebody writes to it."""
    far.write([make_event(message_id="a")])
    far.upload()
    monkeypatch.setattr(remote, "FOLLOW_SECONDS", 0)
    far.root, before = far.root.parent / "there", far.root
    far.keys["storage"]["folder"] = "there"
    assert far.ids() == ["a"]
    far.write([make_event(message_id="b")], first=1)
    assert far.ids() == ["a", "b"]
    with pytest.raises(StorageError, match=f"with the folder {before} writes to this lake"):
        far.upload()
    far.store.delete("owner")
    far.upload()
    assert far.ids(far.elsewhere("third")) == ["a", "b"]


def test_many_uploads_are_done_in_portions(far: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run uploads some files at most; the manifest follows once all that it names are there."""
    monkeypatch.setattr(remote, "MOST_UPLOADS", 2)
    for number in range(3):
        far.write([make_event(message_id=f"m{number}")], first=number)
    first = far.storage.sync(0, grace_ms=0)
    assert (first.uploaded, first.more) == (2, True)
    assert "manifest.sqlite" not in far.objects()
    second = far.storage.sync(0, grace_ms=0)
    assert (second.uploaded, second.more) == (1, False)
    assert far.ids(far.elsewhere("there")) == ["m0", "m1", "m2"]


def test_a_file_that_is_lost_before_its_upload_is_named(far: Any) -> None:
    """The other files are uploaded, and the manifest there does without the lost one."""
    far.write([make_event(message_id="a")])
    (file,) = (far.root / "events").rglob("*.parquet")
    far.write([make_event(message_id="b")], first=1)
    file.unlink()
    assert far.storage.sync(0, grace_ms=0).lost == [str(file.relative_to(far.root))]
    assert far.ids(far.elsewhere("there")) == ["b"]


def test_copies_stay_within_their_bound(far: Any) -> None:
    """The copies that were read longest ago go, but none that a reader needs."""
    for number in range(5):
        far.write([big(f"m{number}")], first=number)
    lake = Lake.open(far.storage)
    files = lake.files()
    assert 3 * files[0].bytes < 1_000_000 < 5 * files[0].bytes
    assert len(copies(far)) == 5, "nothing is uploaded, so nothing is a copy"
    with lake.reading(files[:2]) as paths:
        far.upload()
        assert len(copies(far)) < 5
        assert all(path.exists() for path in paths)
        with lake.reading(files[4:]) as others:
            assert others[0].exists()
            with pytest.raises(StorageError, match="`cache_max_bytes` is 1,000,000"):
                lake.reading(files[2:]).__enter__()
    with lake.reading(files[2:5]):
        assert copies(far) == {file.path for file in files[2:5]}


def test_a_killed_reader_holds_no_copy(far: Any) -> None:
    """Pins count only while their process runs."""
    far.write([big("a")])
    far.upload()
    with Lake.open(far.storage).reading(Lake.open(far.storage).files()):
        (pin,) = (far.root / "cache" / "pins").iterdir()
        left = pin.read_bytes()
    (far.root / "cache" / "pins" / "killed").write_bytes(left)
    (far.root / "cache" / "parts" / "killed.parquet").write_bytes(b"half")
    far.upload()
    assert list((far.root / "cache" / "pins").iterdir()) == []
    assert list((far.root / "cache" / "parts").iterdir()) == []


def test_a_damaged_copy_is_brought_anew(far: Any) -> None:
    """A copy that was changed here is replaced by the object, and nothing is set aside."""
    far.write([make_event(message_id="a")])
    far.upload()
    (copy,) = copies(far)
    (far.root / copy).write_bytes(b"something else")
    with far.session_closing() as session:
        assert session.problem(session.manifest.files()[0]) == ""
    assert far.ids() == ["a"]


async def test_delivery_goes_on_while_uploads_fail_and_then_waits(
    tmp_path: Path, make: Any, batch_of: BatchOf, clock: ManualClock
) -> None:
    """Files wait in the folder up to `waiting_max_bytes`; beyond it delivery waits, and goes on."""
    bucket = tmp_path / "mounted"
    bucket.mkdir()
    storage = {"folder": "lake", "waiting_max_bytes": 1_000_000, "upload_seconds": 3600}
    lake = await make(path=f"file://{bucket}", storage=storage)
    bucket.rename(tmp_path / "away")
    bucket.touch()
    events = [big(f"m{number}") for number in range(5)]
    await lake.send(batch_of(events))
    with pytest.raises(Retryable):
        await lake._uploader.round()
    with pytest.raises(Retryable, match="wait for their upload, and `waiting_max_bytes`"):
        await lake.send(batch_of([big("late")], first=5))
    bucket.unlink()
    (tmp_path / "away").rename(bucket)
    await lake._uploader.round()
    await lake.send(batch_of([big("late")], first=5))
    assert Lake.open(tmp_path / "lake").rows == 6


async def test_a_lake_of_another_gateway_is_refused_at_the_start(
    tmp_path: Path, make: Any, far: Any
) -> None:
    """A gateway does not start with the object storage of another one."""
    far.write([make_event()])
    far.upload()
    storage = dict(far.keys["storage"], folder="other")
    with pytest.raises(Misconfigured, match="give each gateway a `path` of its own"):
        await make(path=far.keys["path"], storage=storage)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"path": "ftp://bucket/x"}, "one of s3, gs, az, file"),
        ({"path": "s3://"}, "is no object storage"),
        ({"path": "s3://b", "storage": {"endpoint": "minio"}}, "no address like https://host"),
        ({"path": "data/lake", "storage": {"region": "eu-1"}}, "is only for a `path` such as"),
    ],
)
def test_settings_that_do_not_fit_are_named(keys: dict[str, Any], message: str) -> None:
    """An unknown scheme, a path without a bucket, and `storage` without a scheme are errors."""
    with pytest.raises(Exception, match=message):
        make_config(LakeConfig, keys, "destinations.lake")


@pytest.mark.long
def test_errors_say_what_to_do(s3: Any, home_in: Any) -> None:
    """Wrong keys, missing rights, a missing bucket and a server that is down have own messages."""
    home = home_in("s3")
    home.write([make_event(message_id="a")])
    home.upload()
    for change, message, passing in (
        ({"access_key_id": "nobody"}, "the access key is unknown there", False),
        ({"secret_access_key": "wrong"}, "the secret key is wrong", False),
        ({"access_key_id": "read-only"}, "access is denied; the credentials must", False),
        ({"endpoint": "http://127.0.0.1:1"}, "cannot be reached", True),
    ):
        keys = home.keys["storage"] | change
        home.write([make_event()], first=1)
        with pytest.raises(StorageError, match=message) as found:
            home.storage_with(keys).sync(0, grace_ms=0)
        assert found.value.passing is passing
    home.keys["path"] = "s3://no-such-bucket/x"
    with pytest.raises(StorageError, match="the bucket does not exist; create it"):
        home.elsewhere("new").prepare(writes=True)


@pytest.mark.long
def test_a_server_that_comes_back_gets_everything(s3: Any, home_in: Any) -> None:
    """What was written while the server was down is uploaded afterwards, and reads can wait."""
    home = home_in("s3")
    home.write([make_event(message_id="a")])
    home.cold()
    s3.stop()
    try:
        home.write([make_event(message_id="b")], first=1)
        with pytest.raises(StorageError, match="cannot be reached"):
            home.upload()
        with ExitStack() as stack, pytest.raises(StorageError, match="cannot be reached"):
            lake = Lake.open(home.storage)
            stack.enter_context(lake.reading(lake.files()))
    finally:
        s3.start()
    until = time.monotonic() + 30
    while True:  # the server takes new objects before it finds the old ones again
        try:
            home.upload()
            break
        except StorageError as error:
            if not error.passing or time.monotonic() > until:
                raise
    assert home.ids() == ["a", "b"]
    assert home.ids(home.elsewhere("there")) == ["a", "b"]
    assert verify_lake(home.storage, 64_000_000).findings == []
