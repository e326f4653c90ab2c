"""The address of the client."""

from __future__ import annotations

import ipaddress

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.config.settings import ServerConfig
from gateway.http.client_ip import ClientAddress, parse_address


def of(
    peer: str | None,
    *forwarded: str,
    trusted: tuple[str, ...] = ("10.0.0.0/8", "fd00::/8"),
    header: str = "",
    **headers: str,
) -> str | None:
    """Returns the client's address for `peer` with these X-Forwarded-For lines and headers."""
    lines = CIMultiDict([("X-Forwarded-For", line) for line in forwarded])
    lines.extend({name.replace("_", "-"): value for name, value in headers.items()})
    request = make_mocked_request("POST", "/", headers=lines).clone(remote=peer or "")
    config = ServerConfig(trusted_proxies=trusted, real_ip_header=header)
    return ClientAddress(config).of(request)


def test_untrusted_peer_is_the_client() -> None:
    """The headers of a peer that is no trusted proxy are ignored."""
    assert of("8.8.8.8", "1.2.3.4", header="x-real-ip", x_real_ip="4.4.4.4") == "8.8.8.8"
    assert of("10.0.0.1", "1.2.3.4", trusted=()) == "10.0.0.1"


def test_rightmost_that_is_not_a_proxy() -> None:
    """The rightmost entry of X-Forwarded-For that is no trusted proxy is the client."""
    assert of("10.0.0.1", "6.6.6.6, 1.2.3.4") == "1.2.3.4"
    assert of("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.9, 10.0.0.8") == "1.2.3.4"
    assert of("10.0.0.1", "6.6.6.6", "1.2.3.4", "10.0.0.9") == "1.2.3.4"


def test_nobody_vouches_for_what_stands_left_of_garbage() -> None:
    """An entry that is no address ends the search, because those left of it may be forged."""
    assert of("10.0.0.1", "6.6.6.6, unknown, 10.0.0.9") == "10.0.0.9"
    assert of("10.0.0.1", "6.6.6.6, unknown") == "10.0.0.1"
    named = of("10.0.0.1", "6.6.6.6, unknown", header="x-real-ip", x_real_ip="4.4.4.4")
    assert named == "4.4.4.4"


def test_header_only_where_the_list_says_nothing() -> None:
    """The configured header counts only where X-Forwarded-For names no client."""
    both = of("10.0.0.1", "1.2.3.4", header="cf-connecting-ip", cf_connecting_ip="4.4.4.4")
    assert both == "1.2.3.4"
    assert of("10.0.0.1", header="cf-connecting-ip", cf_connecting_ip="4.4.4.4") == "4.4.4.4"
    assert of("10.0.0.1", cf_connecting_ip="4.4.4.4") == "10.0.0.1"
    assert of("10.0.0.1", header="cf-connecting-ip", cf_connecting_ip="nonsense") == "10.0.0.1"


def test_client_inside_the_trusted_network() -> None:
    """Where all addresses are trusted, the leftmost is the client."""
    assert of("10.0.0.1", "10.5.5.5, 10.0.0.9") == "10.5.5.5"


def test_no_peer() -> None:
    """A connection without an address, such as a Unix socket, has no client address."""
    assert of(None, "1.2.3.4") is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" 1.2.3.4 ", "1.2.3.4"),
        ("1.2.3.4:5678", "1.2.3.4"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:0db8:0000::0001", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("", None),
        ("unknown", None),
        ("1.2.3", None),
        ("1.2.3.400", None),
        ("1.2.3.4, 5.6.7.8", None),
        ("_hidden", None),
        ("1.2.3.4" + " " * 100, None),
        ("9" * 100_000, None),
    ],
)
def test_forms_of_addresses(text: str, address: str | None) -> None:
    """Ports, brackets and zones are removed, and a text that is no address gives None."""
    assert parse_address(text) == address


@given(st.text())
def test_any_text(text: str) -> None:
    """For any text the result is an address in its shortest form, or None."""
    address = parse_address(text)
    assert address is None or str(ipaddress.ip_address(address)) == address


@given(st.ip_addresses(), st.integers(0, 65535))
def test_address_with_port(address: ipaddress.IPv4Address, port: int) -> None:
    """Every address is read, alone and with a port."""
    mapped = getattr(address, "ipv4_mapped", None)
    expected = str(mapped or address)
    shown = f"[{address}]" if address.version == 6 else f"{address}"
    assert parse_address(str(address)) == expected
    assert parse_address(f"{shown}:{port}") == expected


@given(st.lists(st.ip_addresses().map(str)), st.lists(st.ip_addresses(v=4).map(str)))
def test_forged_entries_never_win(forged: list[str], proxies: list[str]) -> None:
    """Whatever a client sends, the address that the proxy appended wins."""
    inner = [f"10.{proxy.split('.', 1)[1]}" for proxy in proxies]
    assert of("10.0.0.1", ", ".join([*forged, "1.2.3.4", *inner])) == "1.2.3.4"
