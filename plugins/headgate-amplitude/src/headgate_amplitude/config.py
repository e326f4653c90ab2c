"""What a user writes in config.toml."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gateway import Secret, VendorSettings

__all__ = ["AmplitudeConfig"]


class AmplitudeConfig(VendorSettings, frozen=True, kw_only=True):
    """Keys of a destination with ``type = "amplitude"``.

    Attributes:
        api_key: of the project.
        region: where the project's data is kept.
        api: ``http`` is ``/2/httpapi``, whose limits are low and whose events show at once;
            ``batch`` is ``/batch``. ``auto`` takes ``http`` for small batches at their first
            attempt and ``batch`` for all others.
        min_id_length: shorter ids are refused by Amplitude.
        device_id: where it comes from first: ``device`` is ``context.device.id``, ``anonymous`` is
            ``anonymousId``; the other is taken where there is none.
        page_name, screen_name: what page and screen events are called. ``{{name}}``,
            ``{{category}}`` and ``{{event}}`` stand for the event's own, any other key for the
            property of that name.
        traits_on_events: whether ``context.traits`` become user properties with every event, and
            not by identify only.
        attribution: whether campaign and referrer become user properties.
        increment_traits, set_once_traits, append_traits, prepend_traits: traits of identify that
            change the user's property by that operation in place of setting it.
        group_type: of all groups; the group's id is its value.
        group_type_trait, group_value_trait: traits of group events that hold type and value, in
            place of `group_type`.
        products: what becomes of the products of an event with revenue. ``copy`` sends each as an
            event ``Product Purchased`` too, and ``move`` does so and takes them out of the order.
        revenue_per_product: whether revenue is counted on those, and then not on the order.
        revenue_type: where an event does not name one.
        alias: whether alias events map one user to another, which cannot be undone by sending
            events.
        send_ip, send_user_agent: whether Amplitude gets them.
        secret_key: of the project, for the deletion of users; without it `gateway erase` leaves
            Amplitude to a person.
        requester: who is named there as having asked for deletions.
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
        """Check what the types cannot say; the texts show no values."""
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
        """The URL of the endpoint for deletion, which is on another host than that for events."""
        host = (
            "https://analytics.eu.amplitude.com" if self.region == "eu" else "https://amplitude.com"
        )
        return self.at(host, "/api/2/deletions/users")

    def endpoint(self, path: str) -> str:
        """The URL of one of Amplitude's endpoints."""
        host = (
            "https://api.eu.amplitude.com" if self.region == "eu" else "https://api2.amplitude.com"
        )
        if path == "/usermap" and self.region == "us":
            host = "https://api.amplitude.com"
        return self.at(host, path)
