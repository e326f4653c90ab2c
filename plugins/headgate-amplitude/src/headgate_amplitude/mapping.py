"""Mapping of events to Amplitude.

Fields: https://amplitude.com/docs/apis/analytics/http-v2. Where common mappings differ, this
package's README says which way is taken here.
"""

from __future__ import annotations

import math
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
    integration_options,
    name_from_template,
    parse_ms,
    real_id,
    utm_parameters,
)
from headgate_amplitude.config import AmplitudeConfig
from headgate_amplitude.device import add_device

__all__ = ["EVENTS", "GROUPS", "USERS", "Mapper"]

EVENTS, GROUPS, USERS = "events", "groupidentify", "usermap"
"""Routes: the endpoint for an entry."""

_LONGEST_TEXT = 1024
"""Most characters of a property; Amplitude cuts off the rest."""


class Mapper:
    """Maps events by one config.

    Args:
        count: gets the number of values that Amplitude will cut, as ``values_cut``.
    """

    def __init__(
        self,
        config: AmplitudeConfig,
        count: Callable[[str, int], None] = lambda what, number: None,
    ) -> None:
        self._config = config
        self._count = count
        self._operations = (
            ("$add", config.increment_traits),
            ("$setOnce", config.set_once_traits),
            ("$append", config.append_traits),
            ("$prepend", config.prepend_traits),
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
        """Returns the entries of an event; none where the config switches off its type.

        Raises:
            Permanent: Amplitude would refuse the event.
        """
        if len(event.raw_properties) > _LONGEST_TEXT:
            self._count_cut(event.properties)
        if len(event.raw_traits) > _LONGEST_TEXT:
            self._count_cut(event.traits)
        return self._by_type[event.type](event)

    def _count_cut(self, body: Mapping[str, Any]) -> None:
        long = sum(isinstance(v, str) and len(v) > _LONGEST_TEXT for v in body.values())
        if long:
            self._count("values_cut", long)

    def _track(self, event: Event) -> list[Entry]:
        if not event.event:
            raise Permanent("the track event has no name")
        if event.event.startswith("[Amplitude] "):
            raise Permanent("names that begin with '[Amplitude] ' are Amplitude's own")
        payload = self._base(event, event.event)
        properties = event.properties
        if properties:
            payload["event_properties"] = properties
        if "revenue" in properties or event.event in ("Order Completed", "Order Refunded"):
            return self._with_revenue(event, payload)
        return [Entry(EVENTS, "", payload)]

    def _identify(self, event: Event) -> list[Entry]:
        return [Entry(EVENTS, "", self._base(event, "$identify"))]

    def _page(self, event: Event) -> list[Entry]:
        return self._viewed(event, self._config.page_name)

    def _screen(self, event: Event) -> list[Entry]:
        return self._viewed(event, self._config.screen_name)

    def _viewed(self, event: Event, template: str) -> list[Entry]:
        properties = event.properties
        own = event.name or as_text(properties.get("name")) or event.event or ""
        name = name_from_template(template, event)
        payload = self._base(event, name)
        body = dict(properties)
        if own:
            body.setdefault("name", own)
        if event.category:
            body.setdefault("category", event.category)
        if body:
            payload["event_properties"] = body
        return [Entry(EVENTS, "", payload)]

    def _group(self, event: Event) -> list[Entry]:
        config = self._config
        payload = self._base(event, "$identify")
        given = integration_options(event, "Amplitude").get("groups")
        if isinstance(given, dict) and as_text(given.get("group_type")):
            kind, value = as_text(given["group_type"]), given.get("group_value")
        elif config.group_type_trait:
            kind = as_text(event.traits.get(config.group_type_trait))
            value = event.traits.get(config.group_value_trait)
        else:
            kind, value = config.group_type, event.group_id
        if not kind and not config.group_type_trait:
            return [Entry(EVENTS, "", payload)]
        if not kind or not as_text(value):
            raise Permanent("the group's type or value is not in the event")
        operations = payload.get("user_properties")
        own = {kind: value}
        payload["user_properties"] = (
            {**operations, "$set": {**operations.get("$set", {}), **own}} if operations else own
        )
        payload["groups"] = own
        about: dict[str, Any] = {"group_type": kind, "group_value": value}
        if event.traits:
            about["group_properties"] = event.traits
        return [Entry(EVENTS, "", payload), Entry(GROUPS, "group", about)]

    def _alias(self, event: Event) -> list[Entry]:
        if not self._config.alias:
            return []
        unmap = as_text(integration_options(event, "Amplitude").get("unmap"))
        if unmap:
            return [Entry(USERS, "", {"user_id": unmap, "unmap": True})]
        if not event.previous_id or not event.user_id:
            raise Permanent("an alias event needs previousId and userId")
        payload = {"user_id": event.previous_id, "global_user_id": event.user_id}
        return [Entry(USERS, "", payload)]

    def _base(self, event: Event, name: str) -> dict[str, Any]:
        """Builds the fields that all events have."""
        config = self._config
        context = event.context
        device = as_mapping(context.get("device"))
        payload: dict[str, Any] = {"event_type": name, "insert_id": event.message_id}
        if user_id := real_id(event.user_id):
            payload["user_id"] = user_id
        ids = (as_text(device.get("id")), event.anonymous_id)
        in_order = ids if config.device_id == "device" else ids[::-1]
        if device_id := next(filter(None, map(real_id, in_order)), None):
            payload["device_id"] = device_id
        elif "user_id" not in payload:
            raise Permanent("has neither a user id nor a device id that Amplitude takes")
        time = parse_ms(event.timestamp or event.original_timestamp or event.received_at)
        if time is not None:
            payload["time"] = time
        given = integration_options(event, "Amplitude")
        session = self._session(event, context, given)
        if session is not None:
            payload["session_id"] = session
        add_device(payload, context, device, user_agent=config.send_user_agent)
        traits: Mapping[str, Any] = {}
        if event.type == "identify":
            traits = event.traits or as_mapping(context.get("traits"))
        elif config.traits_on_events and event.type != "group":
            traits = as_mapping(context.get("traits"))
        traits = self._add_place(payload, context, traits)
        if given:
            self._add_options(payload, event, given)
        user_properties = self._user_properties(event, context, given, traits)
        if user_properties:
            payload["user_properties"] = user_properties
        payload["library"] = "headgate"
        return payload

    @staticmethod
    def _session(event: Event, context: Mapping[str, Any], given: Mapping[str, Any]) -> int | None:
        given = integration_options(event, "Actions Amplitude") or given
        own, of_context = event.extra.get("session_id"), context.get("sessionId")
        for value in (own, given.get("session_id"), of_context):
            if value is None:
                continue
            text = as_text(value).rpartition(":")[2]
            if text.isascii() and text.isdigit() and len(text) < 16:
                return int(text)
        return None

    def _add_place(
        self, payload: dict[str, Any], context: Mapping[str, Any], traits: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Adds the place of the user, and returns the other traits."""
        ip = as_text(context.get("ip"))
        if ip and self._config.send_ip:
            payload["ip"] = ip
        place = as_mapping(context.get("location"))
        address = as_mapping(traits.get("address"))
        if not place and not traits:
            return traits
        for name in ("city", "country", "region", "dma"):
            sources = (traits, place, address if name in ("city", "country") else {})
            text = next(filter(None, (as_text(source.get(name)) for source in sources)), "")
            if text:
                payload[name] = text
        latitude, longitude = as_number(place.get("latitude")), as_number(place.get("longitude"))
        if latitude is not None and longitude is not None:
            payload["location_lat"], payload["location_lng"] = latitude, longitude
        if not traits:
            return traits
        left = flat_address(traits)
        left.pop("city", None)
        left.pop("country", None)
        return left

    @staticmethod
    def _add_options(payload: dict[str, Any], event: Event, given: Mapping[str, Any]) -> None:
        number_of = given.get("event_id")
        if isinstance(number_of, int) and not isinstance(number_of, bool):
            payload["event_id"] = number_of
        if given.get("skipUserPropertiesSync") is True:
            payload["$skip_user_properties_sync"] = True
        groups = given.get("groups")
        if isinstance(groups, dict) and groups and event.type != "group":
            payload["groups"] = groups

    def _user_properties(
        self,
        event: Event,
        context: Mapping[str, Any],
        given: Mapping[str, Any],
        traits: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Returns traits and attribution; as operations if one of them is an operation."""
        config = self._config
        operations: dict[str, dict[str, Any]] = {}
        plain = dict(traits)
        for operation, names in self._operations if traits else ():
            chosen = {name: plain.pop(name) for name in names if name in plain}
            if chosen:
                operations[operation] = chosen
        unset = given.get("fieldsToUnset")
        names_unset = (
            [name for name in unset if isinstance(name, str)] if isinstance(unset, list) else []
        )
        if names_unset:
            operations["$unset"] = dict.fromkeys(names_unset, "-")
        if config.attribution:
            self._add_attribution(utm_parameters(event), context, plain, operations)
        if operations and plain:
            # Amplitude takes either operations or properties, not both together.
            operations["$set"] = plain
        return operations or plain

    @staticmethod
    def _add_attribution(
        found: dict[str, str],
        context: Mapping[str, Any],
        plain: dict[str, Any],
        operations: dict[str, dict[str, Any]],
    ) -> None:
        """Adds campaign and referrer, and once for all the first ones of each user."""
        page = as_mapping(context.get("page"))
        if referrer := as_text(page.get("referrer")):
            found["referrer"] = referrer
        first = {f"initial_{name}": value for name, value in found.items()}
        for name in ("initial_referrer", "initial_referring_domain"):
            if text := as_text(page.get(name)):
                first[name] = text
        if first:
            plain |= found
            operations["$setOnce"] = {**first, **operations.get("$setOnce", {})}

    def _with_revenue(self, event: Event, payload: dict[str, Any]) -> list[Entry]:
        properties = event.properties
        products = properties.get("products")
        items = [p for p in products if isinstance(p, dict)] if isinstance(products, list) else []
        keep = self._config.products == "keep" or event.event == "Order Refunded"
        expanded = bool(items) and not keep
        if expanded and self._config.products == "move":
            rest = {key: value for key, value in properties.items() if key != "products"}
            payload["event_properties"] = rest
        if not (expanded and self._config.revenue_per_product):
            payload |= self._revenue(event)
        entries = [Entry(EVENTS, "", payload)]
        if expanded:
            entries += [self._product(payload, place, item) for place, item in enumerate(items, 1)]
        return entries

    def _revenue(self, event: Event) -> dict[str, Any]:
        properties = event.properties
        price, quantity = as_number(properties.get("price")), as_number(properties.get("quantity"))
        product = price * quantity if price is not None and quantity is not None else None
        kind = as_text(properties.get("revenueType")) or as_text(properties.get("revenue_type"))
        refund = event.event == "Order Refunded"
        revenue = as_number(properties.get("revenue"))
        for name in ("total", "value") if refund else ():
            if revenue is None:
                revenue = as_number(properties.get(name))
        found: dict[str, Any] = {}
        if revenue is None:
            if product is None:
                return {}
            revenue = product
        if refund:
            found["revenue"] = -abs(revenue)
        else:
            found["revenue"] = revenue
            if product is not None and math.isclose(product, revenue):
                # These two override the revenue in Amplitude, so they must agree with it.
                found |= {"price": price, "quantity": quantity}
        product_id = as_text(properties.get("product_id"))
        if product_id:
            found["productId"] = product_id
        found["revenueType"] = kind or ("refund" if refund else self._config.revenue_type)
        return found

    def _product(self, order: dict[str, Any], place: int, item: dict[str, Any]) -> Entry:
        skipped = {"event_properties", "revenue", "price", "quantity", "productId", "revenueType"}
        payload = {key: value for key, value in order.items() if key not in skipped}
        payload |= {
            "event_type": "Product Purchased",
            "insert_id": f"{order['insert_id']}-{place}",
            "event_properties": item,
        }
        price = as_number(item.get("price"))
        if self._config.revenue_per_product and price is not None:
            quantity = as_number(item.get("quantity"))
            payload |= {
                "price": price,
                "quantity": 1 if quantity is None else quantity,
                "revenueType": as_text(item.get("revenueType")) or self._config.revenue_type,
            }
            product_id = as_text(item.get("product_id"))
            if product_id:
                payload["productId"] = product_id
        return Entry(EVENTS, f"product-{place}", payload)
