"""An installed package above the stream, with every hook that such a package has."""

from __future__ import annotations

from pathlib import Path

__all__ = ["COMMANDS", "MODULE", "install", "install_broken"]

MODULE = """
import asyncio
from pathlib import Path

from msgspec import Struct

from gateway import (
    AdminArea, AdminEndpoint, AdminError, CommandSpec, ConfigError, Destination, DestinationSpec,
    FigureSpec, JobSpec, TableSpec, hookimpl,
)


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    path: str = "shop"


class Shop(Struct, frozen=True, forbid_unknown_fields=True):
    name: str = "corner"
    count_at: str = "every 1s"
    fail: bool = False
    check: bool = True


class Board(Struct, frozen=True, forbid_unknown_fields=True):
    title: str


class Named(Struct, frozen=True, forbid_unknown_fields=True):
    type: str
    title: str = ""


class Funnel(Struct, frozen=True, forbid_unknown_fields=True):
    steps: list[str]


class Till(Destination):
    def __init__(self, config, context):
        self.context = context
        self.seen = 0
        self.queue_id = ""

    async def start(self):
        self.queue_id = self.context.queue_id()

    async def send(self, batch):
        self.seen += len(batch)


def check_shop(scope):
    if scope.tables["shop"].name == scope.project.currency:
        raise ConfigError("shop.name: is the currency")


async def count(scope):
    with (scope.data_dir / "runs.log").open("a") as file:
        file.write(f"{scope.shard} {scope.tables['shop'].name}\\n")
    if scope.tables["shop"].fail:
        raise RuntimeError("the till is empty")
    return f"{len(scope.destinations)} tills"


async def sleep(scope):
    await asyncio.sleep(60)


async def tills(scope, request):
    return {
        id_: {"seen": one.seen, "queue": one.queue_id, "shard": one.context.shard}
        for id_, one in scope.destinations.items()
        if isinstance(one, Till)
    }


def added(found):
    return {
        "seen": sum(till["seen"] for one in found.values() for till in one.values()),
        "queues": len({till["queue"] for one in found.values() for till in one.values()}),
        "shards": sorted(found),
    }


async def buy(scope, request):
    wanted = request.decode(dict[str, int])
    request.note(items=len(wanted))
    return {"bought": wanted, "shard": scope.shard, "by": request.caller}


async def shelf(scope, request):
    if request.path["id"] == "none":
        raise AdminError("there is no shelf 'none'", 404)
    if request.path["id"] == "broken":
        raise SystemExit("the shelf fell down")
    return {"id": request.path["id"], "query": request.query, "tables": "shop" in scope.tables}


def partner(scope, token):
    return f"partner of {scope.tables['shop'].name}" if token == "partner-token" else None


async def order(scope, request):
    if request.path["id"] == "many":
        raise AdminError("too many orders", 429, 7)
    return {"order": request.path["id"], "by": request.caller}


async def slow(scope, request):
    await asyncio.sleep(60)


@hookimpl
def register_destinations(register):
    register(DestinationSpec("till", Options, Till, tables=("shop",)))


@hookimpl
def register_figures(register):
    register(FigureSpec("tills", Funnel, lambda config: config))


@hookimpl
def register_config(register):
    register(TableSpec("shop", Shop, check=check_shop))
    register(TableSpec("shelves", Board, per_id=True))
    register(TableSpec("questions", Named, per_id=True, figure=True))


@hookimpl
def register_commands(register):
    register(CommandSpec("shop", "Look into the shop.", "headgate_shop_commands:shop"))
    register(CommandSpec("shut", "Fail to load.", "headgate_shop_commands:no_such_thing"))


@hookimpl
def register_admin(register):
    register(
        AdminArea(
            "shop",
            (
                AdminEndpoint("GET", "", "read", tills, merge=added),
                AdminEndpoint("GET", "shelves/{id}", "read", shelf),
                AdminEndpoint("POST", "buy", "operate", buy, merge="first"),
                AdminEndpoint("GET", "slow", "read", slow, timeout_seconds=0.05),
            ),
        )
    )


    register(
        AdminArea(
            "orders",
            (AdminEndpoint("GET", "orders/{id}", "read", order),),
            root="/v1/shop",
            find_caller=partner,
        )
    )


@hookimpl
def register_jobs(register):
    register(JobSpec("count", lambda scope: scope.tables["shop"].count_at or None, count))
    register(JobSpec("sleep", "sunday 03:00", sleep))
"""

COMMANDS = '''
from pathlib import Path

import click

from gateway import CONFIG_OPTION, explained_errors, load_scope, print_json, require_gateway, say


@click.group()
def shop():
    """Look into the shop."""


@shop.command()
@CONFIG_OPTION
def where(config_path: Path):
    """Say where the tills are."""
    with explained_errors():
        scope = load_scope(config_path)
    for id_, config in scope.configs("till").items():
        path = scope.path(config.path).relative_to(scope.base_dir)
        say(f"{id_}: {path} {scope.project.time_zone}")


@shop.command()
@CONFIG_OPTION
def tills(config_path: Path):
    """Ask the running gateway."""
    with explained_errors():
        print_json(require_gateway(load_scope(config_path)).get("/admin/shop"))
'''


def install(folder: Path) -> Path:
    """Installs ``headgate-shop`` into a folder for PYTHONPATH, and returns the folder."""
    _write(folder, "shop", {"headgate_shop": MODULE, "headgate_shop_commands": COMMANDS})
    return folder


def install_broken(folder: Path) -> Path:
    """Installs ``headgate-broken``, whose import fails."""
    _write(folder, "broken", {"headgate_broken": "raise RuntimeError('the roof fell in')"})
    return folder


def _write(folder: Path, name: str, modules: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    info = folder / f"headgate_{name}-1.2.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: headgate-{name}\nVersion: 1.2.3\n"
    )
    (info / "entry_points.txt").write_text(f"[gateway]\n{name} = headgate_{name}\n")
