"""Mapping of events to Mixpanel.

Events: https://developer.mixpanel.com/reference/import-events. Profiles and groups:
https://developer.mixpanel.com/reference/profile-set and /reference/group-set-property. Where common
mappings differ, this package's README says which way is taken here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway import (
    Entry,
    Event,
    Permanent,
    as_mapping,
    as_number,
    as_text,
    flat_address,
    name_from_template,
    now_ms,
    parse_ms,
    real_id,
    utm_parameters,
)
from headgate_mixpanel.browser import browser_of
from headgate_mixpanel.config import MixpanelConfig
from headgate_mixpanel.device import context_properties, device_profile

__all__ = ["ENGAGE", "ENGAGE_ONCE", "GROUPS", "IMPORT", "TRACK", "Mapper"]

IMPORT, TRACK, ENGAGE, GROUPS = "import", "track", "engage", "groups"
ENGAGE_ONCE = "engage-once"
"""Routes: the endpoint for an entry; the last for updates that must not be applied twice."""

_FUTURE_MS = 3_600_000
_LIVE_MS = 5 * 86_400_000 - 3_600_000
"""Older events are imported, not tracked: an hour before Mixpanel would drop them silently."""

_LONGEST_TEXT = 255
"""Most bytes of a text in a property; Mixpanel cuts off the rest."""

_INSERT_ID = re.compile(r"[A-Za-z0-9-]{1,36}")
_PLACEHOLDERS = frozenset({"anon", "true", "false", "[]"})
"""Texts that Mixpanel refuses as ids, beside those that `gateway.real_id` knows."""

_PROFILE = {
    "createdAt": "$created",
    "created_at": "$created",
    "created": "$created",
    "email": "$email",
    "firstName": "$first_name",
    "firstname": "$first_name",
    "first_name": "$first_name",
    "lastName": "$last_name",
    "lastname": "$last_name",
    "last_name": "$last_name",
    "name": "$name",
    "username": "$username",
    "userName": "$username",
    "phone": "$phone",
    "avatar": "$avatar",
    "country": "$country_code",
    "city": "$city",
    "region": "$region",
    "state": "$region",
    "unsubscribed": "$unsubscribed",
    "timezone": "$timezone",
}


class Mapper:
    """Maps events by one config.

    Args:
        clock: wall clock in milliseconds.
        count: gets the number of values that Mixpanel will cut, as ``values_cut``.
    """

    def __init__(
        self,
        config: MixpanelConfig,
        clock: Callable[[], int] = now_ms,
        count: Callable[[str, int], None] = lambda what, number: None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._count = count
        self._token = config.token.reveal()
        self._operations = (
            ("$set_once", ENGAGE, config.set_once_traits),
            ("$union", ENGAGE, config.union_traits),
            ("$append", ENGAGE_ONCE, config.append_traits),
            ("$add", ENGAGE_ONCE, config.increment_traits),
        )
        self._by_type: dict[str, Callable[[Event], list[Entry]]] = {
            "track": self._track,
            "identify": self._identify,
            "page": self._page,
            "screen": self._screen,
            "group": self._group,
            "alias": self._alias,
        }

    def __call__(self, event: Event) -> list[Entry]:
        """Returns the entries of an event.

        Raises:
            Permanent: Mixpanel would refuse the event.
        """
        return self._by_type[event.type](event)

    def _track(self, event: Event) -> list[Entry]:
        if not event.event:
            raise Permanent("the track event has no name")
        return self._with_increments(event, self._event(event, event.event, {}))

    def _page(self, event: Event) -> list[Entry]:
        return self._viewed(event, self._config.page_name)

    def _screen(self, event: Event) -> list[Entry]:
        return self._viewed(event, self._config.screen_name)

    def _viewed(self, event: Event, template: str) -> list[Entry]:
        name = name_from_template(template, event)
        own = {"name": event.name, "category": event.category}
        own = {key: value for key, value in own.items() if value}
        return self._with_increments(event, self._event(event, name, own))

    def _with_increments(self, event: Event, entry: Entry) -> list[Entry]:
        """Returns an event, and the update that adds its numbers to the user's profile."""
        names = self._config.increment_properties
        who = self._distinct_id(*_ids(event)) if names else ""
        if not who:
            return [entry]
        numbers = {name: as_number(event.properties.get(name)) for name in names}
        added = {name: number for name, number in numbers.items() if number is not None}
        if not added:
            return [entry]
        return [entry, Entry(ENGAGE_ONCE, "$add", {**self._about(event, who), "$add": added})]

    def _event(self, event: Event, name: str, own: Mapping[str, Any]) -> Entry:
        context = event.context
        properties = dict(event.properties)
        if self._config.traits_on_events:
            properties = {**as_mapping(context.get("traits")), **properties}
        properties |= own
        properties |= context_properties(context)
        self._add_browser(properties, context)
        properties["ip"] = self._ip(context)
        session = as_text(event.extra.get("session_id")) or as_text(context.get("sessionId"))
        if session:
            properties["$session_id"] = session
        properties |= utm_parameters(event)
        group_id = event.group_id or as_text(context.get("groupId"))
        key = next(iter(self._config.group_keys), None)
        # A trait of that name is often the group's name, which belongs to no group.
        if group_id and key is not None and key not in event.properties:
            properties[key] = [group_id]
        properties |= self._identity(event)
        properties["$insert_id"] = _insert_id(event.message_id)
        cut = _texts_to_be_cut(properties)
        if cut:
            self._count("values_cut", cut)
        return self._entry("", name, properties, self._time(event))

    def _entry(self, part: str, name: str, properties: dict[str, Any], time: int) -> Entry:
        """Returns an event for the endpoint that takes events of this time."""
        properties["time"] = time
        route = IMPORT
        if self._config.api == "track" and time > self._clock() - _LIVE_MS:
            properties["token"] = self._token  # the only credential of /track
            route = TRACK
        return Entry(route, part, {"event": name, "properties": properties})

    def _add_browser(self, properties: dict[str, Any], context: Mapping[str, Any]) -> None:
        agent = context.get("userAgent")
        # The User-Agent of an app or a server names its HTTP library.
        if not self._config.browser or not isinstance(agent, str) or context.get("device"):
            return
        if not agent.startswith(("Mozilla/", "Opera/")):
            return
        found = browser_of(agent)
        if found is not None:
            properties.setdefault("$browser", found[0])
            if found[1]:
                properties.setdefault("$browser_version", found[1])

    def _identity(self, event: Event) -> dict[str, Any]:
        user, device = _ids(event)
        found: dict[str, Any] = {"distinct_id": self._distinct_id(user, device)}
        if user is not None:
            found["$user_id"] = user
        if device is not None and self._config.identity == "simplified":
            found["$device_id"] = device
        return found

    def _ip(self, context: Mapping[str, Any]) -> str:
        ip = as_text(context.get("ip"))
        # Mixpanel places an event without an address where the gateway is.
        return ip if ip and self._config.send_ip else "0"

    def _distinct_id(self, user: str | None, device: str | None) -> str:
        if user is not None or device is None:
            return user or ""
        return f"$device:{device}" if self._config.identity == "simplified" else device

    @staticmethod
    def _time(event: Event) -> int:
        received = parse_ms(event.received_at)
        time = parse_ms(event.timestamp or event.original_timestamp)
        if time is None:
            time = received
        if time is None:
            raise Permanent("has no time")
        # Mixpanel refuses events that are more than an hour in the future.
        return received if received is not None and time > received + _FUTURE_MS else time

    def _identify(self, event: Event) -> list[Entry]:
        user, device = _ids(event)
        who = self._distinct_id(user, device)
        if not who:
            raise Permanent("has neither a user id nor an anonymous id that Mixpanel takes")
        traits = flat_address({**as_mapping(event.context.get("traits")), **event.traits})
        about = self._about(event, who)
        entries: list[Entry] = []
        for operation, route, names in self._operations:
            chosen = {name: traits.pop(name) for name in names if name in traits}
            if operation == "$add":
                chosen = {k: n for k, v in chosen.items() if (n := as_number(v)) is not None}
            if operation == "$union":
                chosen = {k: v if isinstance(v, list) else [v] for k, v in chosen.items()}
            if chosen:
                update = {**about, operation: _profile(chosen)}
                entries.append(Entry(route, operation, update))
        profile = {**device_profile(event.context), **self._whole_profile(traits)}
        if profile:
            entries.append(Entry(ENGAGE, "$set", {**about, "$set": profile}))
        if self._config.identity == "original" and user and device and user != device:
            joined: dict[str, Any] = {
                "$identified_id": user,
                "$anon_id": device,
                "token": self._token,
            }
            joined |= {"distinct_id": user, "$insert_id": _insert_id(event.message_id)}
            entries.append(self._entry("identify", "$identify", joined, about["$time"]))
        return entries

    @staticmethod
    def _whole_profile(traits: Mapping[str, Any]) -> dict[str, Any]:
        profile = _profile(traits)
        names = [as_text(profile.get(key)) for key in ("$first_name", "$last_name")]
        if "$name" not in profile and all(names):
            profile["$name"] = " ".join(names)
        return profile

    def _about(self, event: Event, who: str) -> dict[str, Any]:
        about: dict[str, Any] = {"$token": self._token, "$distinct_id": who}
        about["$ip"] = self._ip(event.context)
        about["$time"] = self._time(event)
        if event.context.get("active") is False:
            about["$ignore_time"] = True
        return about

    def _group(self, event: Event) -> list[Entry]:
        keys = self._config.group_keys
        if not keys:
            raise Permanent("group_keys is empty in config, so that a group has no place to go")
        values = {key: event.traits.get(key) for key in keys}
        if event.group_id:  # a trait of that name is often the group's name
            values[keys[0]] = event.group_id
        user, device = _ids(event)
        who = self._distinct_id(user, device)
        about = self._about(event, who)
        del about["$time"]  # joining a group does not mean that the user was seen
        entries: list[Entry] = []
        for key, value in values.items():
            ids = [as_text(id_) for id_ in (value if isinstance(value, list) else [value])]
            ids = [id_ for id_ in ids if id_]
            if not ids:
                continue
            if who:
                member = {**about, "$set": {key: ids}}
                entries.append(Entry(ENGAGE, f"member {key}", member))
            for id_ in ids:
                group: dict[str, Any] = {"$token": self._token, "$group_key": key, "$group_id": id_}
                group["$set"] = event.traits
                entries.append(Entry(GROUPS, f"group {key} {id_}", group))
        if not entries:
            raise Permanent(f"none of group_keys is among the traits: {', '.join(keys)}")
        return entries

    def _alias(self, event: Event) -> list[Entry]:
        if self._config.identity == "simplified":
            raise Permanent('alias has no meaning with identity = "simplified"')
        old = event.previous_id or event.anonymous_id
        if not old or not event.user_id or old == event.user_id:
            raise Permanent("an alias event needs two different ids, userId and previousId")
        joined: dict[str, Any] = {"distinct_id": old, "alias": event.user_id, "token": self._token}
        joined["$insert_id"] = _insert_id(event.message_id)
        return [self._entry("", "$create_alias", joined, self._time(event))]


