"""A client that writes any bytes to the gateway's socket."""

from __future__ import annotations

import json
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["Answer", "basic", "connect", "exchange", "read_answers", "request"]

_PATIENCE_SECONDS = 10
_DRIP_SECONDS = 0.05


@dataclass(frozen=True)
class Answer:
    """A parsed answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error; fails if the body is not what SDKs need."""
        error = json.loads(self.body)
        assert error.keys() == {"success", "code", "message", "error"}
        assert error["success"] is False
        assert all(isinstance(error[key], str) for key in ("code", "message", "error"))
        assert self.headers["content-type"] == "application/json"
        return str(error["code"])


def basic(write_key: str) -> bytes:
    """Makes the header with a write key."""
    return b"Authorization: Basic " + b64encode(f"{write_key}:".encode())


def request(
    body: bytes | None,
    *headers: bytes,
    path: bytes = b"/v1/track",
    method: bytes = b"POST",
    close: bool = True,
) -> bytes:
    """Makes a request with correct framing, unless `headers` and `body` make it wrong.

    Args:
        body: None leaves out Content-Length.
        close: asks the gateway to close the connection after the answer.
    """
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: gateway.example"]
    if close:
        lines.append(b"Connection: close")
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, *headers, b"", body or b""])


@contextmanager
def connect(url: str) -> Iterator[socket.socket]:
    """Opens a connection to a gateway."""
    address = urlsplit(url)
    with socket.create_connection(
        (address.hostname, address.port), _PATIENCE_SECONDS
    ) as connection:
        yield connection


def exchange(url: str, data: bytes, *, half_close: bool = False, drip: bytes = b"") -> list[Answer]:
    """Sends bytes over a new connection, and returns the answers once the gateway closes it.

    Args:
        half_close: closes the sending side after the bytes.
        drip: sent again and again, slowly, until the gateway closes the connection.
    """
    with connect(url) as connection:
        # The gateway may answer and close before it has read everything.
        with suppress(ConnectionError):
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        return read_answers(connection, (lambda: connection.send(drip)) if drip else None)


def read_answers(
    connection: socket.socket, meanwhile: Callable[[], object] | None = None
) -> list[Answer]:
    """Reads all answers until the gateway closes the connection."""
    received = bytearray()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with suppress(ConnectionError):
        while True:
            connection.settimeout(_DRIP_SECONDS)
            try:
                piece = connection.recv(1 << 16)
            except TimeoutError:
                assert time.monotonic() < deadline, f"still open after {bytes(received)!r}"
                if meanwhile is not None:
                    meanwhile()
                continue
            if not piece:
                break
            received += piece
    return list(_parse(bytes(received)))


def _parse(data: bytes) -> Iterator[Answer]:
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        length = int(headers.get("content-length", "0"))
        assert len(data) >= length or not data  # no body follows the head of an answer to HEAD
        yield Answer(int(status_line.split()[1]), headers, data[:length])
        data = data[length:]
