"""Admin areas of packages: answers, errors, time limits and the audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.components.admin_area import CORE_AREAS, AdminArea, AdminEndpoint
from gateway.errors import PluginError
from gateway.http.basic_auth import basic_authorization
from gateway.server.admin.areas import ENDPOINTS
from tests.support import shop_package
from tests.support.gateway_process import GatewayProcess
from tests.support.http_calls import ADMIN_TOKEN, Reply, call, call_admin
from tests.support.waiting import wait_until

CONFIG = f"""
[server]
port = 0
[admin]
token = "{ADMIN_TOKEN}"
[destinations.main]
type = "till"
[shop]
count_at = ""
"""


@pytest.fixture(name="gateway", scope="module")
def _gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("packaged")
    packages = shop_package.install(folder / "packages")
    with GatewayProcess(folder, CONFIG, packages=packages) as gateway:
        yield gateway


def ask(gateway: GatewayProcess, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Calls a path below /admin; gives status and JSON."""
    reply = call_admin(gateway, path, body, method=method)
    return reply.status, reply.json


def own(gateway: GatewayProcess, path: str, authorization: str, method: str | None = None) -> Reply:
    """Calls a path below the root of the area that has one."""
    url = f"{gateway.url}/v1/shop/{path}"
    return call(url, authorization=authorization, method=method)


def test_an_area_answers_like_ours(gateway: GatewayProcess) -> None:
    """Handlers get path, query, body and caller; a change is audited with what was noted."""
    assert ask(gateway, "GET", "shop/shelves/a?q=1") == (
        200,
        {"id": "a", "query": {"q": "1"}, "tables": True},
    )
    assert ask(gateway, "POST", "shop/buy", {"tea": 2}) == (
        200,
        {"bought": {"tea": 2}, "shard": 0, "by": "admin"},
    )
    _, entries = ask(gateway, "GET", "audit")
    noted = {entry["action"]: entry["detail"] for entry in entries}
    assert noted["shop.buy"] == {"items": 1}
    assert ask(gateway, "GET", "shop")[1]["main"]["shard"] == 0


def test_an_area_can_have_a_root_and_callers_of_its_own(gateway: GatewayProcess) -> None:
    """Its tokens come as Bearer or as user of Basic; no other token opens it, and no browser."""
    tokens = ("Bearer partner-token", basic_authorization("partner-token"))
    for authorization in tokens:
        reply = own(gateway, "orders/a%3A1", authorization)
        assert (reply.status, reply.json) == (200, {"order": "a:1", "by": "partner of corner"})
        assert "Access-Control-Allow-Origin" not in reply.headers
    for authorization in (f"Bearer {ADMIN_TOKEN}", basic_authorization("demo"), ""):
        assert own(gateway, "orders/1", authorization).status == 401
    reply = own(gateway, "orders/many", tokens[0])
    assert (reply.status, reply.headers["Retry-After"]) == (429, "7")
    for method, path in (("OPTIONS", "orders/1"), ("POST", "orders/1"), ("GET", "none")):
        reply = own(gateway, path, tokens[0], method)
        assert (reply.status, "Access-Control-Allow-Origin" in reply.headers) == (404, False)
    assert ask(gateway, "GET", "orders/orders/1")[0] == 404


def test_errors_stay_in_the_area(gateway: GatewayProcess) -> None:
    """Mistakes of callers keep their status, a defect shows only in the log, time is bounded."""
    assert ask(gateway, "GET", "shop/shelves/none") == (404, {"error": "there is no shelf 'none'"})
    status, told = ask(gateway, "POST", "shop/buy", {"tea": "two"})
    assert (status, "Expected `int`" in told["error"]) == (400, True)
    status, told = ask(gateway, "GET", "shop/shelves/broken")
    assert (status, "the shelf fell down" in str(told)) == (500, False)
    wait_until(lambda: "an admin endpoint failed" in gateway.stderr)
    status, told = ask(gateway, "GET", "shop/slow")
    assert (status, told["error"]) == (503, "GET /admin/shop/slow: not done within 0.05 s")
    assert ask(gateway, "GET", "shop/shelves/a")[0] == 200


def test_jobs_are_listed_and_run(gateway: GatewayProcess) -> None:
    """The API lists jobs, runs one, refuses a second run of it, and names those that exist."""
    _, found = ask(gateway, "GET", "jobs")
    assert [(one["name"], one["schedule"], one["outcome"]) for one in found] == [
        ("sleep", "sunday 03:00", "")
    ]
    assert ask(gateway, "POST", "jobs/sleep/run", {})[1]["running"]
    status, told = ask(gateway, "POST", "jobs/sleep/run", {})
    assert (status, told) == (409, {"error": "job sleep: is running"})
    status, told = ask(gateway, "POST", "jobs/nothing/run", {})
    assert (status, told) == (404, {"error": "there is no job 'nothing'; there are: sleep"})
    assert gateway.get("/health")["jobs"]["sleep"]["status"] == "running"


def test_our_own_names_are_reserved() -> None:
    """The list of names that no package may take is that of the gateway's areas."""
    assert {endpoint.plain_path.split("/")[2] for endpoint in ENDPOINTS} == CORE_AREAS


@pytest.mark.parametrize("path", ["/a", "a/", "A", "{id:.*}", "a//b", "../x", "{}"])
def test_other_paths_are_refused(path: str) -> None:
    """A path that is not made of plain names and parameters is refused when it is registered."""

    async def handler(*_: object) -> None: ...

    with pytest.raises(PluginError, match="admin area 'shop'"):
        AdminArea("shop", (AdminEndpoint("GET", path, "read", handler),))
    twice = AdminEndpoint("GET", "a", "read", handler)
    with pytest.raises(PluginError, match="is there twice"):
        AdminArea("shop", (twice, twice))
    change = AdminEndpoint("POST", "a", "operate", handler)
    for endpoint, root, find, why in (
        (twice, "/v1/shop", None, "go together"),
        (twice, "", lambda *_: None, "go together"),
        (twice, "/admin/shop", lambda *_: None, "is no root"),
        (change, "/v1/shop", lambda *_: None, "are GET and read"),
    ):
        with pytest.raises(PluginError, match=why):
            AdminArea("shop", (endpoint,), root=root, find_caller=find)
