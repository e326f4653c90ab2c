"""The contract of destinations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

import headgate_lake
from gateway.testing import ContractScene, Storage, contract_scenes
from headgate_lake import Lake


def read(folder: Path) -> list[str]:
    """Returns the message ids in the lake, once for each row."""
    if not (folder / "lake" / "manifest.sqlite").exists():
        return []
    paths = [str(path) for path in Lake.open(folder / "lake").paths()]
    if not paths:
        return []
    with duckdb.cursor() as db:
        rows = db.execute("SELECT message_id FROM read_parquet($1)", [paths]).fetchall()
    return [message_id for (message_id,) in rows]


@contextmanager
def out_of_reach(folder: Path) -> Iterator[None]:
    """Puts a file where the folder of the events has to be."""
    events = folder / "lake" / "events"
    aside = folder / "aside"
    events.rename(aside)
    events.touch()
    yield
    events.unlink()
    aside.rename(events)


@pytest.mark.parametrize(
    "scene",
    contract_scenes(
        headgate_lake, {"path": "{folder}/lake"}, Storage(read=read, outage=out_of_reach)
    ),
    ids=str,
)
def test_contract(scene: ContractScene) -> None:
    """The destination keeps its contract, with each event in the lake once, across outages."""
    scene.check()
