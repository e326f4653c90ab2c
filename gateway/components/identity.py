"""The contract of identities: who is who, as a package knows it, for those who count people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from gateway.components.component import API_VERSION
from gateway.components.naming import check_name
from gateway.components.scope import Scope

__all__ = ["IdentitySpec", "KnownPeople", "KnownPerson"]


class KnownPerson(NamedTuple):
    """The person that an id belongs to.

    Attributes:
        kind: the id is a userId or an anonymousId.
        person: number of the person, 63 bits.
        until_ms: from this time of receipt on, the id alone says nothing, as others use it too.
    """

    kind: Literal["user", "anonymous"]
    id: str
    person: int
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class KnownPeople:
    """Who is who, as known at one time.

    Attributes:
        version: the rules and the state of knowledge in words, as figures print it.
        state: other than before whenever a row may be; letters, digits and `-`, for a file's name.
        rows: returns each id once. Ids that are missing are as the gateway has them.
        folder: where the rows may be kept in files named ``people-*``. The package deletes them
            when it erases somebody.
    """

    version: str
    state: str
    rows: Callable[[], Iterable[KnownPerson]]
    folder: Path


@dataclass(frozen=True, slots=True)
class IdentitySpec:
    """Registers who is who.

    Attributes:
        people: returns what is known now, or was known at a time in milliseconds; None if the
            config has nothing that knows. It may read files, so it is called in a thread.
    """

    name: str
    people: Callable[[Scope, int | None], KnownPeople | None]
    api: int = API_VERSION

    def __post_init__(self) -> None:
        """Refuses a name in another form."""
        check_name("identity", self.name)
