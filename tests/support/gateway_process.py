"""A real `gateway serve` process on a free loopback port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

__all__ = ["GatewayProcess"]

_START_SECONDS = 60


class GatewayProcess:
    """Starts, stops and kills a gateway in a folder of its own.

    Args:
        folder: holds config.toml, the data directory and the logs.
        config: text of config.toml; ``port = 0`` so that each start takes a free port.
        python: of the environment in which the gateway is installed; by default that of the
            tests, with the gateway of this checkout.
        packages: folder with further installed packages; see `tests.support.shop_package`.
    """

    def __init__(
        self,
        folder: Path,
        config: str,
        python: Path | None = None,
        packages: Path | None = None,
    ) -> None:
        self.folder = folder
        self._packages = packages
        self._python = python
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").write_text(config)
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts the gateway, and waits until it listens."""
        out = (self.folder / "stdout.log").open("ab")
        position = out.tell()
        here = {}
        if self._python is None:
            paths = [Path(__file__).parents[2], self._packages]
            here["PYTHONPATH"] = os.pathsep.join(str(path) for path in paths if path is not None)
        python = self._python or sys.executable
        with out, (self.folder / "stderr.log").open("ab") as err:
            self._process = subprocess.Popen(
                [python, "-m", "gateway", "serve", "--config", "config.toml"],
                cwd=self.folder,
                stdout=out,
                stderr=err,
                env={**os.environ, **here},
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            for line in (self.folder / "stdout.log").read_bytes()[position:].decode().splitlines():
                if "listening on " in line:
                    self.url = line.rpartition("listening on ")[2].strip()
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"the gateway did not start:\n{self.stdout}\n{self.stderr}")

    def kill(self) -> None:
        """Sends SIGKILL, and waits for the process to end."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self, timeout: float = 20) -> int:
        """Sends SIGTERM, and returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout)
        self._process = None
        return code

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout.log").read_text()

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr.log").read_text()

    @property
    def peak_memory_bytes(self) -> int:
        """Peak memory of the process; without /proc, its current memory."""
        status = Path(f"/proc/{self.pid}/status")
        if status.exists():
            [line] = [line for line in status.read_text().splitlines() if "VmHWM:" in line]
            return int(line.split()[1]) * 1024
        return int(subprocess.check_output(["ps", "-o", "rss=", "-p", str(self.pid)])) * 1024

    def events(self, folder: str) -> list[dict[str, Any]]:
        """Returns the events in the files of a destination, in order, worker by worker."""
        return [
            json.loads(line)
            for file in sorted((self.folder / folder).rglob("*.ndjson"))
            for line in file.read_bytes().splitlines()
        ]

    def message_ids(self, folder: str) -> list[str]:
        """Returns the message ids of `events`."""
        return [event["messageId"] for event in self.events(folder)]

    def get(self, path: str) -> Any:
        """Returns the JSON answer to a GET."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return json.loads(error.read())

    def metric(self, name: str, **labels: str) -> float:
        """Returns the value of a metric, or 0 if there is none yet."""
        for sample in self.metrics():
            if sample.name == name and sample.labels == labels:
                return sample.value
        return 0.0

    def metrics(self) -> list[Sample]:
        """Returns all samples of /metrics."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as response:
            text = response.read().decode()
        families = text_string_to_metric_families(text)
        return [sample for family in families for sample in family.samples]

    def wait_delivered(self, destination: str, timeout: float = 20) -> None:
        """Waits until a destination has no pending events."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.get("/health")["destinations"][destination]["pending_events"] == 0:
                return
            time.sleep(0.02)
        raise AssertionError(f"{destination} is not caught up: {self.get('/health')}")
