"""The process of a query, as its runner sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any, Self

from headgate_lake.sql import wire
from headgate_lake.sql.limits import MOST_SECONDS

__all__ = ["Child", "Spares"]

_INHERITED = ("LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "TMPDIR")
"""Environment variables that a child gets. Others may hold secrets and are kept from it."""

_END_SECONDS = 5.0

_decode = wire.decoder_of(wire.FromChild)


class Child:
    """A process that runs queries, one at a time.

    It is no member of our process group, so Ctrl-C reaches this process alone. It ends itself when
    this process dies, since that closes its standard input.

    Attributes:
        reusable: it has ended its query, and takes another one.
    """

    def __init__(self) -> None:
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        # Arenas of many threads take address space, which is limited.
        env["MALLOC_ARENA_MAX"] = "2"
        self.reusable = False
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "headgate_lake.sql.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=env,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def alive(self) -> bool:
        """True until it has ended."""
        return self._popen.poll() is None

    def send(self, message: wire.ToChild) -> None:
        """Sends a message.

        Raises:
            wire.Ended: the child has ended.
        """
        stdin = self._popen.stdin
        assert stdin is not None
        try:
            stdin.write(wire.encode(message))
            stdin.flush()
        except OSError as error:
            raise wire.Ended from error

    def receive(self, max_bytes: int) -> tuple[Any, int]:
        """Returns the next message and its size.

        Raises:
            wire.Ended: the child has ended.
            ValueError: the message is longer than `max_bytes`.
        """
        stdout = self._popen.stdout
        assert stdout is not None
        data = wire.read(stdout, max_bytes)
        message = _decode(data)
        self.reusable = isinstance(message, wire.End | wire.Failure) and message.reusable
        return message, len(data)

    def kill(self) -> None:
        """Ends it at once. May be called from any thread, and again."""
        self._popen.kill()

    def wait(self) -> int:
        """Waits until a child that has closed its output has ended; returns its exit code."""
        try:
            return self._popen.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            return self._popen.wait()

    def close(self) -> None:
        """Ends it, and waits for that."""
        self._popen.kill()
        self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


class Spares:
    """One child that stands ready, as importing DuckDB takes longer than most queries.

    Args:
        seconds: that it stands ready; 0 for none.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._spare: Child | None = None
        self._timer: threading.Timer | None = None
        self._closed = False

    @classmethod
    def begun(cls) -> Self:
        """Starts a child for a command that has yet to read its config, and keeps it until then."""
        made = cls(MOST_SECONDS)
        made.prepare(None)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self) -> Child:
        """Returns a child, if possible the one that stands ready."""
        spare = self._swap(None)
        if spare is not None:
            if spare.alive:
                return spare
            spare.close()
        return Child()

    def prepare(self, used: Child | None) -> None:
        """Keeps a used child for the next query, or starts a new one, unless one stands ready."""
        with self._lock:
            if self._seconds == 0 or self._closed or self._spare is not None:
                if used is not None:
                    used.close()
                return
            self._spare = used or Child()
            self._timer = threading.Timer(self._seconds, self._expire)
            self._timer.daemon = True
            self._timer.start()

    def close(self) -> None:
        """Ends the child that stands ready; none is prepared after that."""
        self._closed = True
        self._expire()

    def _expire(self) -> None:
        spare = self._swap(None)
        if spare is not None:
            spare.close()

    def _swap(self, other: Child | None) -> Child | None:
        with self._lock:
            spare, self._spare = self._spare, other
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return spare
