"""Fixtures: lakes in their folder, in a mounted folder, and on a real S3 server."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import S3Store

from gateway import Batch, Event
from gateway.testing import ManualClock, make_config
from headgate_lake import Lake, LakeConfig
from headgate_lake.manifest import Manifest
from headgate_lake.place import storage_of
from headgate_lake.retention import GRACE_MS
from headgate_lake.session import Session
from headgate_lake.storage import Storage
from headgate_lake.writer import LakeWriter

_KEY, _SECRET = "key", "secret-of-the-tests"
_READ_KEY = "read-only"
_START_SECONDS = 60
_STOP_SECONDS = 20


@dataclass
class S3Server:
    """A running server that speaks S3, of this test run."""

    folder: Path
    ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports['s3.port']}"

    def store(self, bucket: str, prefix: str = "") -> S3Store:
        return S3Store(
            bucket,
            prefix=prefix,
            endpoint=self.endpoint,
            region="us-east-1",
            access_key_id=_KEY,
            secret_access_key=_SECRET,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )

    def start(self) -> None:
        """Starts the server, and waits until it takes objects."""
        program = Path(sys.executable).parent / "weed"
        options = [f"-{name}={port}" for name, port in self.ports.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    program,
                    "server",
                    f"-dir={self.folder}",
                    "-ip=127.0.0.1",
                    "-volume.max=50",
                    "-volume.preStopSeconds=0",
                    "-master.volumeSizeLimitMB=64",
                    "-filer",
                    "-s3",
                    f"-s3.config={self.folder / 's3.json'}",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    *options,
                ],
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                obstore.put(self.store("ready"), "ready", b"")
            except obstore.exceptions.BaseError:
                assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
                assert time.monotonic() < until
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """Stops the server, which writes what it holds in memory first."""
        if self.process is not None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_SECONDS)
            self.end()

    def end(self) -> None:
        """Ends the server at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def _free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    folder = tmp_path_factory.mktemp("s3")
    identities = [
        {"name": key, "credentials": [{"accessKey": key, "secretKey": _SECRET}], "actions": actions}
        for key, actions in {
            _KEY: ["Admin", "Read", "Write", "List"],
            _READ_KEY: ["Read", "List"],
        }.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    services = ("master.port", "volume.port", "filer.port", "s3.port")
    names = [name for service in services for name in (service, f"{service}.grpc")]
    server = S3Server(folder, dict(zip(names, _free_ports(len(names)), strict=True)))
    try:
        server.start()
        yield server
    finally:
        server.end()


@dataclass
class Home:
    """A lake for tests: where it is, and what a test does with it.

    Attributes:
        keys: its config, as a user writes it.
        store: its objects; None without.
    """

    root: Path
    keys: dict[str, Any]
    clock: ManualClock
    store: Any = None

    def config(self, **keys: Any) -> LakeConfig:
        return make_config(LakeConfig, self.keys | keys, "destinations.lake")

    @property
    def storage(self) -> Storage:
        return storage_of(self.root, self.config())

    def elsewhere(self, name: str) -> Storage:
        """The same lake on another machine."""
        if self.store is None:
            return self.storage
        storage = dict(self.keys["storage"], folder=name)
        config = self.config(storage=storage)
        return storage_of(self.root.parent / name, config)

    def write(self, events: Sequence[Event], first: int = 0) -> None:
        """Writes a batch as the destination does."""
        writer = LakeWriter(self.storage, 64_000_000, self.clock)
        try:
            writer.write(Batch(tuple(events), range(first, first + len(events)), queue_id="q"), 0)
        finally:
            writer.close()

    def upload(self, grace_ms: int = GRACE_MS) -> None:
        while self.storage.sync(self.clock(), grace_ms=grace_ms).more:
            pass

    def cold(self) -> None:
        """Uploads everything, and deletes all local copies."""
        self.upload()
        if self.store is not None:
            shutil.rmtree(self.root / "events")
            (self.root / "events").mkdir()

    def session_closing(self) -> AbstractContextManager[Session]:
        return closing(Session(self.storage, 64_000_000, self.clock))

    def storage_with(self, keys: dict[str, Any]) -> Storage:
        """The same lake with other settings."""
        return storage_of(self.root, self.config(storage=keys))

    def ids(self, storage: Storage | None = None) -> list[str]:
        """The message ids of all events in the lake, sorted."""
        import duckdb

        lake = Lake.open(storage or self.storage)
        with lake.reading(lake.files()) as paths, duckdb.cursor() as db:
            if not paths:
                return []
            found = db.execute(
                "SELECT message_id FROM read_parquet($1) ORDER BY ALL", [list(map(str, paths))]
            )
            return [id_ for (id_,) in found.fetchall()]

    def objects(self) -> dict[str, bytes]:
        """All objects by key; empty without object storage."""
        if self.store is None:
            return {}
        keys = [one["path"] for page in obstore.list(self.store) for one in page]
        return {key: bytes(obstore.get(self.store, key).bytes()) for key in keys}

    def held(self) -> set[str]:
        """The paths in the manifest."""
        with closing(Manifest(self.root)) as manifest:
            return {file.path for file in manifest.files()}


@pytest.fixture(params=["folder", "mounted", pytest.param("s3", marks=pytest.mark.long)])
def home(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> Home:
    """A lake in each kind of storage."""
    return request.getfixturevalue("home_in")(request.param)


@pytest.fixture(params=["mounted", pytest.param("s3", marks=pytest.mark.long)])
def far(request: pytest.FixtureRequest) -> Home:
    """A lake in object storage."""
    return request.getfixturevalue("home_in")(request.param)


@pytest.fixture
def home_in(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock
) -> Callable[[str], Home]:
    """Makes a lake in a kind of storage."""

    def make(kind: str) -> Home:
        root = tmp_path / "lake"
        if kind == "folder":
            return Home(root, {"path": "lake"}, clock)
        storage: dict[str, Any] = {"folder": "lake", "cache_max_bytes": 1_000_000}
        if kind == "mounted":
            (tmp_path / "mounted").mkdir()
            path = f"file://{tmp_path}/mounted"
            store: Any = obstore.store.LocalStore(str(tmp_path / "mounted"))
        else:
            server: S3Server = request.getfixturevalue("s3")
            # A bucket of its own for each test would take volumes of its own from the server.
            bucket, prefix = "lakes", f"some/{uuid.uuid4().hex}"
            path = f"s3://{bucket}/{prefix}"
            storage |= {
                "endpoint": server.endpoint,
                "region": "us-east-1",
                "access_key_id": _KEY,
                "secret_access_key": _SECRET,
            }
            store = server.store(bucket, prefix)
            store.put("first", b"")  # makes the bucket
            store.delete("first")
        return Home(root, {"path": path, "storage": storage}, clock, store)

    return make
