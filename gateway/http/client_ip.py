"""Finds the address of the client, believing trusted proxies only.

Any client can send an X-Forwarded-For header, and a proxy appends to the one that it receives. So
only the entries that trusted proxies wrote count; these stand at the right end.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from aiohttp import web

from gateway.components.ports import ServerLimits

__all__ = ["ClientAddress", "parse_address"]

_REMEMBERED = 4096
"""Addresses kept in each cache."""

_LONGEST = 100
"""Characters of the longest text that may be an address; cached texts must be short."""


class ClientAddress:
    """Finds the client's address.

    Args:
        server: has the trusted proxies, and the header in which they name the client.
    """

    def __init__(self, server: ServerLimits) -> None:
        self._networks = tuple(
            ipaddress.ip_network(network, strict=False) for network in server.trusted_proxies
        )
        self._header = server.real_ip_header
        self._trusted = lru_cache(maxsize=_REMEMBERED)(self._in_networks)

    def trusted(self, request: web.BaseRequest) -> bool:
        """Tells whether the connection itself comes from a trusted proxy."""
        peer = parse_address(request.remote or "")
        return peer is not None and self._trusted(peer)

    def of(self, request: web.BaseRequest) -> str | None:
        """Returns the client's address; None where there is none, as on a Unix socket.

        The first of these that there is:

        1. the peer's address, if it is no trusted proxy; its headers are ignored;
        2. the rightmost address in X-Forwarded-For that is no trusted proxy's;
        3. the address in the configured header;
        4. the leftmost of the trusted proxies in X-Forwarded-For;
        5. the peer's address.
        """
        peer = parse_address(request.remote or "")
        if peer is None or not self._trusted(peer):
            return peer
        nearest = peer
        hops = ",".join(request.headers.getall("X-Forwarded-For", ()))
        for hop in reversed(hops.split(",")) if hops else ():
            address = parse_address(hop)
            if address is None:
                break  # no trusted proxy wrote what stands left of this
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
    """Returns an IP address in its shortest form; None for a text that is no address.

    Port, brackets and zone are removed. An IPv4 address mapped into IPv6 becomes IPv4.
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
