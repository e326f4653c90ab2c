"""SQLite files that several processes open at once."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier, Timer

import pytest

from gateway.config import sqlite_files
from gateway.config.sqlite_files import use_wal
from gateway.state import identity_links, rollouts, schema, suppressed_users

OPENED = {
    "identity.sqlite": identity_links.connect,
    "rollouts.sqlite": rollouts.connect,
    "state.sqlite": schema.connect,
}


def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    """A file that another process writes gets its write-ahead log once that has finished."""
    path = tmp_path / "x.sqlite"
    with (
        closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as db,
    ):
        other.execute("CREATE TABLE t (a)")
        other.execute("BEGIN EXCLUSIVE")
        release = Timer(0.1, other.execute, ["COMMIT"])
        release.start()
        use_wal(db)
        release.join()
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_file_that_stays_locked_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a time the error is the caller's, and other errors are at once."""
    monkeypatch.setattr(sqlite_files, "_SECONDS", 0.05)
    path = tmp_path / "x.sqlite"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as other,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as db,
    ):
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            use_wal(db)
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"no database" * 100)
    with closing(sqlite3.connect(damaged)) as db, pytest.raises(sqlite3.DatabaseError):
        use_wal(db)


@pytest.mark.parametrize("name", OPENED)
def test_a_new_file_may_be_opened_by_several_at_once(tmp_path: Path, name: str) -> None:
    """Of several that open a new file none fails, whichever of the gateway's files it is."""
    at_once = 4
    for attempt in range(10):
        path = tmp_path / str(attempt) / name
        path.parent.mkdir()
        together = Barrier(at_once)

        def open_it(path: Path = path, together: Barrier = together) -> None:
            together.wait()
            OPENED[name](path).close()

        with ThreadPoolExecutor(at_once) as threads:
            for done in [threads.submit(open_it) for _ in range(at_once)]:
                done.result()


def test_users_may_be_suppressed_by_several_at_once(tmp_path: Path) -> None:
    """Of several that suppress the first user none fails."""
    (tmp_path / "suppressed.sqlite").touch()
    together = Barrier(3)

    def suppress(user: str) -> int:
        with closing(suppressed_users.connect(tmp_path / "suppressed.sqlite")) as db:
            together.wait()
            return suppressed_users.add(db, [user])

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(suppress, ("a", "b", "c"))) == [1, 1, 1]
