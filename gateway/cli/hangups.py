"""SIGHUP, which asks a gateway to read its config file again, and ends no process at any time."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["HANGUPS", "Hangups", "ignore_hangups"]


def ignore_hangups() -> None:
    """Ignores the signal for the rest of the process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


class Hangups:
    """Keeps the signals of a process that starts until it can follow them."""

    def __init__(self) -> None:
        self._noted = False
        self._request: Callable[[], object] | None = None

    def note(self) -> None:
        """Begins to note signals; call it before anything that takes time."""
        signal.signal(signal.SIGHUP, self._on_signal)

    @contextmanager
    def followed_by(self, request: Callable[[], None]) -> Iterator[None]:
        """Calls `request` in the running loop for each signal, and at once for those noted."""
        import asyncio  # which costs commands 30 ms

        loop = asyncio.get_running_loop()
        self._request = lambda: loop.call_soon_threadsafe(request)
        if self._noted:
            request()
        try:
            yield
        finally:
            self._request = None
            ignore_hangups()  # the process ends

    def _on_signal(self, *_: object) -> None:
        self._noted = True
        if self._request is not None:
            self._request()


HANGUPS = Hangups()
"""The signals of this process, of which there is one handler."""
