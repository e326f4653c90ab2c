"""Builds components from config and the registry of plugins; starts nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
from msgspec import Struct

from gateway.components.chain import Chain
from gateway.components.context import Context
from gateway.components.destination import BatchPolicy, Destination, DestinationSpec
from gateway.components.dry_run import Rehearsal
from gateway.components.isolation import contained
from gateway.components.job import JobSpec
from gateway.components.ports import Intake
from gateway.components.scope import Scope
from gateway.components.settings import secrets_in
from gateway.components.source import Source, SourceSpec
from gateway.components.store import QueueSpec, Store
from gateway.components.transform import Transform, TransformSpec
from gateway.components.transform_methods import TransformMethods, for_destination
from gateway.config.decode import Table, decode_table
from gateway.config.mistakes import Mistakes
from gateway.config.model import Config
from gateway.config.settings import DestinationSettings
from gateway.delivery.built import BuiltDestination
from gateway.delivery.mapping import EventMapping, MappedDestination, Rule, compile_mapping
from gateway.errors import ConfigError, GatewayError
from gateway.rollouts.for_arm import ForArm
from gateway.rollouts.groups import Groups
from gateway.runtime.job_plan import Planned, planned_jobs
from gateway.runtime.plugins import Registry
from gateway.runtime.tables import make_scope, package_tables

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Builder", "BuiltTransform"]


class BuiltTransform(NamedTuple):
    """A transform, and the destinations that it runs for; None at intake."""

    id: str
    transform: Transform
    destinations: tuple[str, ...] | None

    @property
    def at_intake(self) -> bool:
        """True if it runs at intake."""
        return self.destinations is None


class Builder:
    """Builds the components that a config names.

    Attributes:
        groups: the groups of users that config names.
        dry_run: whether its components serve dry runs only.

    Args:
        clock: wall clock in milliseconds.
        steady: the clock for durations; by default `clock`.
        before: destinations of the config before this one, by id. One with an unchanged definition
            is kept as it is.
        counted: counts of each destination's own, by id, which the new one continues.
        dry_run: build components that reach nothing outside, and record what they would send.
        queue_id: see `Context.queue_id`.

    Raises:
        ConfigError: config names what does not exist, or has wrong keys for it.
        GatewayError: a plugin cannot build it.
    """

    def __init__(
        self,
        config: Config,
        registry: Registry,
        clock: Callable[[], int],
        log: FilteringBoundLogger,
        before: Mapping[str, BuiltDestination] | None = None,
        counted: dict[str, Counter[str]] | None = None,
        *,
        dry_run: bool = False,
        steady: Callable[[], int] | None = None,
        queue_id: Callable[[], str] = lambda: "",
    ) -> None:
        self.groups = Groups(config.groups, config.layers)
        self._config = config
        self._registry = registry
        self._clock = clock
        self._steady = steady or clock
        self._log = log
        self._before = before or {}
        self._counted = {} if counted is None else counted
        self._queue_id = queue_id
        self.dry_run = dry_run

    def for_dry_run(self) -> Builder:
        """Returns a builder of the same config for dry runs, with the same groups."""
        other = Builder(
            self._config, self._registry, self._clock, self._log, dry_run=True, steady=self._steady
        )
        other.groups = self.groups
        return other

    def _context(
        self,
        id_: str,
        *,
        at_intake: bool = False,
        counted: Counter[str] | None = None,
        enabled: bool = True,
    ) -> Context:
        # A disabled component is built to be checked; its groups must not count as used.
        groups = self.groups if enabled else Groups(self._config.groups, self._config.layers)
        return Context(
            at_intake=at_intake,
            counted=Counter() if counted is None else counted,
            id=id_,
            base_dir=self._config.base_dir,
            data_dir=self._config.data_dir,
            server=self._config.server,
            log=self._log.bind(component=id_),
            clock=self._clock,
            shard=self._config.shard,
            shared_dir=self._config.shared_dir,
            project=self._config.project,
            queue_id=self._queue_id,
            groups=groups,
            rehearsal=Rehearsal() if self.dry_run else None,
        )

    def check_tables(self) -> None:
        """Decodes the tables of components and packages, so that all mistakes are shown at once.

        Raises:
            ConfigError: there are some.
        """
        mistakes = Mistakes()
        parts: list[tuple[str, tuple[Any, Table]]] = [("queue", self._config.queue)]
        for kind, components in (
            ("source", self._config.sources),
            ("transform", self._config.transforms),
            ("destination", self._config.destinations),
        ):
            parts += [(kind, component) for component in components.values()]
        for kind, (settings, table) in parts:
            with mistakes.noted():
                table.decode(self._registry.find(kind, settings.type, table.path).spec.config)
        with mistakes.noted():
            package_tables(self._config, self._registry)
        mistakes.check()

    def scope(self, destinations: Mapping[str, Destination]) -> Scope:
        """Makes the scope that jobs and admin endpoints of packages see."""
        running = {
            id_: one.destination if isinstance(one, MappedDestination) else one
            for id_, one in destinations.items()
        }
        return make_scope(self._config, self._registry, self._clock, self._log, running)

    def jobs(self, scope: Scope) -> dict[str, Planned]:
        """Plans the jobs of all packages that are not switched off."""
        return planned_jobs(self._registry.named(JobSpec), scope)

    def store(self) -> Store:
        """Builds the queue's store."""
        settings, table = self._config.queue
        spec = cast("QueueSpec[Any]", self._registry.find("queue", settings.type, "queue").spec)
        if self._config.server.workers > 1 and not spec.sharded:
            raise ConfigError(
                f"server.workers: several workers cannot share a queue of type {settings.type!r}; "
                "set it to 1"
            )
        config = table.decode(spec.config)
        context = replace(self._context("queue"), clock=self._steady)
        return cast("Store", _call_plugin("queue", spec.build, config, context))

    # -- transforms ----------------------------------------------------------

    def transforms(self) -> list[BuiltTransform]:
        """Builds all transforms, and returns the enabled ones in the order of the file."""
        built = []
        for id_, (settings, table) in self._config.transforms.items():
            found = self._registry.find("transform", settings.type, table.path)
            spec = cast("TransformSpec[Any]", found.spec)
            context = self._context(
                id_, at_intake=settings.destinations is None, enabled=settings.enabled
            )
            config = table.decode(spec.config)
            transform = _call_plugin(table.path, spec.build, config, context)
            adds_to = _call_plugin(table.path, TransformMethods.of, transform).adds_to
            if settings.destinations is not None and adds_to:
                raise ConfigError(
                    f"{table.path}.destinations: a transform that makes events of its own, here "
                    f"for {', '.join(adds_to)}, runs at intake only"
                )
            if settings.enabled:
                if settings.only is not None:
                    group = self.groups.use(settings.only.group)
                    transform = ForArm(transform, group, settings.only.arm)
                built.append(BuiltTransform(id_, transform, settings.destinations))
        return built

    # -- destinations --------------------------------------------------------

    def destinations(self, transforms: Sequence[BuiltTransform]) -> list[BuiltDestination]:
        """Builds all destinations, and returns the enabled ones with their delivery transforms."""
        built = []
        for id_, (settings, table) in self._config.destinations.items():
            found = self._registry.find("destination", settings.type, table.path)
            spec = cast("DestinationSpec[Any]", found.spec)
            component = self._component(id_, settings, table, spec)
            if settings.shadowing is not None and not spec.rehearses:
                raise ConfigError(
                    f"{table.path}.shadow: a destination of type {settings.type!r} cannot show "
                    "what it would send"
                )
            if settings.enabled:
                if settings.only is not None:
                    self.groups.use(settings.only.group)
                own = [one for one in transforms if id_ in (one.destinations or ())]
                steps = [(one.id, _for_destination(one, id_)) for one in own]
                chain = Chain(steps, weighs=spec.weighs)
                built.append(_assemble(component, settings, table, spec, chain))
        return built

    def _component(
        self, id_: str, settings: DestinationSettings, table: Table, spec: DestinationSpec[Any]
    ) -> _Component:
        """Builds a destination's object, or keeps that of the config before."""
        config = table.decode(spec.config)
        secrets = tuple(secrets_in(config))
        counted = self._counted.setdefault(id_, Counter())
        context = self._context(id_, counted=counted, enabled=settings.enabled)
        if spec.tables:
            tables = package_tables(self._config, self._registry)
            context = replace(context, tables={name: tables[name] for name in spec.tables})
        if context.rehearsal is not None:
            context.rehearsal.hide(secrets)
        rules = settings.mapping_rules
        project = self._config.project  # part of its context
        others = [self._config.others.get(name) for name in spec.tables]
        made_of = (settings.type, table.options, rules, self._config.base_dir, project, others)
        before = self._before.get(id_)
        if before is not None and before.made_of == made_of:
            destination = before.destination
        else:
            destination = _call_plugin(table.path, spec.build, config, context)
            if rules:
                destination = MappedDestination(destination, _mapping(rules, table.path))
        return _Component(id_, destination, secrets, counted, made_of, context.rehearsal)

    # -- sources -------------------------------------------------------------

    def sources(self, intake: Intake) -> list[Source]:
        """Builds one source object for each type, with the configs of all sources of that type."""
        configs: dict[str, dict[str, Struct]] = {}
        specs: dict[str, SourceSpec[Any]] = {}
        for id_, (settings, table) in self._config.sources.items():
            spec = self._registry.find("source", settings.type, table.path).spec
            specs[settings.type] = cast("SourceSpec[Any]", spec)
            configs.setdefault(settings.type, {})[id_] = table.decode(spec.config)
        built = [
            _call_plugin(
                f"sources of type {type_}",
                spec.build,
                configs[type_],
                intake,
                self._context(type_),
            )
            for type_, spec in specs.items()
        ]
        most = max((source.max_request_bytes for source in built), default=0)
        bound = self._config.queue[0].max_pending_bytes
        if most > bound:
            raise ConfigError(
                f"queue.max_pending_bytes: {bound} is less than one request of a source may hold, "
                f"{most} bytes"
            )
        return built


