"""Finds the proxy for a request in the environment, and connects through it.

The variables are those that most programs read: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, in
either case. aiohttp's own `trust_env` is not used, because it also sends the passwords of ~/.netrc.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from yarl import URL

from gateway.errors import Misconfigured, Retryable

__all__ = ["Proxies", "Proxy", "tunnel"]

_REFUSED_LOGIN = 407
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\s")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy for HTTP.

    Attributes:
        url: without user and password.
        authorization: header that proves user and password; empty without them.
    """

    url: URL
    authorization: str

    @classmethod
    def parse(cls, text: str, variable: str) -> Proxy:
        """Reads the value of a variable; without a scheme it is an http proxy.

        Raises:
            Misconfigured: it is no http or https URL; the message does not quote it.
        """
        try:
            url = URL(text if "://" in text else f"http://{text}")
        except ValueError:
            url = URL()
        if url.scheme not in ("http", "https") or not url.host:
            raise Misconfigured(f"{variable}: is not the URL of an http or https proxy")
        if url.user is None:
            return cls(url, "")
        login = b64encode(f"{url.user}:{url.password or ''}".encode()).decode()
        return cls(url.with_user(None), f"Basic {login}")

    def options(self, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """Returns options of `aiohttp.ClientSession.request` for a request with these headers."""
        own = {"Proxy-Authorization": self.authorization} if self.authorization else {}
        if URL(url).scheme == "https":
            return {"proxy": self.url, "proxy_headers": own, "headers": headers}
        return {"proxy": self.url, "headers": {**headers, **own}}


class Proxies:
    """The proxies that the environment names.

    Args:
        found: proxy by scheme; ``no`` has the hosts that are reached directly.

    Raises:
        Misconfigured: a variable is no URL of a proxy.
    """

    def __init__(self, found: Mapping[str, str]) -> None:
        self._found = dict(found)
        self._by_scheme = {
            scheme: Proxy.parse(found.get(scheme) or found["all"], f"{scheme.upper()}_PROXY")
            for scheme in ("http", "https")
            if found.get(scheme) or found.get("all")
        }

    @classmethod
    def from_environment(cls) -> Proxies:
        """Reads the environment of this process."""
        return cls(getproxies_environment())

    def for_url(self, text: str) -> Proxy | None:
        """Returns the proxy for a URL; None if its host is reached directly."""
        url = URL(text)
        proxy = self._by_scheme.get(url.scheme)
        if proxy is None or url.host is None:
            return None
        where = f"{url.host}:{url.port}"
        return None if proxy_bypass_environment(where, self._found) else proxy


async def tunnel(proxy: Proxy, host: str, port: int, tls: ssl.SSLContext | None) -> None:
    """Connects to a host through a proxy, and over TLS if `tls` is given; then disconnects.

    Without `tls` only the proxy is reached, as it takes plain requests one by one.

    Raises:
        Misconfigured: the proxy does not accept user or password.
        Retryable: the proxy does not connect.
        OSError: a connection or a TLS handshake fails.
    """
    secure = proxy.url.scheme == "https"
    to_proxy = await asyncio.to_thread(ssl.create_default_context) if secure else None
    assert proxy.url.host is not None
    reader, writer = await asyncio.open_connection(proxy.url.host, proxy.url.port, ssl=to_proxy)
    try:
        if tls is None:
            return
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        head = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n"
        if proxy.authorization:
            head += f"Proxy-Authorization: {proxy.authorization}\r\n"
        writer.write(f"{head}\r\n".encode())
        status = await _status(reader)
        if status == _REFUSED_LOGIN:
            raise Misconfigured("the proxy does not accept user or password (407)")
        if not 200 <= status < 300:
            raise Retryable(f"the proxy does not connect to {where}: {status}")
        await writer.start_tls(tls, server_hostname=host)
    finally:
        writer.transport.abort()


async def _status(reader: asyncio.StreamReader) -> int:
    """Reads the head of an answer, and returns its status."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Retryable("the proxy does not answer in HTTP") from error
    found = _STATUS.match(head)
    if found is None:
        raise Retryable("the proxy does not answer in HTTP")
    return int(found[1])
