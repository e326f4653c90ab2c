"""Basic authentication (RFC 7617), for clients."""

from __future__ import annotations

from base64 import b64encode

__all__ = ["basic_authorization"]


def basic_authorization(user: str, password: str = "") -> str:
    """Returns the value of an Authorization header."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
