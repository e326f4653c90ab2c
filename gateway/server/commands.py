"""Answers the commands of this machine on a Unix socket in the data directory.

They work without a token and without a valid config file. `gateway.config.local_socket` describes
the files. Callers have the role ``admin``, and are named after their user in the audit trail.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
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

__all__ = ["LOOK_SECONDS", "answering_commands"]

LOOK_SECONDS = 10.0
"""Time between two looks whether the socket is there."""

_SECRET_BYTES = 32
_USER = "gateway.user"

Answers = Callable[[web.Application, CallerOf], None]


@asynccontextmanager
async def answering_commands(
    config: Callable[[], Config], answers: Answers, *, look_seconds: float = LOOK_SECONDS
) -> AsyncIterator[None]:
    """Answers commands until the context is left.

    A socket that cannot be made, such as on a full disk, costs the commands and not the service. It
    is made as soon as that is possible, and made anew when it is gone.

    Args:
        config: returns the config in use, for bounds that a reload may change.
        answers: adds /health, /metrics and /admin for callers that a function identifies.
        look_seconds: time between two looks at the socket.
    """
    door = _Door(config().shared_dir)
    app = web.Application(client_max_size=0, middlewares=[_note_user])
    answers(app, door.caller_of)
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
    await _keep_open(door, acceptor)
    looking = asyncio.create_task(_look_at(door, acceptor, look_seconds), name="command socket")
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])
        await asyncio.to_thread(door.remove)
        acceptor.close_all()
        await runner.cleanup()


async def _look_at(door: _Door, acceptor: Acceptor, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await _keep_open(door, acceptor)


async def _keep_open(door: _Door, acceptor: Acceptor) -> None:
    if await asyncio.to_thread(door.is_there):
        return
    acceptor.close_all()
    listener = await asyncio.to_thread(door.make)
    if listener is not None:
        with listener:
            await acceptor.open(listener)


class _Door:
    """The socket of a data directory, and the secret that callers must know."""

    def __init__(self, data_dir: Path) -> None:
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        self._folder = data_dir / FOLDER
        self._socket = commands_socket(data_dir)
        self._secret = secret_file(data_dir)
        self._content = secret
        self._tokens = Tokens(AdminConfig(token=Secret(secret)))
        self._inode = 0
        self._failed = False
        self._log: FilteringBoundLogger = structlog.get_logger()

    def caller_of(self, request: web.Request) -> Caller | None:
        """Returns the caller of a request, by its user; None if it does not know the secret."""
        caller = self._tokens.of_request(request)
        return None if caller is None else replace(caller, name=f"cli:{request[_USER]}")

    def is_there(self) -> bool:
        """Tells whether the files are those that were made."""
        try:
            return self._secret.exists() and self._socket.stat().st_ino == self._inode
        except OSError:
            return False

    def make(self) -> socket.socket | None:
        """Makes the files; logs and returns None if that is not possible."""
        try:
            private_dir(self._folder)
            mark_as_passing(self._folder)
            write_private(self._secret, self._content)
            listener = listen_unix(self._socket)
            self._inode = self._socket.stat().st_ino
        except OSError as error:
            if not self._failed:
                self._log.error(
                    "no socket for commands: until there is one they need a token in [admin]",
                    folder=str(self._folder),
                    error=str(error),
                )
            self._failed = True
            return None
        self._failed = False
        return listener

    def remove(self) -> None:
        """Removes the files."""
        if self.is_there():
            with suppress(OSError):  # others use the folder too
                self._socket.unlink()
                self._secret.unlink()
                unmark_as_passing(self._folder)
                self._folder.rmdir()


@web.middleware
async def _note_user(request: web.Request, handler: Answer) -> web.StreamResponse:
    request[_USER] = await asyncio.to_thread(user_of, request.transport)
    return await handler(request)
