"""Makes answers of profiles, in Segment's form, with what a token may see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from gateway import AdminError, format_ms
from headgate_profiles.api.config import ProfileToken, allows
from headgate_profiles.profile import Profile, ShownTrait

__all__ = ["Page", "external_ids", "metadata", "traits"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a list that a request asks for.

    Attributes:
        path: of the request.
        query: its parameters, without limit and cursor.
        limit: number of items.
        cursor: key of the item that came last; empty for the first page.
    """

    path: str
    query: dict[str, str]
    limit: int
    cursor: str = ""

    @property
    def included(self) -> set[str]:
        """The names in ``include``."""
        return set(filter(None, self.query.get("include", "").split(",")))

    def cut(
        self, items: Sequence[_T], key: Callable[[_T], str]
    ) -> tuple[Sequence[_T], dict[str, Any]]:
        """Returns the items of this page, and the cursor to the next one.

        Args:
            items: sorted by `key`.
        """
        rest = [item for item in items if key(item) > self.cursor] if self.cursor else items
        found = rest[: self.limit]
        return found, self.following(key(found[-1]) if len(rest) > self.limit else "")

    def following(self, cursor: str) -> dict[str, Any]:
        """Returns the answer's `cursor`.

        Args:
            cursor: of the next page; empty if this is the last one.
        """
        pairs = {**self.query, "limit": str(self.limit), "cursor": cursor}
        return {
            "url": f"{self.path}?{urlencode(pairs)}" if cursor else "",
            "has_more": bool(cursor),
            "next": cursor,
            "limit": self.limit,
        }


def traits(
    shown: Iterable[tuple[str, ShownTrait]], token: ProfileToken, page: Page
) -> dict[str, Any]:
    """Answers ``/traits``: names and values; with ``verbose=true`` also the origin of each.

    ``include`` has names, separated by commas, and ``class`` is ``trait`` or ``computed_trait``.

    Args:
        shown: all traits by name.
    """
    names = page.included
    kind = page.query.get("class", "")
    if kind not in ("", "trait", "computed_trait"):
        raise AdminError(f"class: {kind!r} is none of trait, computed_trait")
    found = [
        (name, trait)
        for name, trait in shown
        if allows(token.traits, name)
        and (not names or name in names)
        and kind in ("", "trait" if trait.origin else "computed_trait")
    ]
    items, cursor = page.cut(found, lambda item: item[0])
    if page.query.get("verbose") != "true":
        return {"traits": {name: trait.value for name, trait in items}, "cursor": cursor}
    return {"traits": {name: _verbose(trait) for name, trait in items}, "cursor": cursor}


def _verbose(trait: ShownTrait) -> dict[str, Any]:
    if trait.origin is None:
        return {"value": trait.value}
    return {
        "value": trait.value,
        "updated_at": format_ms(trait.origin.at_ms),
        "source_id": trait.origin.source,
        "message_id": trait.origin.message_id,
    }


def external_ids(
    profile: Profile, collection: str, token: ProfileToken, page: Page
) -> dict[str, Any]:
    """Answers ``/external_ids``; ``include`` has types, separated by commas."""
    types = page.included
    found = [
        one
        for one in profile.held
        if allows(token.identifiers, one.identifier.type)
        and (not types or one.identifier.type in types)
    ]
    found.sort(key=lambda one: str(one.identifier))
    shown, cursor = page.cut(found, lambda one: str(one.identifier))
    data = [
        {
            "id": one.identifier.value,
            "type": one.identifier.type,
            "collection": collection,
            "encoding": "none",
            "created_at": format_ms(one.first_ms),
        }
        for one in shown
    ]
    return {"data": data, "cursor": cursor}


def metadata(profile: Profile, token: ProfileToken) -> dict[str, Any]:
    """Answers ``/metadata``.

    Raises:
        AdminError: the token may not see it.
    """
    if not token.metadata:
        raise AdminError("this token has no metadata = true", 403)
    activity = profile.activity
    return {
        "metadata": {
            "created_at": format_ms(activity.first_ms) if activity.first_ms else None,
            "updated_at": format_ms(activity.last_ms) if activity.last_ms else None,
            "profile": str(profile.number),  # it has more digits than a JSON number may
            "events": activity.counts,
            "consent": {name: value for name, (value, _) in activity.consent.items()},
            "groups": {name: arm for name, (arm, _) in activity.arms.items()},
        }
    }
