"""Config of a destination with ``type = "webhook"``."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from gateway import HttpSettings, Secret, secrets_of_url

__all__ = ["WebhookConfig", "secrets_of"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_VALUE = re.compile(r"[\x20-\x7e]*")
_SET_BY_US = {
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "idempotency-key",
    "transfer-encoding",
}
_OUR_PREFIX = "x-headgate-"


class WebhookConfig(HttpSettings, frozen=True, kw_only=True):
    """Settings of the destination.

    Attributes:
        url: of the endpoint, http or https. Never shown, as the path of such a URL is often the
            only credential.
        method: of the requests.
        headers: to add to each request, such as ``Authorization``. Their values are never shown.
        secret: signs each request; without it requests are not signed.
        format: ``json`` is ``{"batch": [...]}``, ``json_array`` is ``[...]``, and ``ndjson`` has
            one event a line.
        compress: ``gzip`` compresses bodies.
    """

    url: Secret
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    headers: dict[str, Secret] = msgspec.field(default_factory=dict)
    secret: Secret | None = None
    format: Literal["json", "ndjson", "json_array"] = "json"
    compress: Literal["none", "gzip"] = "none"

    def __post_init__(self) -> None:
        """Checks what types cannot express; the messages show no values."""
        _check_url(self.url.reveal())
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name):
                raise ValueError(f"headers: {name!r} is not the name of a header")
            if name.lower() in _SET_BY_US or name.lower().startswith(_OUR_PREFIX):
                raise ValueError(f"headers: {name} is set by the gateway")
            if not _VALUE.fullmatch(value.reveal()):
                raise ValueError(f"headers: the value of {name} must be printable ASCII")
        if self.secret is not None and not self.secret:
            raise ValueError("secret: is empty; leave it out to send without a signature")
        HttpSettings.__post_init__(self)


def secrets_of(config: WebhookConfig) -> list[str]:
    """Returns all secrets of the config, and the parts of them that work alone."""
    found = secrets_of_url(config.url.reveal())
    for value in config.headers.values():
        found += [value.reveal(), *value.reveal().split()]  # "Bearer ..." and the token alone
    if config.secret is not None:
        found.append(config.secret.reveal())
    return found


def _check_url(url: str) -> None:
    if not all(" " < character != "\x7f" for character in url):
        raise ValueError("url: must not contain spaces or control characters")
    wrong = "url: must be an http or https URL with a host"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(wrong) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(wrong)
    if "@" in parts.netloc:
        raise ValueError("url: give a name and password as an Authorization header instead")
    if parts.fragment:
        raise ValueError("url: a fragment (#...) is not sent; leave it out")
