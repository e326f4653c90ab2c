"""Keys of config that destinations over HTTP share."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

__all__ = ["HttpSettings", "VendorSettings"]


class HttpSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Keys of every destination over HTTP; its config inherits from this.

    Attributes:
        connect_timeout_seconds: limit for the connection and its TLS handshake. The gateway's
            ``timeout_seconds`` limits the whole attempt.
        verify_tls: the server must prove its identity.
        ca_file: certificates in PEM form to trust instead of the system's.
        trust_env: requests go through the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names,
            except to hosts in NO_PROXY. Without it these variables have no effect.
        max_response_bytes: bytes of an answer that are read.
        error_body_timeout_seconds: limit for reading the body of an answer that reports an error.
    """

    connect_timeout_seconds: Annotated[float, Meta(gt=0)] = 10.0
    verify_tls: bool = True
    ca_file: str = ""
    trust_env: bool = False
    max_response_bytes: Annotated[int, Meta(ge=1024)] = 262_144
    error_body_timeout_seconds: Annotated[float, Meta(gt=0)] = 2.0

    def __post_init__(self) -> None:
        """Checks what types cannot express; a subclass calls it from its own `__post_init__`."""
        if self.ca_file and not self.verify_tls:
            raise ValueError("ca_file: has no effect with verify_tls = false")


class VendorSettings(HttpSettings, frozen=True, kw_only=True):
    """Keys of a destination whose host is known.

    Attributes:
        url: replaces that host, for a proxy.
    """

    url: str = ""

    def __post_init__(self) -> None:
        """Checks what types cannot express."""
        HttpSettings.__post_init__(self)
        if self.url:
            parts = urlsplit(self.url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
                raise ValueError("url: must be an http or https URL with a host, without a query")

    def at(self, host: str, path: str) -> str:
        """Returns the URL of a path, at the vendor's host unless another is set."""
        return (self.url.rstrip("/") or host) + path
