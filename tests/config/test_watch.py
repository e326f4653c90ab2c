"""The watch notices settled changes of the config file, and reloads run one after the other."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from gateway.cluster.reload import ConfigFollower
from gateway.config.load import hash_of, load
from gateway.config.watch import FileWatch


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    file = tmp_path / "config.toml"
    file.write_text("")
    return file


def watch(file: Path) -> FileWatch:
    return FileWatch(file, hash_of(file.read_bytes()))


def replace(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def test_a_file_that_stays_the_same_is_none_of_our_business(file: Path) -> None:
    """An unchanged, touched or equally rewritten file is no change."""
    watched = watch(file)
    assert [watched.look() for _ in range(3)] == [False] * 3
    os.utime(file, ns=(1, 1))
    assert [watched.look() for _ in range(3)] == [False] * 3
    replace(file, "")
    assert [watched.look() for _ in range(3)] == [False] * 3


def test_a_change_is_told_once_it_has_lasted(file: Path) -> None:
    """A change is reported once, after the file has stopped changing."""
    watched = watch(file)
    watched.look()
    with file.open("w") as writing:
        for number in range(3):
            writing.write(f"a{number} = 1\n")
            writing.flush()
            assert not watched.look()
    assert [watched.look() for _ in range(3)] == [True, False, False]


def test_replaced_files_and_links_are_seen(file: Path) -> None:
    """Replaced files and links are noticed; a file that is missing for a moment is waited for."""
    watched = watch(file)
    watched.look()
    replace(file, "a = 1")
    assert [watched.look(), watched.look()] == [False, True]
    file.unlink()
    assert [watched.look(), watched.look()] == [False, False]
    other = file.with_name("other.toml")
    other.write_text("a = 2")
    file.symlink_to(other)
    assert [watched.look(), watched.look()] == [False, True]
    other.write_text("a = 31")
    assert [watched.look(), watched.look()] == [False, True]


def test_what_somebody_else_has_dealt_with_is_not_told(file: Path) -> None:
    """A change that a reload on SIGHUP has used is not reported again."""
    watched = watch(file)
    watched.look()
    replace(file, "a = 1")
    watched.take()
    assert [watched.look() for _ in range(3)] == [False] * 3


def test_a_link_is_followed_anew_each_time(tmp_path: Path) -> None:
    """The file is read by its configured name, whatever the link led to at the start."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(f"# {name}\n")
    link = tmp_path / "now"
    link.symlink_to("one")
    config = load(link / "config.toml")
    link.unlink()
    link.symlink_to("two")
    again = load(config.file)
    assert config.path == (tmp_path / "one" / "config.toml").resolve()
    assert again.path == (tmp_path / "two" / "config.toml").resolve()
    assert config.hash != again.hash


async def test_who_asks_meanwhile_has_his_turn(file: Path) -> None:
    """Signals during a reload cause one more reload, however many they are."""
    asked: list[str] = []
    let = asyncio.Event()

    async def reload(actor: str) -> None:
        asked.append(actor)
        await let.wait()

    following = ConfigFollower(load(file), reload, lambda: 0.0)
    task = asyncio.create_task(following.run())
    following.request()
    while not asked:
        await asyncio.sleep(0.001)
    for _ in range(3):
        following.request()
    let.set()
    for _ in range(50):
        await asyncio.sleep(0.001)
    task.cancel()
    assert asked == ["SIGHUP", "SIGHUP"]


async def test_a_reload_that_fails_is_not_the_last_one(file: Path) -> None:
    """A failed reload does not prevent later ones."""
    asked: list[str] = []

    async def reload(actor: str) -> None:
        asked.append(actor)
        raise RuntimeError("a defect")

    following = ConfigFollower(load(file), reload, lambda: 0.0)
    task = asyncio.create_task(following.run())
    async with asyncio.timeout(10):
        for number in (1, 2):
            following.request()
            while len(asked) < number:
                await asyncio.sleep(0.001)
    task.cancel()


async def test_a_change_is_followed_unless_that_is_switched_off(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``watch_seconds`` is read at each look, so that a reload may change it."""
    monkeypatch.setattr("gateway.cluster.reload._ASK_AGAIN_SECONDS", 0.001)
    asked: list[str] = []
    seconds = [0.001]

    async def reload(actor: str) -> None:
        asked.append(actor)

    used = hash_of(b"a = 0")
    following = ConfigFollower(load(file), reload, lambda: seconds[0], lambda hash_: hash_ == used)
    task = asyncio.create_task(following.run())
    await asyncio.sleep(0.02)
    replace(file, "a = 0")  # and somebody has asked for it
    await asyncio.sleep(0.05)
    assert asked == []
    replace(file, "a = 1")
    async with asyncio.timeout(10):
        while asked != ["file change"]:
            await asyncio.sleep(0.001)
    seconds[0] = 0.0
    await asyncio.sleep(0.05)
    replace(file, "a = 2")
    await asyncio.sleep(0.05)
    assert asked == ["file change"]
    seconds[0] = 0.001  # by a reload that somebody has asked for in another way
    async with asyncio.timeout(10):
        while asked != ["file change"] * 2:
            await asyncio.sleep(0.001)
    task.cancel()
