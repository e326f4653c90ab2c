"""A proxy in front of a gateway; it fails as proxies and networks do."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import urlsplit

__all__ = ["FailingProxy", "Seen"]

Fate = Literal["refuse", "lose"]
"""Fate of a request. ``refuse``: it is answered 503, and the gateway never sees it. ``lose``: it is
passed on, and the connection is closed in place of the answer."""

_OVERLOADED = json.dumps(
    {"success": False, "code": "overloaded", "message": "Later.", "error": "Later."}
).encode()


@dataclass(frozen=True)
class Seen:
    """A request and its fate."""

    path: str
    fate: Fate | None
    headers: Message
    body: bytes

    def json(self) -> Any:
        """Decodes the body, which may be compressed."""
        packed = self.headers["Content-Encoding"] == "gzip"
        return json.loads(gzip.decompress(self.body) if packed else self.body)


class FailingProxy:
    """Listens on a free loopback port while its ``with`` block runs.

    Args:
        url: of the gateway.
        fates: of the first requests; later requests and their answers are passed on.
    """

    def __init__(self, url: str, fates: Sequence[Fate]) -> None:
        self.requests: list[Seen] = []
        self._gateway = urlsplit(url).netloc
        self._fates = list(fates)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _decide(self, path: str, headers: Message, body: bytes) -> Seen:
        with self._lock:
            fate = self._fates.pop(0) if self._fates else None
            seen = Seen(path, fate, headers, body)
            self.requests.append(seen)
        return seen

    def _ask(self, seen: Seen) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self._gateway, timeout=10)
        try:
            connection.request("POST", seen.path, seen.body, dict(seen.headers.items()))
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 5  # seconds of an idle connection, after which its thread ends

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                seen = proxy._decide(self.path, self.headers, body)
                if seen.fate == "refuse":
                    self._answer(503, [("Retry-After", "1")], _OVERLOADED)
                    return
                answer = proxy._ask(seen)
                if seen.fate == "lose":
                    self.close_connection = True
                else:
                    self._answer(*answer)

            def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("content-length", "date", "server", "connection"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
