"""All that is made from one config, and made anew from the next one; nothing of it is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.books import Books
from gateway.building import Builder, BuiltDestination
from gateway.chain import Chain
from gateway.component import Source
from gateway.config import Config
from gateway.dedup import RecentIds
from gateway.groups import Groups
from gateway.intake import Intake
from gateway.ledger import Ledger
from gateway.queue.batching import BatchingQueue
from gateway.routing import Mounted
from gateway.sieve import Sieve
from gateway.suppression import Suppressions
from gateway.tap import Tap
from gateway.walk import RehearsedIntake

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Lasting", "Setup", "set_up"]


@dataclass(frozen=True, slots=True)
class Lasting:
    """What a gateway has for as long as it runs, whatever config says meanwhile."""

    queue: BatchingQueue
    recent_ids: RecentIds | None
    ledger: Ledger
    books: Books
    suppressed: Suppressions
    tap: Tap
    clock: Callable[[], int]
    log: FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class Setup:
    """What a config makes.

    Attributes:
        destinations, sieves: those that are enabled, by id, and what chooses the events of each.
    """

    config: Config
    groups: Groups
    intake: Intake
    sources: list[Source]
    mounted: Mounted
    destinations: dict[str, BuiltDestination]
    sieves: Mapping[str, Sieve]


def set_up(config: Config, build: Builder, lasting: Lasting, before: Setup | None = None) -> Setup:
    """Make all that config asks for.

    Args:
        before: what this takes the place of, whose rates go on.

    Raises:
        ConfigError: config names what does not exist, or has wrong keys for it.
        GatewayError: a plugin cannot build it, or two sources answer the same path.
    """
    # Where a group's percentage is another one than that of config, it is set here, and holds for
    # a start and for a reload.
    groups = build.groups
    transforms = build.transforms()
    destinations = {built.id: built for built in build.destinations(transforms)}
    intake = (RehearsedIntake if build.rehearsing else Intake)(
        {id_: settings for id_, (settings, _) in config.sources.items()},
        lasting.queue,
        lasting.recent_ids,
        Chain([(id_, t) for id_, t, where in transforms if where is None]),
        lasting.ledger,
        lasting.clock,
        lasting.log,
        suppressed=lasting.suppressed,
        books=lasting.books,
        tap=lasting.tap,
        workers=config.server.workers,
        before=None if before is None else before.intake,
    )
    sources = build.sources(intake)
    mounted = Mounted(sources, config.server.prefix)
    defaults = {id_: source.consent_default for id_, (source, _) in config.sources.items()}
    sieves = {}
    for id_, built in destinations.items():
        only = built.settings.only
        sieves[id_] = Sieve(
            built.chain,
            name=built.name,
            storage=built.storage,
            consent=built.settings.consent,
            consent_defaults=defaults,
            clock=lasting.clock,
            id_=id_,
            tap=lasting.tap,
            only=None if only is None else (groups[only.group], only.arm),
        )
    return Setup(config, groups, intake, sources, mounted, destinations, sieves)
