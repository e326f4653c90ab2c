"""Client of a running gateway's admin API; finds the gateway by its data directory.

A command asks over the Unix socket in the data directory, which needs neither a token nor a valid
config file. With a token in the environment it asks over TCP, with the name and role of the token.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.place import Place
from gateway.config.data_dir import is_held
from gateway.config.local_socket import commands_socket, read_secret, short
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["TOKEN_VARIABLE", "Remote", "connect", "required"]

TOKEN_VARIABLE = "GATEWAY_ADMIN_TOKEN"  # noqa: S105 - the variable's name
"""Environment variable with a token; a command that has it asks over TCP."""

_TIMEOUT_SECONDS = 60.0


def connect(place: Place) -> Remote | None:
    """Returns the gateway that runs on a data directory, or None.

    Raises:
        GatewayError: one runs, but cannot be asked.
    """
    if not is_held(place.data_dir):
        return None
    place.say_despite()
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        return Remote(_url(place), token)
    secret, path = read_secret(place.data_dir), commands_socket(place.data_dir)
    if secret is not None and path.is_socket():
        return Remote("http://gateway", secret, path)
    if place.own_token:  # the gateway could make no socket, such as on a full disk
        return Remote(_url(place), place.own_token)
    raise GatewayError(_not_ready(place.data_dir))


def required(place: Place) -> Remote:
    """Returns the running gateway.

    Raises:
        GatewayError: none is running, or it cannot be asked.
    """
    remote = connect(place)
    if remote is None:
        raise GatewayError(place.not_running())
    return remote


def _url(place: Place) -> str:
    try:
        return str(json.loads((place.data_dir / "server.json").read_text())["url"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GatewayError(_not_ready(place.data_dir)) from error


def _not_ready(data_dir: Path) -> str:
    return (
        f"a process holds {data_dir} and does not answer commands: a gateway that is starting or "
        "stopping, or another command; try again"
    )


class Remote:
    """The admin API of a running gateway.

    Args:
        url: as `gateway serve` prints it.
        token: of the admin API, or the secret of the socket.
        path: of the Unix socket, instead of the address of the URL.
    """

    def __init__(self, url: str, token: str, path: Path | None = None) -> None:
        self.url = url
        self._token = token
        self._path = path
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if path is not None:
            handlers.append(_UnixHandler(path))
        self._opener = urllib.request.build_opener(*handlers)

    def get(self, path: str, seconds: float = _TIMEOUT_SECONDS, **query: object) -> Any:
        """Returns the JSON answer to a GET; leaves out query values that are None."""
        with self._open("GET", path, query, seconds=seconds) as response:
            return json.loads(response.read())

    def post(self, path: str, body: Any = None, seconds: float = _TIMEOUT_SECONDS) -> Any:
        """Returns the JSON answer to a POST, within so many seconds."""
        data = json.dumps({} if body is None else body).encode()
        with self._open("POST", path, {}, data, seconds) as response:
            return json.loads(response.read())

    def delete(self, path: str) -> Any:
        """Returns the JSON answer to a DELETE."""
        with self._open("DELETE", path, {}) as response:
            return json.loads(response.read())

    def stream(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """Yields the lines of an endless answer, each a JSON object."""
        with self._open("GET", path, query) as response:
            for line in response:
                if line.strip():
                    yield json.loads(line)

    def _open(
        self,
        method: str,
        path: str,
        query: dict[str, object],
        data: bytes | None = None,
        seconds: float = _TIMEOUT_SECONDS,
    ) -> HTTPResponse:
        given = {key: str(value) for key, value in query.items() if value is not None}
        url = self.url + path + ("?" + urllib.parse.urlencode(given) if given else "")
        headers = {"Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - ours
        try:
            response: HTTPResponse = self._opener.open(request, timeout=seconds)
        except urllib.error.HTTPError as error:
            with error:
                raise GatewayError(self._why(error)) from None
        except OSError as error:
            raise GatewayError(self._unanswered(error)) from error
        return response

    def _unanswered(self, error: OSError) -> str:
        reason = getattr(error, "reason", error)
        if self._path is None:
            return f"the gateway at {self.url} does not answer: {reason}"
        if isinstance(reason, ConnectionRefusedError | FileNotFoundError):
            return _not_ready(self._path.parent.parent)
        return f"the gateway does not answer on {self._path}: {reason}"

    def _why(self, error: urllib.error.HTTPError) -> str:
        if error.code == HTTPStatus.UNAUTHORIZED:
            if self._path is not None:
                return "the gateway has just been started anew: try again"
            return "the gateway refuses this token: it runs with another one than config has now"
        try:
            text = str(json.loads(error.read())["error"])
        except (ValueError, KeyError, TypeError, OSError):
            text = f"HTTP {error.code}"
        if error.code == HTTPStatus.NOT_FOUND and text.startswith("there is nothing at"):
            return f"the gateway has no token in [admin]: unset {TOKEN_VARIABLE}, or set a token"
        return text


class _UnixHandler(urllib.request.HTTPHandler):
    """Opens URLs over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Opens a URL, whose host does not matter."""
        path = self._path

        class Connection(http.client.HTTPConnection):
            def connect(self) -> None:
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(self.timeout)
                with short(path) as address:
                    self.sock.connect(address)

        return self.do_open(Connection, req)
