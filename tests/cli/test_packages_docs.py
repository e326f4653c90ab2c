"""The package of docs/guide/packages.md runs as it stands there."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli import package_commands
from gateway.cli.group import main
from gateway.components.admin_area import AdminArea, AdminEndpoint, AdminRequest
from gateway.components.job import JobSpec
from gateway.components.scope import Scope
from gateway.components.tables import TableSpec
from gateway.config.load import load
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "packages.md").read_text(encoding="utf-8")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a config and parcels, beside the installed package of the page."""
    site = tmp_path / "site"
    for path, code in re.findall(r"```python\n# src/(\S+)\n(.*?)```", PAGE, re.DOTALL):
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(code)
    info = site / "headgate_parcels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: headgate-parcels\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gateway]\nparcels = headgate_parcels\n")
    monkeypatch.syspath_prepend(str(site))
    (tmp_path / "parcels.txt").write_text("one\ntwo\n")
    (tmp_path / "config.toml").write_text('[parcels]\ncount_at = "every 1d"\n')
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("headgate_parcels")]:
        del sys.modules[name]


async def test_the_package_of_the_page_works(folder: Path) -> None:
    """Its job, its admin endpoint and its table do what the page says."""
    gateway = Gateway(load(folder / "config.toml", {}), discover())
    area = gateway.registry.named(AdminArea)["parcels"]
    request = AdminRequest({}, {"since": "monday"}, b"", "ada")
    found = await area.endpoints[0].handler(gateway.topology.scope, request)
    assert found == {"parcels": 2, "since": "monday"}
    job = gateway.topology.jobs["count-parcels"]
    assert (await job.spec.run(job.scope), job.text) == ("2 parcels", "every 1d")


def test_the_command_of_the_page_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a gateway the command counts by itself."""
    registry = discover(builtins=())
    monkeypatch.setattr(package_commands, "_registry", lambda: registry)
    found = CliRunner().invoke(main, ["parcels", "--config", str(folder / "config.toml")])
    assert (found.output, found.exit_code) == ("2 parcels in UTC\n", 0)


def test_all_parts_are_documented() -> None:
    """The page names each attribute of a scope, an endpoint and a request, and keys of specs."""
    named = {f.name for kind in (Scope, AdminEndpoint, AdminRequest) for f in fields(kind)}
    named |= {f.name for kind in (JobSpec, TableSpec) for f in fields(kind)}
    named -= {"api", "detail", "name"}
    assert sorted(one for one in named if not re.search(rf"\b{one}\b", PAGE)) == []
