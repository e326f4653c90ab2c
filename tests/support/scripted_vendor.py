"""A vendor that answers erasure by a script, and a gateway at rest that delivers to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway import Destination, Erasure, Subjects
from gateway.components.destination import Batch
from gateway.config.data_dir import of_shard
from gateway.config.load import load
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover
from gateway.testing import ManualClock

__all__ = ["ADA", "ScriptedVendor", "vendor_gateway"]

ADA = Subjects(frozenset({"ada-77af"}))
_CONFIG = """
[sources.web]
type = "segment"
write_key = "demo"
[destinations.vendor]
type = "null"
"""


class ScriptedVendor(Destination):
    """Answers each call of `erase` with the next step of its script.

    Attributes:
        asked: the arguments of each call.
    """

    def __init__(self, *script: Erasure | Exception) -> None:
        self.script = list(script)
        self.asked: list[tuple[Subjects, str]] = []

    async def send(self, batch: Batch) -> None:
        """Accepts every batch."""

    async def erase(self, subjects: Subjects, job: str = "") -> Erasure:
        self.asked.append((subjects, job))
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@asynccontextmanager
async def vendor_gateway(
    folder: Path,
    vendor: Destination,
    clock: ManualClock | None = None,
    *,
    shard: int = 0,
    begin: bool = True,
    limit_seconds: float = 3600.0,
) -> AsyncIterator[Gateway]:
    """Builds a gateway at rest whose only destination, ``vendor``, is the given one.

    Args:
        begin: the gateway works on its regulations at once.
        limit_seconds: of each place of an erasure.
    """
    path = folder / "config.toml"
    path.write_text(f"[server]\nerase_timeout_seconds = {limit_seconds}\n{_CONFIG}")
    gateway = Gateway(of_shard(load(path, {}), shard), discover(), clock or ManualClock())
    object.__setattr__(gateway.destinations[0], "destination", vendor)
    async with gateway.at_rest(begin=begin):
        yield gateway
