"""The gateway's SQLite files that are moved, removed or replaced while it runs."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
import structlog

from gateway.config.settings import IdentityConfig
from gateway.identity.links import LinkFile
from gateway.identity.visitors import Identity
from gateway.privacy.suppression import Suppressions
from gateway.queue.memory import MemoryConfig, MemoryStore
from gateway.rollouts.machine import Rollout, begin
from gateway.rollouts.store import RolloutStore
from gateway.testing import make_event

_REMOVED = pytest.mark.parametrize("removed", ["file", "folder"])


def _remove(path: Path, removed: str) -> None:
    """Moves a file away with its journals, or removes its folder."""
    if removed == "folder":
        shutil.rmtree(path.parent)
        return
    for one in path.parent.glob(f"{path.name}*"):
        one.rename(one.with_name(f"old-{one.name}"))


def _is_private(path: Path) -> bool:
    return stat.S_IMODE(path.stat().st_mode) == 0o600


@_REMOVED
async def test_links_that_are_known_are_written_anew(tmp_path: Path, removed: str) -> None:
    """A user keeps the visitor, though the file of links has left its place meanwhile."""
    path = tmp_path / "data" / "identity.sqlite"
    identity = Identity(path, IdentityConfig(), structlog.get_logger())
    await identity.start(MemoryStore(MemoryConfig(), lambda: 0))
    identity.learn([make_event(user_id="ada", anonymous_id="phone")])
    await identity._write()
    _remove(path, removed)
    identity.learn([make_event(user_id="bob", anonymous_id="desk")])
    await identity._write()
    await identity.stop()
    file = LinkFile(path)
    file.open()
    assert file.read().links == {"ada": "phone", "bob": "desk"}
    file.close()
    assert _is_private(path)


@_REMOVED
def test_a_rollout_goes_on_where_it_was(tmp_path: Path, removed: str) -> None:
    """Its stage does not begin anew because the file of rollouts has left its place."""
    path = tmp_path / "data" / "rollouts.sqlite"
    store = RolloutStore(path)
    rollout, _ = begin("checkout", (10.0, 50.0), 5)

    def unchanged(before: Rollout | None) -> tuple[Rollout, None]:
        return before or rollout, None

    store.change("checkout", unchanged)
    assert store.changed()
    _remove(path, removed)
    assert store.changed()
    assert store.all() == {"checkout": rollout}
    store.close()
    assert _is_private(path)
    assert RolloutStore(path).all() == {"checkout": rollout}


@_REMOVED
def test_suppressed_users_stay_so(tmp_path: Path, removed: str) -> None:
    """A user does not come back because the list of suppressed users has left its place."""
    path = tmp_path / "data" / "suppressed.sqlite"
    suppressed = Suppressions(path)
    suppressed.add(["ada"])
    suppressed.refresh()
    _remove(path, removed)
    suppressed.refresh()
    assert "ada" in suppressed
    assert Suppressions(path).list() == ("ada",)
    assert _is_private(path)
    suppressed.remove(["ada"])
    suppressed.refresh()
    assert "ada" not in suppressed
    suppressed.close()
