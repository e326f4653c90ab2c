"""Client of a running gateway's admin API; finds the gateway by its data directory."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gateway.config.data_dir import is_held
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from gateway.config.model import Config

__all__ = ["TOKEN_VARIABLE", "Remote", "connect", "required"]

TOKEN_VARIABLE = "GATEWAY_ADMIN_TOKEN"  # noqa: S105 - the variable's name
"""Environment variable with a token that replaces the one in config."""

_TIMEOUT_SECONDS = 60.0


def connect(config: Config) -> Remote | None:
    """Returns the gateway that runs on a config's data directory, or None.

    Raises:
        GatewayError: one runs, but has not written its address.
    """
    if not is_held(config.shared_dir):
        return None
    try:
        found = json.loads((config.shared_dir / "server.json").read_text())
        url = str(found["url"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GatewayError(
            f"a gateway holds {config.data_dir} and has not said where it listens: it may be "
            "starting or stopping; try again"
        ) from error
    return Remote(url, os.environ.get(TOKEN_VARIABLE) or config.admin.own_token)


def required(config: Config) -> Remote:
    """Returns the running gateway, with a token.

    Raises:
        GatewayError: none is running, or config has no token.
    """
    remote = connect(config)
    if remote is None:
        raise GatewayError(
            "no gateway is running on this data directory: `gateway serve` starts it"
        )
    if not remote.has_token:
        raise GatewayError(
            "a gateway is running, and config has no token to ask it with: set `token` in [admin] "
            f"and restart it, or set {TOKEN_VARIABLE} where config has only a token's hash"
        )
    return remote


class Remote:
    """The admin API of a running gateway.

    Args:
        url: as `gateway serve` prints it.
        token: empty if config has none; then only `health` works.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.has_token = bool(token)
        self._token = token

    def get(self, path: str, **query: object) -> Any:
        """Returns the JSON answer to a GET; leaves out query values that are None."""
        with self._open("GET", path, query) as response:
            return json.loads(response.read())

    def health(self) -> Any:
        """Returns the answer of /health, which needs no token and reports failures with a 503."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return json.loads(error.read())
        except OSError as error:
            raise GatewayError(f"the gateway at {self.url} does not answer: {error}") from error

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
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            response: HTTPResponse = opener.open(request, timeout=seconds)
        except urllib.error.HTTPError as error:
            with error:
                raise GatewayError(_why(error)) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise GatewayError(f"the gateway at {self.url} does not answer: {reason}") from error
        return response


def _why(error: urllib.error.HTTPError) -> str:
    if error.code == HTTPStatus.UNAUTHORIZED:
        return "the gateway refuses this token: it runs with another one than config has now"
    try:
        text = str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError, OSError):
        text = f"HTTP {error.code}"
    if error.code == HTTPStatus.NOT_FOUND and text.startswith("there is nothing at"):
        return "the gateway runs without the admin API: set `token` in [admin] and restart it"
    return text
