"""The address of the client, as far as it can be believed.

Anybody can send an X-Forwarded-For header, and a proxy appends to what it was sent: only what
trusted proxies wrote, counted from the right, says anything.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from aiohttp import web

from gateway.components.ports import ServerLimits

__all__ = ["ClientAddress", "parse_address"]

_REMEMBERED = 4096
"""Addresses whose parsed form, or whether they are trusted, is kept."""

_LONGEST = 100
"""Characters beyond which a text is no address: what is kept must be short."""


class ClientAddress:
    """Finds the client's address.

    Args:
        server: names the trusted proxies and the header in which they name the client.
    """

    def __init__(self, server: ServerLimits) -> None:
        self._networks = tuple(
            ipaddress.ip_network(network, strict=False) for network in server.trusted_proxies
        )
        self._header = server.real_ip_header
        self._trusted = lru_cache(maxsize=_REMEMBERED)(self._in_networks)

    def trusted(self, request: web.BaseRequest) -> bool:
        """Whether the connection itself comes from a trusted proxy."""
        peer = parse_address(request.remote or "")
        return peer is not None and self._trusted(peer)

    def of(self, request: web.BaseRequest) -> str | None:
        """The client's address, or None where there is none, as on a Unix socket.

        Of X-Forwarded-For the rightmost address that is not a trusted proxy's; else the configured
        header; else, where all addresses are trusted proxies', the leftmost; else the peer's. From
        a peer that is not trusted headers are not looked at.
        """
        peer = parse_address(request.remote or "")
        if peer is None or not self._trusted(peer):
            return peer
        nearest = peer
        hops = ",".join(request.headers.getall("X-Forwarded-For", ()))
        for hop in reversed(hops.split(",")) if hops else ():
            address = parse_address(hop)
            if address is None:
                break  # nobody vouches for what stands left of this
            if not self._trusted(address):
                return address
            nearest = address
        if self._header:
            named = parse_address(request.headers.get(self._header, ""))
            if named is not None:
                return named
        return nearest

    def _in_networks(self, address: str) -> bool:
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._networks)


def parse_address(text: str) -> str | None:
    """An IP address in its shortest form, without port, brackets or zone; None if it is none.

    IPv4 addresses mapped into IPv6 come back as IPv4.
    """
    return _parse(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=_REMEMBERED)
def _parse(text: str) -> str | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
