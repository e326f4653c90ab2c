"""All that is made from one config, and made anew from the next one; nothing of it is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gateway.components.chain import Chain
from gateway.components.source import Source
from gateway.config.model import Config
from gateway.delivery.built import BuiltDestination
from gateway.delivery.selection import Selection
from gateway.delivery.shadow.destination import make_shadow, shaded
from gateway.delivery.shadow.shadow import Shadow
from gateway.http.routing import Mounted
from gateway.identity.visitors import Identity
from gateway.intake.context import IntakeContext
from gateway.intake.dedup import RecentIds
from gateway.intake.dry_run import IntakeDryRun
from gateway.intake.intake import Intake
from gateway.privacy.suppression import Suppressions
from gateway.queue.batching import BatchingQueue
from gateway.rollouts.controller import Rollouts
from gateway.rollouts.groups import Groups
from gateway.rollouts.measured import Ramps
from gateway.rollouts.stamp import Memberships
from gateway.runtime.builder import Builder
from gateway.state.ledger.counts import Ledger
from gateway.state.ledger.source_ledger import Books
from gateway.state.live_tail import Tap

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
    identity: Identity
    rollouts: Rollouts
    clock: Callable[[], int]
    log: FilteringBoundLogger


@dataclass(frozen=True, slots=True)
class Setup:
    """What a config makes.

    Attributes:
        ramps: of groups that grow, and what measures them.
        destinations, selections: those that are enabled, by id, and what chooses the events of
        each. shadows: of those, the ones to which nothing is sent. memberships: writes arms into
        what goes out.
    """

    config: Config
    groups: Groups
    ramps: Ramps
    intake: Intake | IntakeDryRun
    sources: list[Source]
    mounted: Mounted
    destinations: dict[str, BuiltDestination]
    selections: Mapping[str, Selection]
    shadows: Mapping[str, Shadow]
    memberships: Memberships

    @property
    def asks_for_visitors(self) -> bool:
        """Whether something comes in of which it is to be known who the visitor is."""
        return bool(self.config.sources) and self.groups.ask_for_visitors


def set_up(config: Config, build: Builder, lasting: Lasting, before: Setup | None = None) -> Setup:
    """Make all that config asks for.

    Args:
        before: what this takes the place of, whose rates go on.

    Raises:
        ConfigError: config names what does not exist, or has wrong keys for it.
        GatewayError: a plugin cannot build it, or two sources answer the same path.
    """
    groups = build.groups
    ramps = lasting.rollouts.plan(config, groups)
    transforms = build.transforms()
    destinations = {built.id: built for built in build.destinations(transforms)}
    intake = (IntakeDryRun if build.rehearsing else Intake)(
        IntakeContext(
            sources={id_: settings for id_, (settings, _) in config.sources.items()},
            queue=lasting.queue,
            recent_ids=lasting.recent_ids,
            transforms=Chain([(id_, t) for id_, t, where in transforms if where is None]),
            ledger=lasting.ledger,
            clock=lasting.clock,
            log=lasting.log,
            suppressed=lasting.suppressed,
            books=lasting.books,
            tap=lasting.tap,
            identity=lasting.identity,
            meters=ramps.intake_meters(),
            workers=config.server.workers,
        ),
        None if before is None else before.intake,
    )
    sources = build.sources(intake)
    mounted = Mounted(sources, config.server.prefix)
    memberships = Memberships(
        [groups.use(group.id) for group in groups if group.config.stamp],
        None if before is None else before.memberships,
    )
    selections, shadows = {}, {}
    for id_, built in destinations.items():
        selections[id_] = _selection(
            built, config, groups, lasting.clock, memberships, lasting.tap, ramps
        )
        if built.is_shadow and not build.rehearsing:
            # What is compared shows and counts nothing of what it does.
            quiet = partial(
                _selection,
                config=config,
                groups=groups,
                clock=lasting.clock,
                memberships=Memberships(memberships.groups),
            )
            rehearsing = build.for_rehearsal()
            rehearsed = {one.id: one for one in rehearsing.destinations(rehearsing.transforms())}
            shadow = make_shadow(built, rehearsed, quiet, config.server.workers, lasting.clock)
            shadows[id_] = shadow
            selections[id_] = _arm_of(built, groups, shadow, lasting)
            destinations[id_] = shaded(built, shadow, partial(_delivered, lasting.ledger, id_))
    return Setup(
        config,
        groups,
        ramps,
        intake,
        sources,
        mounted,
        destinations,
        selections,
        shadows,
        memberships,
    )


def _selection(
    built: BuiltDestination,
    config: Config,
    groups: Groups,
    clock: Callable[[], int],
    memberships: Memberships,
    tap: Tap | None = None,
    ramps: Ramps | None = None,
) -> Selection:
    only = built.settings.only
    return Selection(
        built.chain,
        name=built.name,
        storage=built.storage,
        consent=built.settings.consent,
        consent_defaults={
            id_: source.consent_default for id_, (source, _) in config.sources.items()
        },
        clock=clock,
        id_=built.id,
        tap=tap,
        only=None if only is None else (groups[only.group], only.arm),
        memberships=memberships,
        meters=() if ramps is None else ramps.meters(built.id),
    )


def _arm_of(built: BuiltDestination, groups: Groups, shadow: Shadow, lasting: Lasting) -> Selection:
    """What lets all events of a shadow's arm through to it."""
    # Consent and transforms are a part of what is compared. From an archive without a name no
    # client can keep an event.
    only = built.settings.only
    return Selection(
        Chain(),
        name="",
        storage=True,
        clock=lasting.clock,
        id_=built.id,
        tap=lasting.tap,
        only=None if only is None else (groups[only.group], only.arm),
        interceptor=shadow,
    )


def _delivered(ledger: Ledger, id_: str) -> int:
    return ledger.destination(id_).delivered
