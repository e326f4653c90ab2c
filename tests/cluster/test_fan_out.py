"""Answers of several shards, merged as an endpoint declares, also while a worker is down."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from gateway.cluster.fan_out import FanOut
from gateway.cluster.peers import Peers
from gateway.config.data_dir import public_id
from gateway.config.load import load
from gateway.server.admin.api import AdminError
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import (
    AllOrFiles,
    AllShards,
    AnyShard,
    Call,
    Files,
    FirstShard,
    Merge,
    Outcomes,
    OwningShard,
)


class FewPeers(Peers):
    """Two shards that answer with their number, if they are up."""

    def __init__(self, *up: int) -> None:
        self.shards = (0, 1)
        self._workers = 2
        self._up = up
        self.asked: list[tuple[int, str, str]] = []

    async def ask(
        self,
        shard: int,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        patient: bool = False,
    ) -> bytes | None:
        self.asked.append((shard, method, path))
        return json.dumps({"id": shard}).encode() if shard in self._up else None


async def _unused(*_: object) -> web.StreamResponse:
    raise AssertionError("the handler of one gateway is not called")


def endpoint(merge: Merge) -> Endpoint:
    return Endpoint("GET", r"/admin/things/{id:\d+}", "read", _unused, merge)


def joined(found: Any, _: Call) -> Any:
    return [found[shard] for shard in sorted(found)]


async def ask(folder: Path, peers: Peers, merge: Merge, id_: int = 7) -> tuple[int, Any]:
    """Status and JSON of the answer to a request."""
    (folder / "config.toml").write_text("[server]\nworkers = 2\n")
    fan_out = FanOut(load(folder / "config.toml", {}), peers, asyncio.Event())
    path = f"/admin/things/{id_}"
    request = make_mocked_request("GET", f"{path}?x=1", match_info={"id": str(id_)})
    request._read_bytes = b""
    response = await fan_out.answer(endpoint(merge), request)
    assert isinstance(response, web.Response)
    return response.status, json.loads(cast("bytes", response.body))


async def test_all_shards_must_be_up_unless_their_files_do(tmp_path: Path) -> None:
    """A worker that is down is named in the error, unless its files can answer instead."""
    strict = AllShards(dict[str, int], joined)
    assert await ask(tmp_path, FewPeers(0, 1), strict) == (200, [{"id": 0}, {"id": 1}])
    with pytest.raises(AdminError, match="worker 1 does not answer") as raised:
        await ask(tmp_path, FewPeers(0), strict)
    assert raised.value.status == 503
    from_files = AllOrFiles(
        dict[str, Any], lambda config, _: {"files of": config.data_dir.name}, joined
    )
    answer = await ask(tmp_path, FewPeers(0), from_files)
    assert answer == (200, [{"id": 0}, {"files of": "worker-1"}])


async def test_one_shard_answers_for_all(tmp_path: Path) -> None:
    """The first shard answers, or any that is up, or the one that gave out the id."""
    assert await ask(tmp_path, FewPeers(0, 1), FirstShard(201)) == (201, {"id": 0})
    with pytest.raises(AdminError, match="worker 0 does not answer"):
        await ask(tmp_path, FewPeers(1), FirstShard())
    assert await ask(tmp_path, FewPeers(1), AnyShard()) == (200, {"id": 1})
    with pytest.raises(AdminError, match="no worker answers"):
        await ask(tmp_path, FewPeers(), AnyShard())
    peers = FewPeers(0, 1)
    found = await ask(tmp_path, peers, OwningShard("no such thing"), public_id(1, 5))
    assert found == (200, {"id": public_id(1, 1)})
    assert peers.asked == [(1, "GET", "/admin/things/5")]
    with pytest.raises(AdminError, match="no such thing") as raised:
        await ask(tmp_path, peers, OwningShard("no such thing"), public_id(2, 5))
    assert raised.value.status == 404


async def test_a_refusal_is_an_outcome_where_each_shard_acts_for_itself(tmp_path: Path) -> None:
    """The message of a shard that refused is merged with the answers of the others."""
    (_, found) = await ask(tmp_path, FewPeers(1), Outcomes(dict[str, int], joined))
    assert found[0].startswith("worker 0 does not answer")
    assert found[1] == {"id": 1}


async def test_a_bad_request_asks_nobody(tmp_path: Path) -> None:
    """The check of an endpoint runs before any shard is asked; reading files asks none."""

    def refuse(_: Call) -> None:
        raise AdminError("bad")

    peers = FewPeers(0, 1)
    for merge in (
        AllShards(dict[str, int], joined, refuse),
        AllOrFiles(dict[str, int], lambda *_: {}, joined, refuse),
    ):
        with pytest.raises(AdminError, match="bad"):
            await ask(tmp_path, peers, merge)
    files = Files(lambda configs, _: [config.shard for config in configs])
    assert await ask(tmp_path, peers, files) == (200, [0, 1])
    assert peers.asked == []
