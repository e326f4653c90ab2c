"""Mapping of events to Google Analytics 4.

https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference. Where common
mappings differ, this package's README says which way is taken here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gateway import Event, Permanent, as_mapping, as_number, as_text, integration_options, parse_ms
from headgate_ga4.commerce import COMMERCE, Commerce, items_of, value_of
from headgate_ga4.config import Ga4Config
from headgate_ga4.rules import MAX_PARAMS, event_name, flattened, param_name, user_properties

__all__ = ["Entry", "Mapper"]

_PAST_MS = 72 * 3_600_000
_FUTURE_MS = 15 * 60_000
_NAMES = ("Google Analytics 4", "Google Analytics 4 (GA4)", "GA4")
_LENGTHS = {"page_title": 300, "page_referrer": 420, "page_location": 1000}
_NEVER = frozenset(
    {
        *("engagementTimeMsec", "engagement_time_msec", "sessionId", "session_id", "products"),
        *("sessionNumber", "session_number", "user_properties", "firebase_conversion"),
    }
)
_CAMPAIGN = {
    "campaign_id": "id",
    "campaign": "name",
    "source": "source",
    "medium": "medium",
    "term": "term",
    "content": "content",
}
_SPACES = re.compile(r"[\s_]+")
_OTHER = Commerce("")


class Entry(NamedTuple):
    """An event for Google.

    Attributes:
        sender: the part of a request about its client; events of one client can share a request.
        event: the event itself.
    """

    sender: dict[str, Any]
    event: dict[str, Any]


class Mapper:
    """Maps events by one config.

    Args:
        clock: wall clock in milliseconds.
        count: gets the number of values that are dropped or cut for Google's limits.
    """

    def __init__(
        self,
        config: Ga4Config,
        clock: Callable[[], int],
        count: Callable[[str, int], None] = lambda what, number: None,
    ) -> None:
        self._config = config
        self._app = bool(config.firebase_app_id)
        self._clock = clock
        self._count = count

    def __call__(self, event: Event) -> Entry | None:
        """Returns the entry of an event; None for a type that Google does not have.

        Raises:
            Permanent: Google would silently drop the event.
        """
        name, commerce = self._name(event)
        if name is None:
            return None
        sender = self._sender(event)
        micros = self._time(event) * 1000
        params = self._params(event, name, commerce)
        return Entry(sender, {"name": name, "timestamp_micros": micros, "params": params})

    def _name(self, event: Event) -> tuple[str | None, Commerce]:
        if event.type == "track":
            if not event.event or not event.event.strip():
                raise Permanent("the track event has no name")
            commerce = COMMERCE.get(_SPACES.sub("_", event.event.strip()).upper())
            if commerce is not None:
                return commerce.name, commerce
            return event_name(event.event, app=self._app), _OTHER
        if event.type == "page":
            return "page_view", _OTHER
        if event.type == "group":
            return "join_group", _OTHER
        return ("screen_view" if event.type == "screen" and self._app else None), _OTHER

    def _sender(self, event: Event) -> dict[str, Any]:
        context = event.context
        given = self._options(event)
        external = context.get("externalId")
        ids = {
            as_text(entry.get("type")): as_text(entry.get("id"))
            for entry in (external if isinstance(external, list) else [])
            if isinstance(entry, dict)
        }
        sender: dict[str, Any] = {}
        if self._app:
            instance = ids.get("ga4AppInstanceId") or as_text(given.get("appInstanceId"))
            if not instance:
                raise Permanent(
                    "has no app instance id; the app gives it in context.externalId, with the type "
                    "ga4AppInstanceId"
                )
            sender["app_instance_id"] = instance
        else:
            own = as_text(given.get("clientId")) or ids.get("ga4ClientId")
            client = own or event.anonymous_id or event.user_id
            if not client:
                raise Permanent("has neither an anonymous id nor a user id")
            sender["client_id"] = client
        if event.user_id:
            sender["user_id"] = event.user_id
        traits = {
            **as_mapping(context.get("traits")),
            **as_mapping(_properties(event).get("user_properties")),
        }
        properties, dropped = user_properties(traits)
        if dropped:
            self._count("user_properties_dropped", dropped)
        if properties:
            sender["user_properties"] = properties
        tracking = as_mapping(context.get("device")).get("adTrackingEnabled")
        if tracking is not None:
            sender["non_personalized_ads"] = as_text(tracking).lower() not in ("true", "1") and (
                tracking is not True
            )
        consents = as_mapping(given.get("consents"))
        consent = {
            key: consents[key]
            for key in ("ad_user_data", "ad_personalization")
            if consents.get(key) in ("GRANTED", "DENIED")
        }
        if consent:
            sender["consent"] = consent
        if self._config.send_ip and as_text(context.get("ip")):
            sender["ip_override"] = as_text(context.get("ip"))
        if self._config.send_user_agent and as_text(context.get("userAgent")):
            sender["user_agent"] = as_text(context.get("userAgent"))
        return sender

    @staticmethod
    def _options(event: Event) -> Mapping[str, Any]:
        return next(filter(None, (integration_options(event, name) for name in _NAMES)), {})

    def _time(self, event: Event) -> int:
        time = parse_ms(event.timestamp or event.original_timestamp or event.received_at)
        if time is None:
            raise Permanent("has no time")
        now = self._clock()
        if time < now - _PAST_MS:
            raise Permanent("is older than 72 hours: Google would count it at another time")
        if time > now + _FUTURE_MS:
            raise Permanent("is more than 15 minutes in the future: Google would count it elsewhen")
        return time

    def _params(self, event: Event, name: str, commerce: Commerce) -> dict[str, Any]:
        """Returns Google's own parameters, then the event's properties, up to the bound."""
        properties = _properties(event)
        params: dict[str, Any] = self._session(event)
        params |= self._page(event, name)
        if name == "join_group":
            group = event.group_id or as_text(event.traits.get("groupId"))
            if group:
                params["group_id"] = group
        if name == "campaign_details":
            campaign = as_mapping(event.context.get("campaign"))
            for key, source in _CAMPAIGN.items():
                if as_text(campaign.get(source)):
                    params[key] = as_text(campaign.get(source))
        for key, sources in commerce.params.items():
            value = next((properties[s] for s in sources if _scalar(properties.get(s))), None)
            if value is not None:
                params[key] = value
        missing = [key for key in commerce.required if key not in params]
        if missing:
            raise Permanent(f"{name} needs {', '.join(missing)}")
        taken = {source for sources in commerce.params.values() for source in sources}
        if commerce.value:
            taken |= {"value", "currency"} | self._add_value(params, commerce, properties)
        items = items_of(commerce.items, properties)
        if items.items:
            params["items"] = items.items
        for what in ("items_dropped", items.dropped), ("params_misnamed", items.misnamed):
            if what[1]:
                self._count(*what)
        self._add_rest(params, properties, taken | items.taken)
        self._cut(params)
        return params

    def _cut(self, params: dict[str, Any]) -> None:
        """Cuts the texts of an event and of its items to the length that Google takes."""
        for table in (params, *params.get("items", ())):
            for key, value in table.items():
                if isinstance(value, str):
                    most = max(_LENGTHS.get(key, 0), self._config.max_value_characters)
                    if len(value) > most:
                        self._count("values_cut", 1)
                        table[key] = value[:most]

    def _add_rest(
        self, params: dict[str, Any], properties: Mapping[str, Any], taken: set[str]
    ) -> None:
        skipped = _NEVER | taken
        rest = list(flattened({k: v for k, v in properties.items() if k not in skipped}))
        known = {*params, *(key for key, _ in rest)}
        over = misnamed = 0
        for key, value in rest:
            name = param_name(key)
            # A changed name never takes the place of another parameter.
            if name is None or (name != key and name in known):
                misnamed += 1
                continue
            known.add(name)
            if len(params) < MAX_PARAMS:
                params.setdefault(name, value)
            elif name not in params:
                over += 1
        if over:
            self._count("params_over_limit", over)
        if misnamed:
            self._count("params_misnamed", misnamed)

    def _add_value(
        self, params: dict[str, Any], commerce: Commerce, properties: Mapping[str, Any]
    ) -> set[str]:
        """Adds value and currency; returns the property that holds the value."""
        prefer_total = self._config.prefer_total
        value, source = value_of(commerce.value, properties, prefer_total=prefer_total)
        currency = as_text(properties.get("currency")).strip().upper()
        if not re.fullmatch("[A-Z]{3}", currency):
            currency = self._config.default_currency
        if not currency:
            return set()  # Google ignores a value without a currency, so it stays a property
        if value is not None:
            params["value"] = value
        params["currency"] = currency
        return {source}

    def _session(self, event: Event) -> dict[str, Any]:
        properties, context, given = _properties(event), event.context, self._options(event)
        engaged = as_number(
            properties.get("engagementTimeMsec", properties.get("engagement_time_msec"))
        )
        found: dict[str, Any] = {"engagement_time_msec": 1 if engaged is None else engaged}
        for key, other in (("session_id", "sessionId"), ("session_number", "sessionNumber")):
            own = properties.get(other), properties.get(key)
            for value in (*own, given.get(other), context.get(other)):
                number = as_number(value)
                if number is not None and number > 0:
                    found[key] = value
                    break
        return found

    @staticmethod
    def _page(event: Event, name: str) -> dict[str, Any]:
        page = as_mapping(event.context.get("page"))
        found = {
            "page_location": page.get("url"),
            "page_referrer": page.get("referrer"),
            "page_title": page.get("title"),
        }
        if name == "page_view":
            properties = event.properties
            found["page_location"] = found["page_location"] or properties.get("url")
            found["page_referrer"] = found["page_referrer"] or properties.get("referrer")
            found["page_title"] = found["page_title"] or properties.get("title") or event.name
        if name == "screen_view":
            found["screen_name"] = event.name
        return {key: as_text(value) for key, value in found.items() if as_text(value)}


def _properties(event: Event) -> Mapping[str, Any]:
    """Returns the properties of an event; those of a group are its traits."""
    return event.traits if event.type == "group" else event.properties


def _scalar(value: object) -> bool:
    return value not in (None, "") and isinstance(value, str | int | float)
