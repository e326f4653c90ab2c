"""Builds components from config and the registry of plugins; nothing is started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec
from msgspec import Struct

from gateway.components.chain import Chain
from gateway.components.context import Context
from gateway.components.destination import BatchPolicy, DestinationSpec
from gateway.components.dry_run import Rehearsal
from gateway.components.ports import Intake
from gateway.components.settings import secrets_in
from gateway.components.source import Source, SourceSpec
from gateway.components.store import QueueSpec, Store
from gateway.components.transform import Transform, TransformSpec
from gateway.components.transform_methods import TransformMethods, for_destination
from gateway.config.decode import decode_table
from gateway.config.model import Config
from gateway.delivery.mapping import EventMapping, MappedDestination, Rule, compile_mapping
from gateway.errors import ConfigError, GatewayError
from gateway.rollouts.for_arm import ForArm
from gateway.rollouts.groups import Groups
from gateway.runtime.plugins import Registry

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger
from gateway.delivery.built import BuiltDestination

__all__ = ["Builder"]


class Builder:
    """Builds what config names.

    Attributes:
        groups: the groups of users that config names.
        rehearsing: whether what it builds rehearses.

    Args:
        clock: wall clock in milliseconds.
        before: destinations of the config before this one, by id. One that is built from the same
            again is kept as it is.
        counted: what destinations have counted of their own, by id, to be counted on.
        rehearsing: build what touches nothing outside, and notes down what it would send.

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
        rehearsing: bool = False,
    ) -> None:
        self.groups = Groups(config.groups, config.layers)
        self._config = config
        self._registry = registry
        self._clock = clock
        self._log = log
        self._before = before or {}
        self._counted = {} if counted is None else counted
        self.rehearsing = rehearsing

    def for_rehearsal(self) -> Builder:
        """Another, of what touches nothing outside; who is in which arm is the same for both."""
        other = Builder(self._config, self._registry, self._clock, self._log, rehearsing=True)
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
        # What is built only to be checked depends on nobody.
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
            groups=groups,
            rehearsal=Rehearsal() if self.rehearsing else None,
        )

    def store(self) -> Store:
        """The queue's store."""
        settings, table = self._config.queue
        spec = cast("QueueSpec[Any]", self._registry.find("queue", settings.type, "queue").spec)
        if self._config.server.workers > 1 and not spec.sharded:
            raise ConfigError(
                f"server.workers: a queue of type {settings.type!r} cannot be shared out among "
                "several; set it to 1"
            )
        return spec.build(table.decode(spec.config), self._context("queue"))

    def transforms(self) -> list[tuple[str, Transform, tuple[str, ...] | None]]:
        """Id, transform and destinations of each that is enabled, in the order of the file."""
        built = []
        for id_, (settings, table) in self._config.transforms.items():
            found = self._registry.find("transform", settings.type, table.path)
            spec = cast("TransformSpec[Any]", found.spec)
            transform = _build(
                table.path,
                spec.build,
                table.decode(spec.config),
                self._context(
                    id_, at_intake=settings.destinations is None, enabled=settings.enabled
                ),
            )
            adds_to = TransformMethods.of(transform).adds_to
            if settings.destinations is not None and adds_to:
                raise ConfigError(
                    f"{table.path}.destinations: a transform that makes events of its own, here "
                    f"for {', '.join(adds_to)}, runs at intake only"
                )
            if settings.enabled:
                if settings.only is not None:
                    group = self.groups.use(settings.only.group)
                    transform = ForArm(transform, group, settings.only.arm)
                built.append((id_, transform, settings.destinations))
        return built

    def destinations(
        self, transforms: Iterable[tuple[str, Transform, tuple[str, ...] | None]]
    ) -> list[BuiltDestination]:
        """The destinations that are enabled, each with its delivery transforms."""
        built = []
        for id_, (settings, table) in self._config.destinations.items():
            found = self._registry.find("destination", settings.type, table.path)
            spec = cast("DestinationSpec[Any]", found.spec)
            policy = msgspec.to_builtins(spec.batch) | settings.batch
            config = table.decode(spec.config)
            rules = settings.mapping_rules
            made_of = (settings.type, table.options, rules, self._config.base_dir)
            before = self._before.get(id_)
            counted = self._counted.setdefault(id_, Counter())
            secrets = tuple(secrets_in(config))
            context = self._context(id_, counted=counted, enabled=settings.enabled)
            if context.rehearsal is not None:
                context.rehearsal.hide(secrets)
            if before is not None and before.made_of == made_of:
                destination = before.destination
            else:
                destination = _build(table.path, spec.build, config, context)
                if rules:
                    destination = MappedDestination(destination, _mapping(rules, table.path))
            if settings.shadowing is not None and not spec.rehearses:
                raise ConfigError(
                    f"{table.path}.shadow: a destination of type {settings.type!r} cannot show "
                    "what it would send"
                )
            if settings.enabled:
                if settings.only is not None:
                    self.groups.use(settings.only.group)
                built.append(
                    BuiltDestination(
                        id=id_,
                        type=settings.type,
                        destination=destination,
                        name=settings.name or spec.name or settings.type,
                        storage=spec.storage,
                        policy=decode_table(policy, BatchPolicy, f"{table.path}.batch"),
                        max_concurrency=settings.max_concurrency or spec.max_concurrency,
                        idempotent=(
                            spec.idempotent if settings.idempotent is None else settings.idempotent
                        ),
                        atomic=spec.atomic,
                        secrets=secrets,
                        counted=counted,
                        made_of=made_of,
                        rehearses=spec.rehearses,
                        rehearsal=context.rehearsal,
                        settings=settings,
                        chain=Chain(
                            [
                                (t, for_destination(transform, id_))
                                for t, transform, where in transforms
                                if id_ in (where or ())
                            ]
                        ),
                    )
                )
        return built

    def sources(self, intake: Intake) -> list[Source]:
        """One source object for each type, with the configs of all sources of that type."""
        configs: dict[str, dict[str, Struct]] = {}
        specs: dict[str, SourceSpec[Any]] = {}
        for id_, (settings, table) in self._config.sources.items():
            spec = self._registry.find("source", settings.type, table.path).spec
            specs[settings.type] = cast("SourceSpec[Any]", spec)
            configs.setdefault(settings.type, {})[id_] = table.decode(spec.config)
        return [
            _build(
                f"sources of type {type_}",
                spec.build,
                configs[type_],
                intake,
                self._context(type_),
            )
            for type_, spec in specs.items()
        ]


def _mapping(rules: Sequence[Mapping[str, Any]], path: str) -> EventMapping:
    decoded = [
        decode_table(rule, Rule, f"{path}.mapping[{number}]") for number, rule in enumerate(rules)
    ]
    return compile_mapping(decoded, f"{path}.mapping")


def _build(path: str, build: Callable[..., Any], *args: object) -> Any:
    try:
        return build(*args)
    except ConfigError as error:
        if path in str(error):
            raise
        raise ConfigError(f"{path}: {error}") from error
    except GatewayError:
        raise
    except Exception as error:
        raise GatewayError(f"{path}: cannot be built: {error}") from error
