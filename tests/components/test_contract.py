"""The built-in destinations keep the contract."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.builtin.destinations import console, file, null, sqlite
from gateway.testing import Storage, check_destination_contract


def ids_in_files(folder: Path) -> list[str]:
    texts = [path.read_text() for path in folder.rglob("*.ndjson")]
    return [json.loads(line)["messageId"] for text in texts for line in text.splitlines()]


@contextmanager
def a_file_in_its_place(folder: Path) -> Iterator[None]:
    """Puts a file in the place of the folder, so that the folder cannot be created."""
    (folder / "events").rename(folder / "aside")
    (folder / "events").touch()
    yield
    (folder / "events").unlink()
    (folder / "aside").rename(folder / "events")


def test_file() -> None:
    """Files keep the contract."""
    storage = Storage(read=ids_in_files, outage=a_file_in_its_place)
    check_destination_contract(file, {"path": "{folder}/events"}, storage)


def ids_in_table(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "events.sqlite")) as db:
        return [row[0] for row in db.execute("SELECT message_id FROM events")]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with closing(sqlite3.connect(folder / "events.sqlite", isolation_level=None)) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield


def test_sqlite() -> None:
    """A table keeps the contract, and holds each event once."""
    storage = Storage(read=ids_in_table, outage=locked)
    check_destination_contract(sqlite, {"path": "{folder}/events.sqlite"}, storage)


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """The console keeps the contract."""
    shown: list[str] = []

    def read(folder: Path) -> bytes:
        shown.append(capsys.readouterr().out)
        return "".join(shown).encode()

    check_destination_contract(console, {"format": "json"}, Storage(read=read))


def test_null() -> None:
    """A destination that keeps nothing keeps the contract."""
    check_destination_contract(null, {}, Storage())
