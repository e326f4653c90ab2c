"""Shards: their folders, their workers and their numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.data_dir import (
    is_held,
    owned_by,
    public_id,
    shard_dir,
    shard_of,
    shards_in,
    take_lock,
)
from gateway.config.load import load
from gateway.errors import ConfigError, GatewayError
from gateway.queue.disk import DiskConfig
from gateway.queue.offline import QueueFolder
from gateway.testing import ManualClock
from tests.support.disk_store import open_store
from tests.support.in_process import make_gateway


def test_a_data_directory_of_one_process_is_shard_0(tmp_path: Path) -> None:
    """Shard 0 is the directory itself; the others are below it."""
    assert shard_dir(tmp_path, 0) == tmp_path
    assert shard_dir(tmp_path, 3) == tmp_path / "worker-3"


def test_shards_that_were_left_are_found(tmp_path: Path) -> None:
    """Folders of earlier workers are shards; other names are not."""
    for name in ("worker-3", "worker-0", "worker-x", "queue"):
        (tmp_path / name).mkdir()
    assert shards_in(tmp_path, 2) == [0, 1, 3]
    assert shards_in(tmp_path / "none", 1) == [0]


@given(st.sets(st.integers(0, 63)), st.integers(1, 8))
def test_every_shard_has_one_worker(more: set[int], workers: int) -> None:
    """Each shard is run by exactly one worker, and each worker runs its own first."""
    shards = sorted({*range(workers), *more})
    owned = [owned_by(worker, workers, shards) for worker in range(workers)]
    assert sorted(shard for group in owned for shard in group) == shards
    assert [group[0] for group in owned] == list(range(workers))


@given(st.integers(0, 63), st.integers(1, 10**11))
def test_numbers_of_shards_are_told_apart(shard: int, number: int) -> None:
    """A public number names its shard; those of shard 0 are unchanged."""
    assert shard_of(public_id(shard, number)) == (shard, number)
    assert public_id(0, number) == number
    assert public_id(shard, number) < 2**53, "JavaScript can read it"


@pytest.mark.parametrize(("since_ms", "limit"), [(0, 100), (4, 100), (0, 5), (9, 0), (99, 9)])
def test_the_ids_of_other_shards_are_read_from_their_files(
    tmp_path: Path, since_ms: int, limit: int
) -> None:
    """A folder's newest frames equal those of its store."""
    clock = ManualClock(0)
    store = open_store(tmp_path, DiskConfig(segment_bytes=4096), clock)
    for number in range(40):
        clock.now_ms = number
        store.write([b'[{"n":"' + os.urandom(150).hex().encode() + b'"},{}]'], [2], sync=True)
    assert len(list(tmp_path.glob("*.seg"))) > 2
    expected = list(store.recent(since_ms, limit))
    store.close()
    assert list(QueueFolder(tmp_path).recent(since_ms, limit)) == expected


def test_a_shard_is_held_once(tmp_path: Path) -> None:
    """A second gateway on a shard is refused until the first releases it."""
    with take_lock(tmp_path):
        assert is_held(tmp_path)
        with pytest.raises(GatewayError, match="in use by another gateway"), take_lock(tmp_path):
            pass
    assert not is_held(tmp_path)


def test_order_by_user_needs_one_worker(tmp_path: Path) -> None:
    """Settings that several workers cannot keep are refused, with what to do."""
    path = tmp_path / "config.toml"
    text = '[server]\nworkers = {}\n[destinations.d]\ntype = "null"\nordering = "user"\n'
    path.write_text(text.format(1))
    load(path)
    path.write_text(text.format(2))
    with pytest.raises(ConfigError, match=r"destinations\.d\.ordering: .* server\.workers = 1"):
        load(path)


@pytest.mark.parametrize("workers", [0, 65])
def test_the_number_of_workers_has_bounds(tmp_path: Path, workers: int) -> None:
    """The number of workers is from 1 to MOST_WORKERS."""
    path = tmp_path / "config.toml"
    path.write_text(f"[server]\nworkers = {workers}\n")
    with pytest.raises(ConfigError, match=r"server\.workers"):
        load(path)


def test_a_bound_on_requests_is_shared_out(tmp_path: Path) -> None:
    """Workers divide a bound on requests; the gateways of one worker share its part."""
    text = '[server]\nworkers = 4\n[destinations.d]\ntype = "null"\nmax_requests_per_second = 2.0\n'
    gateway = make_gateway(tmp_path, text)
    [built] = gateway.destinations
    pace = gateway.deliveries._pace(built)
    assert pace.wait_seconds(0.0) == 0.0
    assert pace.wait_seconds(0.0) == 2.0
    assert gateway.deliveries._pace(built) is pace


def test_a_closed_folder_is_not_taken_for_one_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user learns whose command it would be, not that no gateway runs."""

    def closed(*_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(GatewayError, match="run the command as the gateway's user"):
        is_held(tmp_path)
