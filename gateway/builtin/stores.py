"""Queue stores that come with the gateway: ``disk`` and ``memory``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.components.context import Context
from gateway.components.hookmarkers import hookimpl
from gateway.components.store import QueueSpec
from gateway.queue.disk import DiskConfig, DiskStore
from gateway.queue.memory import MemoryConfig, MemoryStore
from gateway.queue.reserve import Reserve

__all__ = ["register_queues"]


def _disk(config: DiskConfig, context: Context) -> DiskStore:
    reserve = Reserve(context.data_dir, config.reserve_bytes)
    folder = context.data_dir / "queue"
    return DiskStore(folder, config, context.clock, context.log, reserve=reserve)


def _memory(config: MemoryConfig, context: Context) -> MemoryStore:
    return MemoryStore(config, context.clock)


@hookimpl
def register_queues(register: Callable[[QueueSpec[Any]], None]) -> None:
    """Registers ``disk`` and ``memory``."""
    register(QueueSpec("disk", DiskConfig, _disk, sharded=True))
    register(QueueSpec("memory", MemoryConfig, _memory, sharded=True))
