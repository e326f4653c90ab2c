"""Erases users in a data directory on which no gateway runs."""

from __future__ import annotations

from contextlib import AsyncExitStack

from msgspec import structs

from gateway.cli.erase_task import EraseTask
from gateway.cluster.regulations import LocalShards
from gateway.config.data_dir import name_of, public_id, shard_of, shards_of, take_lock
from gateway.config.model import Config
from gateway.config.settings import LogConfig
from gateway.errors import GatewayError
from gateway.privacy.regulations import Report
from gateway.runtime.gateway import Gateway
from gateway.runtime.logs import configure_logging
from gateway.runtime.plugins import discover
from gateway.state.audit_trail import local_actor

__all__ = ["erase_offline"]

_LOOK_SECONDS = 0.2


async def erase_offline(config: Config, task: EraseTask) -> list[Report]:
    """Does the task in the shards of all workers. The first shard leads the others.

    Raises:
        GatewayError: a gateway has started meanwhile, or there is no regulation to retry.
    """
    configure_logging(LogConfig(level="error"))
    registry = discover()
    async with AsyncExitStack() as stack:
        # Held for all shards at once, so that no gateway can start between two of them.
        stack.enter_context(take_lock(config.shared_dir))
        gateways = [
            await stack.enter_async_context(
                Gateway(one, registry, locked=one.shard == 0).at_rest(begin=False)
            )
            for one in shards_of(config)
        ]
        if task.list_only:
            return [
                _public(report, gateway)
                for gateway in gateways
                for report in await gateway.regulations.all()
            ]
        lead, *others = gateways
        if others:
            workers = config.server.workers
            lead.regulations.others = LocalShards(
                {name_of(gateway.config.shard, workers): gateway for gateway in others}
            )
        created = [] if task.retry is None else [await _retry(gateways, task.retry)]
        created += [(lead, id_) for id_ in await _create(lead, task)]
        for gateway in gateways:
            await gateway.regulations.start()
        return [_public(await _settled(gateway, id_, task), gateway) for gateway, id_ in created]


async def _retry(gateways: list[Gateway], retry: int) -> tuple[Gateway, int]:
    shard, id_ = shard_of(retry)
    for gateway in gateways:
        if gateway.config.shard == shard and await gateway.regulations.retry(id_) is not None:
            await gateway.audit.record(local_actor(), "regulations.retry", {"id": retry})
            return gateway, id_
    raise GatewayError(f"there is no regulation {retry}")


async def _create(gateway: Gateway, task: EraseTask) -> list[int]:
    ids = []
    for subjects in task.subjects:
        report = await gateway.regulations.create(task.kind, subjects, local_actor())
        detail = {"id": report.id, "kind": task.kind, "subjects": len(subjects)}
        await gateway.audit.record(local_actor(), "regulations.create", detail)
        ids.append(report.id)
    return ids


async def _settled(gateway: Gateway, id_: int, task: EraseTask) -> Report:
    while True:
        now = await gateway.regulations.wait(id_, _LOOK_SECONDS)
        assert now is not None
        task.show(now.progress)
        if now.settled:
            return now


def _public(report: Report, gateway: Gateway) -> Report:
    return structs.replace(report, id=public_id(gateway.config.shard, report.id))
