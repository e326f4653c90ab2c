"""Wires a gateway together: services that outlive every config, and the topology of one config.

Nothing is started here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from anyio import CapacityLimiter

from gateway.components.chain import Chain
from gateway.components.scope import Scope
from gateway.components.source import Source
from gateway.config.model import Config
from gateway.delivery.built import BuiltDestination
from gateway.delivery.selection import Selection, SelectionContext
from gateway.delivery.shadow.destination import as_shadow, make_shadow
from gateway.delivery.shadow.shadow import Shadow
from gateway.http.routing import Mounted
from gateway.identity.visitors import Identity
from gateway.intake.context import IntakeContext
from gateway.intake.dedup import RecentIds
from gateway.intake.dry_run import IntakeDryRun
from gateway.intake.intake import Intake
from gateway.privacy.id_forms import IdForms
from gateway.privacy.suppressed_forms import SuppressedForms
from gateway.privacy.suppression import FILE_NAME, Suppressions
from gateway.queue.batching import BatchingQueue
from gateway.rollouts.controller import Rollouts
from gateway.rollouts.groups import Groups
from gateway.rollouts.measured import Ramps
from gateway.rollouts.stamp import Memberships
from gateway.runtime.builder import Builder, BuiltTransform
from gateway.runtime.job_plan import Planned
from gateway.runtime.jobs import Jobs
from gateway.runtime.rates import Rates
from gateway.state import STATE_FILE, State
from gateway.state.audit_trail import Audit
from gateway.state.ledger.counts import Ledger
from gateway.state.ledger.source_ledger import SourceLedger
from gateway.state.live_tail import LiveTail

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Services", "Topology", "build_services", "build_topology"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts that a gateway keeps for as long as it runs, whatever its config becomes.

    Attributes:
        clock: wall clock in milliseconds.
        steady: the clock for durations.
        recent_ids: None without de-duplication.
    """

    clock: Callable[[], int]
    steady: Callable[[], int]
    log: FilteringBoundLogger
    state: State
    audit: Audit
    ledger: Ledger
    source_ledger: SourceLedger
    live_tail: LiveTail
    rates: Rates
    queue: BatchingQueue
    recent_ids: RecentIds | None
    suppressed: Suppressions
    identity: Identity
    rollouts: Rollouts
    jobs: Jobs


