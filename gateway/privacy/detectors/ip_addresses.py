"""Finds IP addresses in text, and cuts them down to their network."""

from __future__ import annotations

import ipaddress
import re
from itertools import repeat

from gateway.privacy.detectors.spans import Span, gaps

__all__ = ["coarse_ip", "find_ips", "is_coarse"]

_IPV6_KEPT_BITS = 48  # and 24 bits of an IPv4 address: in most places the network of a provider

_IPV4 = re.compile(r"[0-9](?<![\w.].)(?<!\w/.)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])")
_IPV6_TOKEN = re.compile(r"[0-9A-Fa-f:.]+")
_FULL_IPV6 = re.compile("[23Ff][0-9A-Fa-f]{3}:")  # 2000::/3, fc00::/7, fe80::/10: all there are
_LONGEST_IPV6 = 45
_LEAST_IPV6_DIGITS = 4


def find_ips(text: str) -> list[Span]:
    """Returns the span of each address in a text, without loopback and unspecified ones."""
    spans: list[Span] = []
    if text.count(":") > 1:
        tokens = map(_ipv6_of_token, repeat(text), _IPV6_TOKEN.finditer(text))
        spans = [span for span in tokens if span is not None]
    if text.count(".") > 2:
        for start, end in gaps(spans, len(text)):
            matches = _IPV4.finditer(text, start, end)
            spans += [match.span() for match in matches if _address(match[0]) is not None]
    return spans


def _ipv6_of_token(text: str, match: re.Match[str]) -> Span | None:
    token = match[0].rstrip(".")
    if token.endswith(":") and not token.endswith("::"):
        token = token[:-1]
    if token.count(":") < 2 or len(token) > _LONGEST_IPV6:
        return None
    start, end = match.start(), match.start() + len(token)
    if _is_word(text[start - 1 : start]) or _is_word(text[end : end + 1]):
        return None
    if "::" not in token and not _FULL_IPV6.match(token):
        return None
    digits = sum(map(str.isalnum, token))
    return (start, end) if digits >= _LEAST_IPV6_DIGITS and _address(token) else None


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if address.is_loopback or address.is_unspecified else address


def coarse_ip(text: str) -> str:
    """Returns an address with its host part set to 0."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is not None:
            return f"::ffff:{coarse_ip(str(mapped))}"
        hidden_bits = 128 - _IPV6_KEPT_BITS
        return str(ipaddress.IPv6Address(int(address) >> hidden_bits << hidden_bits))
    return f"{text.rpartition('.')[0]}.0"


def is_coarse(address: str) -> bool:
    """Tells whether `coarse_ip` has cut an address down, or its host part was 0 before."""
    return address.endswith((".0", "::"))
