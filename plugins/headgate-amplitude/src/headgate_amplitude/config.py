"""Config of a destination with ``type = "amplitude"``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gateway import Secret, VendorSettings

__all__ = ["AmplitudeConfig"]


class AmplitudeConfig(VendorSettings, frozen=True, kw_only=True):
    """Settings of the destination.

    Attributes:
        api_key: of the project.
        region: of the project's data.
        api: ``http`` is ``/2/httpapi``, with low limits, whose events show at once; ``batch`` is
            ``/batch``. ``auto`` uses ``http`` for the first attempt at a small batch, and ``batch``
            for all others.
        min_id_length: Amplitude refuses shorter ids.
        device_id: preferred source of device ids: ``device`` is ``context.device.id``,
            ``anonymous`` is ``anonymousId``. The other one is used where it is missing.
        page_name, screen_name: names of page and screen events. ``{{name}}``, ``{{category}}`` and
            ``{{event}}`` stand for the event's own, any other key for the property of that name.
        traits_on_events: whether ``context.traits`` of every event, and not of identify only,
            become user properties.
        attribution: whether campaign and referrer become user properties.
        increment_traits, set_once_traits, append_traits, prepend_traits: traits of identify that
            change the user's property by that operation instead of setting it.
        group_type: of all groups; the group's id is the value.
        group_type_trait, group_value_trait: traits of group events with type and value, instead of
            `group_type`.
        products: treatment of the products of an event with revenue. ``copy`` also sends each as an
            event ``Product Purchased``; ``move`` does so and removes them from the order.
        revenue_per_product: whether these events carry the revenue instead of the order.
        revenue_type: for events that name none.
        alias: whether alias events map one user to another. Sending events cannot undo that.
        send_ip, send_user_agent: whether to send them to Amplitude.
        secret_key: of the project, for the deletion of users. Without it, `gateway erase` reports
            that a person has to delete them in Amplitude.
        requester: named in Amplitude as the requester of deletions.
    """

    api_key: Secret
    region: Literal["us", "eu"] = "us"
    api: Literal["auto", "http", "batch"] = "auto"
    min_id_length: Annotated[int, Meta(ge=1)] = 1
    device_id: Literal["device", "anonymous"] = "device"
    page_name: str = "Viewed {{name}} Page"
    screen_name: str = "Viewed {{name}} Screen"
    traits_on_events: bool = False
    attribution: bool = True
    increment_traits: tuple[str, ...] = ()
    set_once_traits: tuple[str, ...] = ()
    append_traits: tuple[str, ...] = ()
    prepend_traits: tuple[str, ...] = ()
    group_type: str = ""
    group_type_trait: str = ""
    group_value_trait: str = ""
    products: Literal["keep", "copy", "move"] = "keep"
    revenue_per_product: bool = False
    revenue_type: str = "Purchase"
    alias: bool = False
    send_ip: bool = True
    send_user_agent: bool = True
    secret_key: Secret | None = None
    requester: str = "headgate"

    def __post_init__(self) -> None:
        """Checks what types cannot express; the messages show no values."""
        VendorSettings.__post_init__(self)
        if not self.api_key.reveal().strip():
            raise ValueError("api_key: is empty")
        if not self.page_name.strip() or not self.screen_name.strip():
            raise ValueError("page_name, screen_name: must not be empty")
        if bool(self.group_type_trait) != bool(self.group_value_trait):
            raise ValueError("group_type_trait: goes together with group_value_trait")
        if self.group_type and self.group_type_trait:
            raise ValueError("group_type: either that or group_type_trait, not both")
        if self.revenue_per_product and self.products == "keep":
            raise ValueError('revenue_per_product: needs products = "copy" or "move"')

    def deletions(self) -> str:
        """Returns the URL of the endpoint for deletion, which has a host of its own."""
        host = (
            "https://analytics.eu.amplitude.com" if self.region == "eu" else "https://amplitude.com"
        )
        return self.at(host, "/api/2/deletions/users")

    def endpoint(self, path: str) -> str:
        """Returns the URL of one of Amplitude's endpoints."""
        host = (
            "https://api.eu.amplitude.com" if self.region == "eu" else "https://api2.amplitude.com"
        )
        if path == "/usermap" and self.region == "us":
            host = "https://api.amplitude.com"
        return self.at(host, path)
