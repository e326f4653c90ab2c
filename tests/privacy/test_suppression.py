"""Suppressed users: the file, and the ids in memory."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from gateway.errors import StateError
from gateway.privacy.suppression import Suppressions
from tests.support.sizes import sizes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "suppressed.sqlite"


@pytest.fixture
def gateways(path: Path) -> Iterator[Suppressions]:
    """The view of a running gateway; a command has its own."""
    suppressions = Suppressions(path)
    yield suppressions
    suppressions.close()


def test_without_a_file_nobody_is_suppressed(path: Path, gateways: Suppressions) -> None:
    """Reading and removing do not create a file."""
    assert gateways.refresh() is False
    assert (len(gateways), list(gateways), "u" in gateways) == (0, [], False)
    assert gateways.list() == ()
    assert gateways.remove(["u"]) == 0
    assert not path.parent.exists()


def test_a_gateway_follows_a_command(path: Path, gateways: Suppressions) -> None:
    """A refresh sees what another connection has committed."""
    command = Suppressions(path)
    gateways.refresh()
    command.add(["a", "b"])
    assert "a" not in gateways
    assert gateways.refresh() is True
    assert sorted(gateways) == ["a", "b"]
    assert "a" in gateways

    command.remove(["a"])
    assert "a" in gateways
    assert gateways.refresh() is True
    assert list(gateways) == ["b"]


def test_a_gateway_follows_another_process(path: Path, gateways: Suppressions) -> None:
    """A refresh sees what another process has committed."""
    gateways.add(["first"])
    gateways.refresh()
    code = (
        "import sys; from pathlib import Path\n"
        "from gateway.privacy.suppression import Suppressions\n"
        "Suppressions(Path(sys.argv[1])).add(['second'])"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, cwd=Path(__file__).parents[2])
    assert gateways.refresh() is True
    assert sorted(gateways) == ["first", "second"]


def test_an_unchanged_file_is_not_read_again(path: Path, gateways: Suppressions) -> None:
    """A refresh of an unchanged file reads no ids."""
    gateways.add(["a"])
    assert [gateways.refresh() for _ in range(3)] == [True, False, False]
    gateways.list()
    assert gateways.refresh() is False


def test_its_own_changes_are_noticed_too(gateways: Suppressions) -> None:
    """A refresh sees changes made through the same object."""
    gateways.add(["a"])
    gateways.refresh()
    gateways.add(["b"])
    assert gateways.refresh() is True
    assert "b" in gateways


def test_changes_are_counted(gateways: Suppressions) -> None:
    """Adding twice and removing an unknown id change nothing, without an error."""
    assert gateways.add(["a", "b", "a"]) == 2
    assert gateways.add(["b", "c"]) == 1
    assert gateways.remove(["a", "z"]) == 1
    assert gateways.add([]) == gateways.remove([]) == 0
    assert gateways.list() == ("b", "c")


def test_ids_survive_a_restart(path: Path) -> None:
    """Ids are on disk, in a file that only its owner can read."""
    Suppressions(path).add(["a"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Suppressions(path)
    again.refresh()
    again.close()
    again.close()
    assert list(again) == ["a"]


def test_after_closing_it_can_be_refreshed_again(gateways: Suppressions) -> None:
    """A closed object can be refreshed again."""
    gateways.add(["a"])
    gateways.refresh()
    gateways.close()
    assert "a" in gateways
    gateways.remove(["a"])
    gateways.refresh()
    assert len(gateways) == 0


@pytest.mark.parametrize("bad", ["", " ", "\n", "a\0b", "\ud800"])
def test_ids_that_no_event_has(bad: str, path: Path, gateways: Suppressions) -> None:
    """An impossible id is refused, and no id given with it is added."""
    for change in (gateways.add, gateways.remove):
        with pytest.raises(ValueError, match="user id"):
            change(["good", bad])
    assert not path.exists()


def test_a_file_that_is_replaced_is_opened_anew(path: Path, gateways: Suppressions) -> None:
    """A file that is replaced takes effect without a restart; one that is removed is made anew."""
    other = Suppressions(path.with_name("other.sqlite"))
    gateways.add(["a"])
    other.add(["b"])
    gateways.refresh()
    path.with_name("other.sqlite").replace(path)
    assert gateways.refresh() is True
    assert list(gateways) == ["b"]

    path.unlink()
    gateways.refresh()
    assert list(gateways) == list(gateways.list()) == ["b"]
    gateways.add(["c"])
    gateways.refresh()
    assert sorted(gateways) == ["b", "c"]


def test_a_file_that_is_just_being_made_is_empty(path: Path, gateways: Suppressions) -> None:
    """A file without tables holds no ids."""
    path.parent.mkdir()
    path.touch()
    gateways.refresh()
    assert (len(gateways), gateways.list()) == (0, ())
    gateways.add(["a"])
    assert gateways.refresh() is True


def spoil(path: Path) -> None:
    path.write_bytes(b"not a database, but as long as the head of one is" * 100)


def age(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(("harm", "words"), [(spoil, "not a database"), (age, "version 99")])
def test_a_file_that_cannot_be_used(
    harm: object, words: str, path: Path, gateways: Suppressions
) -> None:
    """A broken file is an error with its name; known ids stay suppressed until it is repaired."""
    gateways.add(["a"])
    gateways.refresh()
    gateways.close()
    good = path.read_bytes()
    assert callable(harm)
    harm(path)
    for use in (gateways.refresh, gateways.refresh, gateways.list, lambda: gateways.add(["b"])):
        with pytest.raises(StateError, match=rf"suppressed\.sqlite: .*{words}"):
            use()
    assert "a" in gateways
    path.write_bytes(good)
    for leftover in ("-wal", "-shm"):
        Path(f"{path}{leftover}").unlink(missing_ok=True)
    gateways.add(["b"])
    gateways.refresh()
    assert sorted(gateways) == ["a", "b"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """An error of the file system raises a StateError."""
    (tmp_path / "file").touch()
    suppressions = Suppressions(tmp_path / "file" / "suppressed.sqlite")
    for use in (suppressions.refresh, lambda: suppressions.add(["a"])):
        with pytest.raises(StateError):
            use()


def test_a_change_is_all_or_nothing(path: Path, gateways: Suppressions) -> None:
    """A change that fails midway leaves the file as it was."""
    gateways.add(["a"])
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "CREATE TRIGGER t BEFORE INSERT ON suppressed WHEN NEW.user_id = 'c' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    with pytest.raises(StateError, match="no"):
        gateways.add(["b", "c"])
    assert gateways.list() == ("a",)


ids = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
    .filter(str.strip)
    .filter(lambda text: not text.isspace()),
    max_size=5,
)


@given(ids)
def test_any_id_comes_back_as_it_is(user_ids: list[str]) -> None:
    """An id of any characters is stored and found exactly."""

    with tempfile.TemporaryDirectory() as folder:
        suppressions = Suppressions(Path(folder) / "s.sqlite")
        assert suppressions.add(user_ids) == len(set(user_ids))
        suppressions.refresh()
        suppressions.close()
        assert set(suppressions) == set(user_ids) == set(suppressions.list())
        assert all(user_id in suppressions for user_id in user_ids)


@sizes("number", small=8, full=40)
def test_like_a_set(tmp_path: Path, number: int) -> None:
    """After any changes by any connection, a refreshed view equals a set."""
    few = st.lists(st.sampled_from("abc"), max_size=3)
    numbers = iter(range(10**9))

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            file = tmp_path / f"{next(numbers)}.sqlite"
            self.model: set[str] = set()
            self.view, self.command = Suppressions(file), Suppressions(file)

        @rule(user_ids=few)
        def add(self, user_ids: list[str]) -> None:
            assert self.command.add(user_ids) == len(set(user_ids) - self.model)
            self.model.update(user_ids)

        @rule(user_ids=few)
        def remove(self, user_ids: list[str]) -> None:
            assert self.command.remove(user_ids) == len(set(user_ids) & self.model)
            self.model.difference_update(user_ids)

        @rule()
        def close(self) -> None:
            self.view.close()

        @invariant()
        def same(self) -> None:
            self.view.refresh()
            assert set(self.view) == self.model

        def teardown(self) -> None:
            self.view.close()

    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=number, stateful_step_count=12, deadline=None),
    )
