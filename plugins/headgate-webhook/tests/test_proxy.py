"""The proxy that the environment names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import Misconfigured, Retryable
from gateway.testing import FakeVendor, make_batch

LOGIN = "Basic dXNlcjpwYXNz"  # user:pass
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class Proxy:
    """Passes connections on, and answers plain requests itself.

    Attributes:
        seen: the request lines.
        status: its answer, unless it asks for a login.
        login: the login that it asks for; empty for none.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.status = 200
        self.login = ""
        self.port = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line = head.split("\r\n", 1)[0]
        self.seen.append(line.removesuffix(" HTTP/1.1"))
        status = self.status
        if self.login and f"Proxy-Authorization: {self.login}\r\n" not in head:
            status = 407
        connects = line.startswith("CONNECT") and status == 200
        length = "" if connects else "Content-Length: 0\r\nConnection: close\r\n"
        writer.write(f"HTTP/1.1 {status} Any\r\n{length}\r\n".encode())
        if connects:
            host, port = line.split()[1].split(":")
            there, onward = await asyncio.open_connection(host, int(port))
            await asyncio.gather(_pump(reader, onward), _pump(there, writer))
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    writer.close()


@asynccontextmanager
async def _serving(proxy: Proxy) -> AsyncIterator[None]:
    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """A proxy that the environment names for both schemes."""
    proxy = Proxy()
    async with _serving(proxy):
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")  # a scheme is optional
        yield proxy


async def test_the_environment_has_no_effect_unless_asked_for(
    make: Any, vendor: FakeVendor, proxy: Proxy
) -> None:
    """Without trust_env requests go straight to their host."""
    destination = await make(vendor.url)
    await destination.send(make_batch())

    assert (len(vendor.requests), proxy.seen) == (1, [])


async def test_a_plain_request_goes_through_the_proxy(make: Any, proxy: Proxy) -> None:
    """With trust_env the proxy gets the whole URL, and reaches hosts that only it knows."""
    destination = await make("http://vendor.invalid/in", trust_env=True)
    await destination.check()
    await destination.send(make_batch())

    assert proxy.seen == ["POST http://vendor.invalid/in"]


async def test_a_secure_request_goes_through_a_tunnel(
    make: Any, secure: FakeVendor, certificate: Path, proxy: Proxy
) -> None:
    """Over https the proxy only connects; the server proves its identity, also to `check`."""
    destination = await make(secure.url, trust_env=True, ca_file=str(certificate))
    await destination.check()
    await destination.send(make_batch())
    assert len(secure.requests) == 1
    assert [line.split()[0] for line in proxy.seen] == ["CONNECT", "CONNECT"]

    stranger = await make(secure.url, trust_env=True)
    with pytest.raises(Misconfigured, match="certificate"):
        await stranger.check()
    with pytest.raises(Misconfigured, match="certificate"):
        await stranger.send(make_batch())


async def test_no_proxy_names_hosts_that_are_reached_directly(
    make: Any, vendor: FakeVendor, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_PROXY wins over HTTP_PROXY."""
    monkeypatch.setenv("NO_PROXY", "example.com,127.0.0.1")
    destination = await make(vendor.url, trust_env=True)
    await destination.check()
    await destination.send(make_batch())

    assert (len(vendor.requests), proxy.seen) == (1, [])


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_wants_a_login_gets_it_or_pauses_delivery(
    make: Any,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    secure: FakeVendor,
    certificate: Path,
) -> None:
    """User and password come from the variable; a refusal keeps the events and shows neither."""
    proxy.login = LOGIN
    keys = {"trust_env": True, "ca_file": str(certificate)}
    url = secure.url if scheme == "https" else "http://vendor.invalid/in"
    refused = await make(url, **keys)
    with pytest.raises(Misconfigured, match="proxy does not accept user or password"):
        await refused.send(make_batch())

    name = f"{scheme.upper()}_PROXY"
    monkeypatch.setenv(name, f"http://user:pass@127.0.0.1:{proxy.port}")
    destination = await make(url, **keys)
    await destination.check()
    await destination.send(make_batch())


@pytest.mark.parametrize("status", [403, 502])
async def test_a_proxy_that_does_not_connect_is_tried_again(
    make: Any, secure: FakeVendor, proxy: Proxy, status: int
) -> None:
    """No event is given up because a proxy refuses a tunnel."""
    proxy.status = status
    destination = await make(secure.url, trust_env=True)
    with pytest.raises(Retryable, match=str(status)):
        await destination.send(make_batch())
    with pytest.raises(Retryable, match=str(status)):
        await destination.check()


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1", "http://", "http://user:hush@:x"])
async def test_a_variable_that_names_no_http_proxy_is_refused_at_start(
    make: Any, monkeypatch: pytest.MonkeyPatch, value: str, proxy: Proxy
) -> None:
    """The error names the variable, and does not quote it."""
    monkeypatch.setenv("HTTP_PROXY", value)
    with pytest.raises(Misconfigured, match="HTTP_PROXY: is not the URL") as caught:
        await make("http://vendor.invalid/in", trust_env=True)
    assert "hush" not in str(caught.value)
