"""Headgate's profiles: an identity graph that is kept up in the stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import (
    AdminArea,
    BatchPolicy,
    CommandSpec,
    Context,
    Destination,
    DestinationSpec,
    IdentitySpec,
    KnownPeople,
    Scope,
    hookimpl,
)
from headgate_profiles.config import ProfilesConfig

__all__ = [
    "ProfilesConfig",
    "__version__",
    "register_admin",
    "register_commands",
    "register_destinations",
    "register_identities",
]

__version__ = "0.1.0"


def _build(config: ProfilesConfig, context: Context) -> Destination:
    from headgate_profiles.destination import ProfilesDestination
    from headgate_profiles.dry_run import dry_run_destination

    if context.rehearsal is not None:
        return dry_run_destination(config, context)
    return ProfilesDestination(config, context)


@hookimpl
def register_destinations(register: Callable[[DestinationSpec[Any]], None]) -> None:
    """Registers ``profiles``."""
    register(
        DestinationSpec(
            "profiles",
            ProfilesConfig,
            _build,
            name="Profiles",
            storage=True,
            batch=BatchPolicy(max_events=5_000, max_bytes=8_000_000, max_age_seconds=1.0),
            idempotent=True,
            atomic=True,
            rehearses=True,
        )
    )


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """Registers ``gateway profile``."""
    register(
        CommandSpec(
            "profile",
            "Look at people: which identifiers are one person's, and why.",
            f"{__name__}.commands:profile",
        )
    )


@hookimpl
def register_admin(register: Callable[[AdminArea], None]) -> None:
    """Registers ``/admin/profiles``."""
    from headgate_profiles.admin import PROFILES_AREA

    register(PROFILES_AREA)


def _known(scope: Scope, at_ms: int | None) -> KnownPeople | None:
    from headgate_profiles.known import known_people

    return known_people(scope, at_ms)


@hookimpl
def register_identities(register: Callable[[IdentitySpec], None]) -> None:
    """Registers the people of the identity graph."""
    register(IdentitySpec("profiles", _known))
