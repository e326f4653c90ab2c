"""Headgate's profiles: who is who, and what is known of each person, kept up in the stream."""

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
    JobSpec,
    KnownPeople,
    Scope,
    TableSpec,
    hookimpl,
)
from headgate_profiles.api.config import ProfileApiConfig
from headgate_profiles.computed.config import ComputedTrait
from headgate_profiles.config import ProfilesConfig

__all__ = [
    "ComputedTrait",
    "ProfilesConfig",
    "__version__",
    "register_admin",
    "register_commands",
    "register_config",
    "register_destinations",
    "register_identities",
    "register_jobs",
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
            tables=("traits", "audiences"),
        )
    )


@hookimpl
def register_config(register: Callable[[TableSpec[Any]], None]) -> None:
    """Registers ``[traits.NAME]``, ``[audiences.NAME]`` and what belongs to them."""
    from headgate_profiles.audiences.config import AudienceConfig, AudiencesConfig, check_audiences

    register(TableSpec("traits", ComputedTrait, per_id=True))
    register(TableSpec("audiences", AudienceConfig, per_id=True, check=check_audiences))
    register(TableSpec("audience-job", AudiencesConfig))
    register(TableSpec("profile-api", ProfileApiConfig))


@hookimpl
def register_jobs(register: Callable[[JobSpec], None]) -> None:
    """Registers the job ``audiences``."""
    from headgate_profiles.audiences.job import AUDIENCE_JOB

    register(AUDIENCE_JOB)


@hookimpl
def register_commands(register: Callable[[CommandSpec], None]) -> None:
    """Registers ``gateway profile`` and ``gateway audience``."""
    register(
        CommandSpec(
            "audience",
            "Look at audiences: who belongs to them, and why.",
            f"{__name__}.commands.audience:audience",
        )
    )
    register(
        CommandSpec(
            "profile",
            "Look at people: who is who, and what is known of them.",
            f"{__name__}.commands:profile",
        )
    )


@hookimpl
def register_admin(register: Callable[[AdminArea], None]) -> None:
    """Registers ``/admin/profiles`` and the Profile API."""
    from headgate_profiles.admin import PROFILES_AREA
    from headgate_profiles.api.area import PROFILE_AREA

    register(PROFILES_AREA)
    register(PROFILE_AREA)


def _known(scope: Scope, at_ms: int | None) -> KnownPeople | None:
    from headgate_profiles.known import known_people

    return known_people(scope, at_ms)


@hookimpl
def register_identities(register: Callable[[IdentitySpec], None]) -> None:
    """Registers the people of the identity graph."""
    register(IdentitySpec("profiles", _known))
