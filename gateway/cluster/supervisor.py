"""Starts, restarts and ends worker processes."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog

from gateway.cluster.listeners import served_by
from gateway.cluster.protocol import Assignment, Control, Ready, Serve
from gateway.cluster.restarts import Restarts
from gateway.errors import GatewayError
from gateway.runtime.output import lost_lines

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Plan", "Supervisor", "worker_command"]

_DRAINS = 3
"""Drain time-outs before a worker is killed: it answers, delivers and closes, each within one."""
_MARGIN_SECONDS = 5.0
_LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a supervisor needs to run its workers.

    Attributes:
        command: of a worker; its assignment is appended as one argument.
        listeners: bound sockets, one for each worker or one for all.
        lock: file descriptor that locks the data directory while any process has it open.
        sockets: folder of the internal sockets.
    """

    command: Sequence[str]
    workers: int
    shards: list[int]
    listeners: list[socket.socket]
    lock: int
    sockets: Path
    drain_seconds: float


@dataclass(slots=True)
class _Worker:
    number: int
    restarts: Restarts = field(default_factory=Restarts)
    process: asyncio.subprocess.Process | None = None
    control: Control | None = None
    asked_to_end: bool = False


class Supervisor:
    """Runs the workers of a gateway.

    Args:
        clock: monotonic, in seconds.
        lost: returns how many lines of output this process has lost.
    """

    def __init__(
        self,
        plan: Plan,
        log: FilteringBoundLogger | None = None,
        clock: Callable[[], float] = time.monotonic,
        lost: Callable[[], int] = lost_lines,
    ) -> None:
        self._plan = plan
        self._log: FilteringBoundLogger = log or structlog.get_logger()
        self._clock = clock
        self._lost = lost
        self._lost_told = 0
        self._workers = [_Worker(number) for number in range(plan.workers)]
        self._up: set[int] = set()
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._rolling = asyncio.Lock()

    @property
    def pids(self) -> dict[int, int]:
        """The process ids of the workers."""
        return {w.number: w.process.pid for w in self._workers if w.process is not None}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Supervisor]:
        """Starts all workers; drains them when the context is left.

        Raises:
            GatewayError: a worker does not start.
        """
        tasks: list[asyncio.Task[None]] = []
        try:
            try:
                await self._start_all()
                tasks = [asyncio.create_task(self._keep(worker)) for worker in self._workers]
                tasks.append(asyncio.create_task(self._tell_lost_lines()))
                yield self
            finally:
                self._stopping.set()
                await self._end_all()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def kill(self) -> None:
        """Kills all workers."""
        for worker in self._workers:
            _signal(worker, signal.SIGKILL)

    async def roll(self) -> bool:
        """Restarts the workers one after the other; returns False if one did not start.

        The other workers accept the connections of the one that restarts. After a failure the
        remaining workers keep running as they are.
        """
        async with self._rolling:
            for worker in self._workers:
                if self._stopping.is_set():
                    return False
                old = worker.process
                self._set_up(worker, up=False)
                worker.asked_to_end = True
                _signal(worker, signal.SIGTERM)
                killer = asyncio.create_task(self._kill_late(worker, old))
                try:
                    while worker.process is old:
                        await self._change()
                    new = worker.process
                    while worker.number not in self._up:
                        if worker.process is not new:
                            return False
                        await self._change()
                finally:
                    killer.cancel()
        return True

    # -- starting ------------------------------------------------------------

    async def _start_all(self) -> None:
        results = await asyncio.gather(*map(self._start, self._workers), return_exceptions=True)
        for worker, ready in zip(self._workers, results, strict=True):
            if ready is not True:
                raise GatewayError(
                    f"worker {worker.number} did not start: see its messages above"
                    + (f" ({ready!r})" if isinstance(ready, BaseException) else "")
                )

    async def _start(self, worker: _Worker) -> bool:
        """Starts a worker; returns True once it accepts connections, False if it ends before."""
        plan = self._plan
        ours, theirs = socket.socketpair()
        listeners = [listener.fileno() for listener in plan.listeners]
        assignment = Assignment(
            worker.number,
            plan.workers,
            plan.shards,
            listeners,
            theirs.fileno(),
            str(plan.sockets),
        )
        with theirs:
            worker.asked_to_end = False
            worker.restarts.started(self._clock())
            try:
                worker.process = await asyncio.create_subprocess_exec(
                    *plan.command,
                    msgspec.json.encode(assignment).decode(),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(*listeners, theirs.fileno(), plan.lock),
                    start_new_session=True,  # Ctrl-C reaches the supervisor alone, which ends them
                )
            except OSError:
                ours.close()
                raise
        ours.setblocking(False)
        worker.control = await Control.over(ours)
        self._tell_changed()
        async for _ in worker.control.messages(Ready):
            self._set_up(worker, up=True)
            return True
        return False

    async def _keep(self, worker: _Worker) -> None:
        """Restarts a worker whenever it ends."""
        while True:
            assert worker.process is not None
            code = await worker.process.wait()
            self._set_up(worker, up=False)
            if self._stopping.is_set():
                return
            delay = 0.0
            if not worker.asked_to_end:
                delay = worker.restarts.delay_seconds(self._clock())
                self._log.error(
                    "a worker has ended and is started again",
                    worker=worker.number,
                    exit_code=code,
                    seconds=round(delay, 1),
                )
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return
            if worker.control is not None:
                worker.control.close()
            try:
                if await self._start(worker):
                    self._log.info("a worker is up", worker=worker.number, pid=worker.process.pid)
            except OSError as error:  # no memory or no free process at the moment
                self._log.error(
                    "a worker cannot be started", worker=worker.number, error=str(error)
                )

    def _set_up(self, worker: _Worker, *, up: bool) -> None:
        """Notes whether a worker accepts connections, and assigns the sockets anew."""
        (self._up.add if up else self._up.discard)(worker.number)
        self._tell_changed()
        if not self._stopping.is_set():
            self._assign()

    def _assign(self) -> None:
        """Tells the workers which sockets they serve, and the first one about lost lines."""
        self._lost_told = self._lost()
        for other in self._workers:
            if other.number in self._up and other.control is not None:
                served = served_by(other.number, self._up, len(self._plan.listeners))
                other.control.send(Serve(served, 0 if other.number else self._lost_told))

    async def _tell_lost_lines(self) -> None:
        """Has the first worker count the lines that this process loses, for its metrics."""
        while not self._stopping.is_set():
            await asyncio.sleep(_LOOK_SECONDS)
            if self._lost() != self._lost_told:
                self._assign()

    def _tell_changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        await self._changed.wait()

    # -- ending --------------------------------------------------------------

    async def _end_all(self) -> None:
        """Drains all workers at the same time."""
        for listener in self._plan.listeners:
            listener.close()  # clients are refused at once instead of waiting in vain
        for worker in self._workers:
            _signal(worker, signal.SIGTERM)
        await asyncio.gather(*(self._end(worker) for worker in self._workers))

    async def _end(self, worker: _Worker) -> None:
        if worker.process is None:
            return
        killer = asyncio.create_task(self._kill_late(worker, worker.process))
        await worker.process.wait()
        killer.cancel()
        if worker.control is not None:
            worker.control.close()

    async def _kill_late(self, worker: _Worker, process: asyncio.subprocess.Process | None) -> None:
        await asyncio.sleep(_DRAINS * self._plan.drain_seconds + _MARGIN_SECONDS)
        if worker.process is process:
            self._log.error("a worker does not end and is killed", worker=worker.number)
            _signal(worker, signal.SIGKILL)


def _signal(worker: _Worker, number: signal.Signals) -> None:
    if worker.process is not None and worker.process.returncode is None:
        with suppress(ProcessLookupError):
            worker.process.send_signal(number)


def worker_command(config_path: Path) -> list[str]:
    """Returns the command of a worker: this program, executed again."""
    return [sys.executable, "-m", "gateway", "worker", "--config", str(config_path)]