def build_services(
    config: Config,
    build: Builder,
    clock: Callable[[], int],
    steady: Callable[[], int],
    log: FilteringBoundLogger,
) -> Services:
    """Builds the services by the config that a gateway starts with.

    Args:
        clock: wall clock in milliseconds.
        steady: the clock for durations; see `SteadyClock`.

    Raises:
        ConfigError: the store of the queue has no such type, or wrong keys.
    """
    build.check_tables()
    state = State(config.data_dir / STATE_FILE)
    audit = Audit(state, clock, log)
    ledger = Ledger()
    dedup = config.dedup
    return Services(
        clock=clock,
        steady=steady,
        log=log,
        state=state,
        audit=audit,
        ledger=ledger,
        source_ledger=SourceLedger(ledger, state, log),
        live_tail=LiveTail(),
        rates=Rates(),
        queue=BatchingQueue(build.store(), config.queue[0], log),
        recent_ids=RecentIds(dedup.window_ms, dedup.max_entries) if dedup.enabled else None,
        suppressed=Suppressions(config.shared_dir / FILE_NAME),
        identity=Identity.of_shard(config, log),
        rollouts=Rollouts(
            config.shared_dir,
            audit,
            steady,
            log,
            decides=config.shard == 0 and not build.dry_run,
        ),
        jobs=Jobs(state, clock, log, runs=config.shard == 0 and not build.dry_run),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Everything that one config makes: from sources through intake to destinations.

    Attributes:
        ramps: the groups that grow, and what measures them.
        mounted: the paths of the sources.
        destinations, selections: of each enabled destination, by id; its selection decides which
            events it gets.
        shadows: of each destination that is a shadow, by id.
        memberships: stamps arms into outgoing events.
        scope: what jobs and admin endpoints of packages see.
        jobs: that are switched on, by name.
    """

    config: Config
    groups: Groups
    ramps: Ramps
    intake: Intake | IntakeDryRun
    sources: list[Source]
    mounted: Mounted
    destinations: Mapping[str, BuiltDestination]
    selections: Mapping[str, Selection]
    shadows: Mapping[str, Shadow]
    memberships: Memberships
    scope: Scope
    jobs: Mapping[str, Planned]

    @property
    def needs_visitors(self) -> bool:
        """True if events come in, and a group needs to know their visitors."""
        return bool(self.config.sources) and self.groups.ask_for_visitors


def build_topology(
    config: Config, build: Builder, services: Services, before: Topology | None = None
) -> Topology:
    """Builds the topology of a config.

    Args:
        before: the topology that this one replaces; rates of write keys and counts carry over.

    Raises:
        ConfigError: config names what does not exist, or has wrong keys for it.
        GatewayError: a plugin cannot build it, or two sources answer the same path.
    """
    groups = build.groups
    ramps = services.rollouts.plan(config, groups)
    build.check_tables()
    transforms = build.transforms()
    destinations = {built.id: built for built in build.destinations(transforms)}
    intake = _build_intake(config, build, services, transforms, destinations, ramps, before)
    sources = build.sources(intake)
    mounted = Mounted(sources, config.server.prefix)
    memberships = Memberships(
        [groups.use(group.id) for group in groups if group.config.stamp],
        None if before is None else before.memberships,
    )
    factory = _SelectionFactory(
        config, groups, memberships, services.clock, services.live_tail, ramps=ramps
    )
    selections = {id_: factory.of(built) for id_, built in destinations.items()}
    scope = build.scope(
        {id_: one.destination for id_, one in destinations.items() if not one.is_shadow}
    )
    shadows: dict[str, Shadow] = {}
    if not build.dry_run:
        for id_, built in destinations.items():
            if built.is_shadow:
                shadows[id_] = _build_shadow(built, build, factory)
                selections[id_] = factory.of_arm(built, shadows[id_])
        destinations |= {
            id_: as_shadow(destinations[id_], shadow, partial(_delivered, services.ledger, id_))
            for id_, shadow in shadows.items()
        }
    return Topology(
        config=config,
        groups=groups,
        ramps=ramps,
        intake=intake,
        sources=sources,
        mounted=mounted,
        destinations=destinations,
        selections=selections,
        shadows=shadows,
        memberships=memberships,
        scope=scope,
        jobs=build.jobs(scope),
    )


def _build_intake(
    config: Config,
    build: Builder,
    services: Services,
    transforms: list[BuiltTransform],
    destinations: Mapping[str, BuiltDestination],
    ramps: Ramps,
    before: Topology | None,
) -> Intake | IntakeDryRun:
    at_intake = [(one.id, one.transform) for one in transforms if one.at_intake]
    chain = Chain(at_intake, weighs=True)
    forms = IdForms(lambda: chain, destinations)
    context = IntakeContext(
        sources={id_: settings for id_, (settings, _) in config.sources.items()},
        queue=services.queue,
        recent_ids=services.recent_ids,
        transforms=chain,
        ledger=services.ledger,
        clock=services.clock,
        steady=services.steady,
        log=services.log,
        suppressed=SuppressedForms(services.suppressed, forms.of_user),
        source_ledger=services.source_ledger,
        live_tail=services.live_tail,
        identity=services.identity,
        meters=ramps.intake_meters(),
        workers=config.server.workers,
    )
    kind = IntakeDryRun if build.dry_run else Intake
    return kind(context, None if before is None else before.intake)


def _build_shadow(built: BuiltDestination, build: Builder, factory: _SelectionFactory) -> Shadow:
    """Builds the shadow of a destination, with both sides of its comparison as dry runs."""
    dry_run = build.for_dry_run()
    sides = {one.id: one for one in dry_run.destinations(dry_run.transforms())}
    workers = factory.config.server.workers
    return make_shadow(built, sides, factory.silent().of, workers, factory.clock)


@dataclass(frozen=True, slots=True)
class _SelectionFactory:
    """Builds the selections of a config's destinations."""

    config: Config
    groups: Groups
    memberships: Memberships
    clock: Callable[[], int]
    live_tail: LiveTail
    ramps: Ramps | None = None
    turn: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))

    def silent(self) -> _SelectionFactory:
        """Returns a factory of selections that count and publish nothing."""
        return replace(
            self, memberships=Memberships(self.memberships.groups), live_tail=LiveTail(), ramps=None
        )

    def of(self, built: BuiltDestination) -> Selection:
        """Returns the selection of a destination."""
        only = built.settings.only
        return Selection(
            SelectionContext(
                built.chain,
                name=built.name,
                storage=built.storage,
                consent=built.settings.consent,
                consent_defaults={
                    id_: source.consent_default for id_, (source, _) in self.config.sources.items()
                },
                clock=self.clock,
                id=built.id,
                live_tail=self.live_tail,
                only=None if only is None else (self.groups[only.group], only.arm),
                memberships=self.memberships,
                meters=() if self.ramps is None else self.ramps.meters(built.id),
                turn=self.turn,
            )
        )

    def of_arm(self, built: BuiltDestination, shadow: Shadow) -> Selection:
        """Returns a selection that passes all events of a destination's arm to its shadow.

        Consent and transforms are part of the comparison, so this selection has neither. It counts
        as an archive without a name: no client can keep an event from one.
        """
        only = built.settings.only
        return Selection(
            SelectionContext(
                Chain(),
                name="",
                storage=True,
                clock=self.clock,
                id=built.id,
                live_tail=self.live_tail,
                only=None if only is None else (self.groups[only.group], only.arm),
                interceptor=shadow,
            )
        )


def _delivered(ledger: Ledger, id_: str) -> int:
    return ledger.destination(id_).delivered
