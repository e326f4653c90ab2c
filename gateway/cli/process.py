"""Server processes that last as long as a command needs them."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Self

from gateway.errors import GatewayError

__all__ = ["ServerProcess", "free_port"]

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_SHOWN_LOG_BYTES = 4000


def free_port() -> int:
    """Returns a port of the loopback address that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServerProcess:
    """A process that runs ``python -m`` with a server; use it with ``async with``.

    Args:
        arguments: module and its arguments, such as ``("gateway", "serve", "--config", path)``.
        output: file for the output of the process.
        healthy: tells whether the server is up; called until it is.
        started: gets the id of the process as soon as it runs.

    Raises:
        GatewayError: on entering, if the server does not come up; quotes the end of its output.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        output: Path,
        healthy: Callable[[], Awaitable[bool]],
        started: Callable[[int], None] = lambda pid: None,
    ) -> None:
        self._arguments = tuple(arguments)
        self._output = output
        self._healthy = healthy
        self._started = started
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Id of the process."""
        assert self._process is not None, "use it with `async with`"
        return self._process.pid

    async def __aenter__(self) -> Self:
        with self._output.open("ab") as output:
            process = self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *self._arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the command, which then stops the server
            )
        try:
            self._started(process.pid)
            deadline = time.monotonic() + _START_SECONDS
            while not await self._healthy():
                if process.returncode is not None:
                    raise self._failed(f"ended with exit code {process.returncode}")
                if time.monotonic() > deadline:
                    raise self._failed(f"was not up after {_START_SECONDS:.0f} s")
                await asyncio.sleep(_POLL_SECONDS)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> int:
        """Stops the process, by force if needed, and returns its exit code; safe twice."""
        process = self._process
        assert process is not None, "use it with `async with`"
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
        return await process.wait()

    def _failed(self, what: str) -> GatewayError:
        said = self._output.read_bytes()[-_SHOWN_LOG_BYTES:].decode(errors="replace").strip()
        return GatewayError(f"python -m {' '.join(self._arguments[:2])} {what}\n{said}")
