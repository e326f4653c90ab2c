"""Each declared path of the admin API, asked of a gateway with two workers."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.admin_client import connect
from gateway.cli.place import find_place
from gateway.config.admin import ROLES, Role
from gateway.runtime.plugins import discover
from gateway.server.admin.areas import ENDPOINTS, all_endpoints
from gateway.server.admin.endpoint import Endpoint
from gateway.server.admin.merge import Stream
from tests.support import shop_package
from tests.support.gateway_process import GatewayProcess
from tests.support.workers import config, send

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TOKENS: Mapping[Role, str] = {role: f"token of the role {role}" for role in ROLES}

TABLES = """
[groups.canary]
{group}
[destinations.all]
type = "null"
[destinations.next]
type = "null"
shadow = {{ of = "all" }}
only = {{ group = "canary", arm = "test" }}
"""

BODIES: Mapping[str, Any] = {
    "POST /admin/explain": {"event": {"type": "track", "event": "e", "userId": "u"}},
    "POST /admin/regulations": {"kind": "DELETE_ONLY", "user_ids": ["ada"]},
    "POST /admin/replays": {"destination": "all", "from_ms": 0, "to_ms": 1},
    "POST /admin/sql": {"sql": "SELECT 1"},
}
"""Bodies of the requests that refuse an empty object."""

NAMES: Mapping[str, str] = {
    "insights": "trend", "jobs": "count", "rollouts": "canary", "shadows": "next", "shop": "left",
    "why": "m1",
}  # fmt: skip
"""An id of each area whose objects the API does not create."""


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.plain_path}"


BY_NAME = {name_of(endpoint): endpoint for endpoint in ENDPOINTS}


class Client:
    """Calls endpoints of a gateway, each over a new connection."""

    def __init__(self, url: str) -> None:
        self._url = url

    def call(self, endpoint: Endpoint, role: Role, id_: object = None) -> tuple[int, Any]:
        """Calls an endpoint; gives status and JSON, or the first line of a stream."""
        url = self._url + endpoint.plain_path.replace("{id}", str(id_))
        headers = {"Authorization": f"Bearer {TOKENS[role]}"}
        body = None
        if endpoint.method == "POST":
            body = json.dumps(BODIES.get(name_of(endpoint), {})).encode()
        request = urllib.request.Request(url, body, headers, method=endpoint.method)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                if isinstance(endpoint.merge, Stream):
                    return response.status, response.readline().decode()
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def id_for(self, endpoint: Endpoint) -> object:
        """Returns an id that exists, if the path of an endpoint has one."""
        if "{id}" not in endpoint.plain_path:
            return None
        area = endpoint.plain_path.split("/")[2]
        return NAMES[area] if area in NAMES else self._created(area)

    def _created(self, area: str) -> object:
        """Creates an object of an area and returns its id; waits until a regulation has settled."""
        _, made = self.call(BY_NAME[f"POST /admin/{area}"], "admin")
        deadline = time.monotonic() + 30
        while not made.get("settled", True):
            assert time.monotonic() < deadline, made
            time.sleep(0.02)
            _, made = self.call(BY_NAME[f"GET /admin/{area}/{{id}}"], "admin", made["id"])
        return made["id"]


def made(folder: Path, workers: int, group: str, packages: Path | None = None) -> GatewayProcess:
    """Makes a gateway with a token for each role, without starting it."""
    tokens = "".join(
        f'[[admin.tokens]]\nname = "with {role}"\ntoken = "{token}"\nrole = "{role}"\n'
        for role, token in TOKENS.items()
    )
    return GatewayProcess(
        folder, config(workers, TABLES.format(group=group), tokens), packages=packages
    )


def test_each_path_works_with_two_workers_and_demands_its_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each declared path, also of a package, answers its role, and every weaker role with 403."""
    packages = shop_package.install(tmp_path / "packages")
    monkeypatch.syspath_prepend(str(packages))
    endpoints = all_endpoints(discover(builtins=()))
    assert len(endpoints) >= len(ENDPOINTS) + 4
    by_name = {name_of(endpoint): endpoint for endpoint in endpoints}
    found = {}
    with made(tmp_path, 2, "percent = 5", packages) as gateway:
        assert send(gateway.url, ["m1"]) == 200
        client = Client(gateway.url)
        for name, endpoint in by_name.items():
            weaker = ROLES[: ROLES.index(endpoint.role)]
            refused = [client.call(endpoint, role, 1) for role in weaker]
            assert [status for status, _ in refused] == [403] * len(weaker), name
            assert all(f"this needs {endpoint.role}" in told["error"] for _, told in refused)
            found[name] = client.call(endpoint, endpoint.role, client.id_for(endpoint))
        assert gateway.get("/health")["workers"] == {"0": "ok", "1": "ok"}
        command = connect(find_place(tmp_path / "config.toml", None))
        assert command is not None
        assert command.get("/admin/shop")["shards"] == [0, 1]
    unsuccessful = {name: answer for name, answer in found.items() if answer[0] not in (200, 201)}
    # A ramp needs a single worker: here shard 0 says that there is none.
    no_ramp = {"error": "worker 0: there is no group 'canary' with a ramp; there are: none"}
    slow = unsuccessful.pop("GET /admin/shop/slow")
    assert slow == (503, {"error": "worker 0: GET /admin/shop/slow: not done within 0.05 s"})
    # This gateway has no lake, and keeps no figure.
    for name in ("GET /admin/insights/{id}", "POST /admin/insights/{id}", "POST /admin/sql"):
        status, told = unsuccessful.pop(name)
        assert (status, "no enabled destination" in told["error"]) == (400, True)
    assert unsuccessful.pop("GET /admin/insights/saved/{id}")[0] == 404
    assert unsuccessful.pop("POST /admin/insights/{id}/people")[0] == 400
    # These need a body that says of whom.
    for what in ("export", "merge", "unmerge"):
        assert unsuccessful.pop(f"POST /admin/profiles/{what}")[0] == 400
    assert unsuccessful == {
        name: (404 if endpoint.method == "GET" else 409, no_ramp)
        for name, endpoint in by_name.items()
        if endpoint.plain_path.startswith("/admin/rollouts/")
    }
    assert len(found) == len(endpoints), "a path is declared twice"
    assert found["GET /admin/shop"][1]["shards"] == [0, 1]
    assert found["POST /admin/shop/buy"][1] == {"bought": {}, "shard": 0, "by": "with operate"}
    runs = (tmp_path / "data" / "runs.log").read_text().splitlines()
    assert set(runs) == {"0 corner"}, "a job ran in another shard than the first"
    assert found["GET /admin/tail"][1].endswith("\n")
    assert "Traceback" not in gateway.stderr


def test_rollouts_work_with_shards_of_earlier_workers(tmp_path: Path) -> None:
    """With one worker and two shards, shard 0 answers each path of rollouts."""
    (tmp_path / "data" / "worker-1").mkdir(parents=True)
    with made(tmp_path, 1, 'ramp = ["1%", "5%", "25%", "100%"]') as gateway:
        client = Client(gateway.url)
        found = {
            name: client.call(endpoint, endpoint.role, "canary")
            for name, endpoint in BY_NAME.items()
            if endpoint.plain_path.startswith("/admin/rollouts")
        }
        assert "shard 1, of earlier workers, is delivered by worker 0" in gateway.stdout
    assert {name: status for name, (status, _) in found.items()} == dict.fromkeys(found, 200)
    assert [one["group"] for one in found["GET /admin/rollouts"][1]] == ["canary"]
    assert found["GET /admin/rollouts/{id}"][1]["view"]["group"] == "canary"
    assert found["POST /admin/rollouts/{id}/rollback"][1]["status"] == "rolled_back"