def _profile(traits: Mapping[str, Any]) -> dict[str, Any]:
    """Returns traits under Mixpanel's names; of two traits for one name, the first."""
    profile: dict[str, Any] = {}
    for key, value in traits.items():
        if value is not None:
            profile.setdefault(_PROFILE.get(key, key), value)
    return profile


def _texts_to_be_cut(properties: Mapping[str, Any]) -> int:
    """Counts the texts that Mixpanel will cut."""
    long = [v for v in properties.values() if isinstance(v, str) and len(v) > _LONGEST_TEXT // 4]
    # All but a few are ASCII, whose bytes are its characters.
    sizes = [len(v) if v.isascii() else len(v.encode("utf-8", "replace")) for v in long]
    return sum(size > _LONGEST_TEXT for size in sizes) if sizes else 0


def _insert_id(message_id: str) -> str:
    """Returns an id that Mixpanel takes, always the same for the same message id."""
    if _INSERT_ID.fullmatch(message_id):
        return message_id
    return hashlib.sha256(message_id.encode("utf-8", "surrogatepass")).hexdigest()[:36]


def _ids(event: Event) -> tuple[str | None, str | None]:
    """Returns user id and anonymous id; None for a placeholder."""
    return real_id(event.user_id, _PLACEHOLDERS), real_id(event.anonymous_id, _PLACEHOLDERS)