class _Component(NamedTuple):
    """A destination's object, with everything that came of building it."""

    id: str
    destination: Destination
    secrets: tuple[str, ...]
    counted: Counter[str]
    made_of: tuple[object, ...]
    rehearsal: Rehearsal | None


def _assemble(
    component: _Component,
    settings: DestinationSettings,
    table: Table,
    spec: DestinationSpec[Any],
    chain: Chain,
) -> BuiltDestination:
    """Adds what settings and spec say of a destination; settings come first."""
    policy = msgspec.to_builtins(spec.batch) | settings.batch
    return BuiltDestination(
        id=component.id,
        type=settings.type,
        destination=component.destination,
        name=settings.name or spec.name or settings.type,
        storage=spec.storage,
        policy=decode_table(policy, BatchPolicy, f"{table.path}.batch"),
        max_concurrency=settings.max_concurrency or spec.max_concurrency,
        idempotent=spec.idempotent if settings.idempotent is None else settings.idempotent,
        atomic=spec.atomic,
        secrets=component.secrets,
        counted=component.counted,
        made_of=component.made_of,
        rehearses=spec.rehearses,
        rehearsal=component.rehearsal,
        settings=settings,
        chain=chain,
    )


def _mapping(rules: Sequence[Mapping[str, Any]], path: str) -> EventMapping:
    decoded = [
        decode_table(rule, Rule, f"{path}.mapping[{number}]") for number, rule in enumerate(rules)
    ]
    return compile_mapping(decoded, f"{path}.mapping")


def _for_destination(built: BuiltTransform, destination: str) -> Transform:
    """Returns the transform to run for one destination."""
    path = f"transforms.{built.id}"
    return cast("Transform", _call_plugin(path, for_destination, built.transform, destination))


def _call_plugin(path: str, build: Callable[..., Any], *args: object) -> Any:
    """Calls a plugin's build function; its errors name the table in config."""
    try:
        with contained:
            return build(*args)
    except ConfigError as error:
        if path in str(error):
            raise
        raise ConfigError(f"{path}: {error}") from error
    except GatewayError:
        raise
    except Exception as error:
        raise GatewayError(f"{path}: cannot be built: {error}") from error
