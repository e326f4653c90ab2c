"""Config of a destination with ``type = "mixpanel"``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gateway import Secret, VendorSettings

__all__ = ["MixpanelConfig"]

_HOSTS = {
    "us": "https://api.mixpanel.com",
    "eu": "https://api-eu.mixpanel.com",
    "in": "https://api-in.mixpanel.com",
}
_APP_HOSTS = {
    "us": "https://mixpanel.com",
    "eu": "https://eu.mixpanel.com",
    "in": "https://in.mixpanel.com",
}


class MixpanelConfig(VendorSettings, frozen=True, kw_only=True):
    """Settings of the destination.

    Attributes:
        token: of the project; it names the project in updates of profiles and groups.
        service_account, service_secret, project_id: credentials for imports; without them the
            token is used.
        region: of the project's data.
        api: ``import`` is ``/import``, which takes events of any age and names those that it
            refuses. ``track`` is ``/track``, for events of the last 5 days, with the limits of live
            traffic; older events are imported.
        identity: the project's way of joining ids. ``simplified`` joins by a device id and a user
            id on every event, ``original`` by events that join two ids for good.
        page_name, screen_name: names of page and screen events. ``{{name}}``, ``{{category}}`` and
            ``{{event}}`` stand for the event's own, any other key for the property of that name.
        traits_on_events: whether ``context.traits`` become properties of every event.
        set_once_traits, union_traits, append_traits, increment_traits: traits of identify that
            change the profile by that operation instead of setting it.
        increment_properties: of track, page and screen events; their numbers are added to the
            user's profile, and stay on the event.
        group_keys: of the project. ``groupId`` is the value of the first, whatever the traits say;
            the others, and the first without ``groupId``, are traits of a group event.
        send_ip: whether to send the user's address to Mixpanel, which derives a place from it.
        browser: whether events from browsers get name and version of the browser, from the
            User-Agent.
        compress: whether imports are compressed.
        max_request_bytes: of an import, before compression.
        gdpr_token: OAuth token for the deletion of users, from the privacy settings of a user who
            may delete them. Without it, `gateway erase` reports that a person has to delete them
            in Mixpanel.
        compliance: the law that deletions are recorded under.
    """

    token: Secret
    service_account: str = ""
    service_secret: Secret | None = None
    project_id: str = ""
    region: Literal["us", "eu", "in"] = "us"
    api: Literal["import", "track"] = "import"
    identity: Literal["simplified", "original"] = "simplified"
    page_name: str = "Viewed {{name}} Page"
    screen_name: str = "Viewed {{name}} Screen"
    traits_on_events: bool = False
    set_once_traits: tuple[str, ...] = ()
    union_traits: tuple[str, ...] = ()
    append_traits: tuple[str, ...] = ()
    increment_traits: tuple[str, ...] = ()
    increment_properties: tuple[str, ...] = ()
    group_keys: tuple[str, ...] = ()
    send_ip: bool = True
    browser: bool = True
    compress: bool = True
    max_request_bytes: Annotated[int, Meta(ge=1_000_000, le=10_000_000)] = 2_000_000
    gdpr_token: Secret | None = None
    compliance: Literal["GDPR", "CCPA"] = "GDPR"

    def __post_init__(self) -> None:
        """Checks what types cannot express; the messages show no values."""
        VendorSettings.__post_init__(self)
        if not self.token.reveal().strip():
            raise ValueError("token: is empty")
        account = (self.service_account, self.service_secret, self.project_id)
        if any(account) and not all(account):
            raise ValueError(
                "service_account: give service_secret and project_id with it, or none of them"
            )
        if not self.page_name.strip() or not self.screen_name.strip():
            raise ValueError("page_name, screen_name: must not be empty")

    def deletions(self, path: str) -> str:
        """Returns the URL of an endpoint for deletion, which has a host of its own."""
        return self.at(_APP_HOSTS[self.region], f"/api/app/data-deletions/v3.0/{path}")

    def endpoint(self, path: str) -> str:
        """Returns the URL of one of Mixpanel's endpoints."""
        return self.at(_HOSTS[self.region], path)
