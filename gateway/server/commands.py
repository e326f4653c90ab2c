"""Answers the commands of this machine on a Unix socket in the data directory.

They work without a token and without a valid config file. `gateway.config.local_socket` describes
the files. Callers have the role ``admin``, and are named after their user in the audit trail.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from gateway.components.settings import Secret
from gateway.config.admin import AdminConfig
from gateway.config.local_socket import (
    FOLDER,
    commands_socket,
    mark_as_passing,
    secret_file,
    unmark_as_passing,
)
from gateway.config.model import Config
from gateway.config.private_files import private_dir, write_private
from gateway.http.tokens import Caller, Tokens
from gateway.server.admin.guard import Answer, CallerOf
from gateway.server.app import Acceptor
from gateway.server.unix import listen_unix, user_of

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["answering_commands"]

_SECRET_BYTES = 32
_USER = "gateway.user"

Answers = Callable[[web.Application, CallerOf], None]


@asynccontextmanager
async def answering_commands(config: Callable[[], Config], answers: Answers) -> AsyncIterator[None]:
    """Answers commands until the context is left.

    A socket that cannot be made, such as on a full disk, costs the commands and not the service.

    Args:
        config: returns the config in use, for bounds that a reload may change.
        answers: adds /health, /metrics and /admin for callers that a function identifies.
    """
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    app = web.Application(client_max_size=0, middlewares=[_note_user])
    answers(app, _CallersWith(secret))
    runner = web.AppRunner(
        app,
        handle_signals=False,
        shutdown_timeout=config().server.drain_timeout_seconds,
    )
    await runner.setup()
    assert runner.server is not None
    server = runner.server
    acceptor = Acceptor(
        server,
        lambda: config().server,
        lambda: len(server.connections) >= config().admin.max_local_connections,
    )
    with _files(config(), secret) as listener:
        try:
            if listener is not None:
                await acceptor.open(listener)
            yield
        finally:
            acceptor.close_all()
            await runner.cleanup()


@contextmanager
def _files(config: Config, secret: str) -> Iterator[socket.socket | None]:
    """Makes the socket and the file with the secret; gives None if that is not possible."""
    data_dir = config.shared_dir
    listener = _made(data_dir, secret)
    if listener is None:
        yield None
        return
    try:
        with listener:
            yield listener
    finally:
        with suppress(OSError):  # others use the folder too, and may have removed it
            commands_socket(data_dir).unlink()
            secret_file(data_dir).unlink()
            unmark_as_passing(data_dir / FOLDER)
            (data_dir / FOLDER).rmdir()


def _made(data_dir: Path, secret: str) -> socket.socket | None:
    folder = data_dir / FOLDER
    try:
        private_dir(folder)
        mark_as_passing(folder)
        write_private(secret_file(data_dir), secret)
        return listen_unix(commands_socket(data_dir))
    except OSError as error:
        log: FilteringBoundLogger = structlog.get_logger()
        log.error(
            "no socket for commands: they need a token in [admin]",
            folder=str(folder),
            error=str(error),
        )
        return None


@web.middleware
async def _note_user(request: web.Request, handler: Answer) -> web.StreamResponse:
    request[_USER] = await asyncio.to_thread(user_of, request.transport)
    return await handler(request)


class _CallersWith:
    """Identifies callers that know a secret, by their user."""

    def __init__(self, secret: str) -> None:
        self._tokens = Tokens(AdminConfig(token=Secret(secret)))

    def __call__(self, request: web.Request) -> Caller | None:
        """Returns the caller of a request; None if it does not know the secret."""
        caller = self._tokens.of_request(request)
        return None if caller is None else replace(caller, name=f"cli:{request[_USER]}")
