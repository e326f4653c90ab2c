"""Puts the answers of all shards together into one, as of one gateway. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.data_dir import name_of
from gateway.runtime.reload import Reloaded
from gateway.server.admin.api import AdminError

__all__ = ["merge_reloads"]


def merge_reloads(found: Mapping[int, Reloaded | str], workers: int) -> Reloaded:
    """What a reload of all shards did.

    Raises:
        AdminError: some have refused, or do not use the same.
    """
    done = {shard: one for shard, one in found.items() if not isinstance(one, str)}
    refused = [one for one in found.values() if isinstance(one, str)]
    if refused and done:
        refused.append(f"used by {', '.join(name_of(shard, workers) for shard in done)}")
    elif len({one.hash for one in done.values()}) > 1:
        refused.append("the file changed meanwhile, and not all use the same: try again")
    if refused:
        raise AdminError("; ".join(refused), 409)
    return Reloaded(
        next(iter(done.values())).hash,
        list(dict.fromkeys(change for one in done.values() for change in one.changes)),
        list(dict.fromkeys(key for one in done.values() for key in one.waits)),
    )
