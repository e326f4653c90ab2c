"""One answer for all shards: whoever is asked asks every worker, and puts the answers together.

A worker that is down does not answer. Books, lives and dead letters are then read from its files;
/health names it; what only the running process knows is refused, with its name.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import web
from msgspec import structs

from gateway.cluster.merge import merge_reloads
from gateway.cluster.metrics import merge_metrics
from gateway.cluster.peers import ASKED_FOR, Asker
from gateway.cluster.regulations import for_leader
from gateway.cluster.tail import Tails
from gateway.config.data_dir import of_shard, public_id, shard_of
from gateway.config.model import Config
from gateway.delivery.replay_request import Plan, Progress, Request, merge_plans, merge_progress
from gateway.delivery.shadow.report import ShadowReport, merge_shadows
from gateway.events.timestamps import now_ms
from gateway.http.tokens import Caller, Tokens
from gateway.privacy.inventory import scan_queues
from gateway.queue.offline import queues_of
from gateway.runtime.health import merge_health
from gateway.runtime.reload import Reloaded
from gateway.runtime.status import Status, merge_status
from gateway.server.admin import add_routes
from gateway.server.admin.api import AdminError, answer, number
from gateway.server.admin.dead import Asked
from gateway.server.admin.privacy import which
from gateway.server.app import METRICS_TYPE
from gateway.state import STATE_FILE, DeadLetter
from gateway.state.audit_trail import Entry as Change
from gateway.state.dead_letters import DeadLetters, Filter, merge_letters
from gateway.state.ledger.statement import Statement, merge_statements
from gateway.state.offline import life_of, statement_of
from gateway.state.trace import Life, merge_lives

__all__ = ["View", "asked_for"]

_T = TypeVar("_T")


def asked_for(request: web.Request) -> Caller:
    """On whose behalf a worker asks. Whether he may was asked by the worker that he asked."""
    return Caller(unquote(request.headers.get(ASKED_FOR, "")) or "worker", "admin")


class View:
    """Answers /health, /metrics and /admin for all shards.

    Args:
        asker: asks the shards.
        tokens: who may ask; without any there is no /admin.
    """

    def __init__(self, config: Config, asker: Asker, tokens: Tokens) -> None:
        self._config = config
        self._asker = asker
        self._tokens = tokens
        self._shards = asker.shards
        self._workers = config.server.workers
        self._one_scan = asyncio.Lock()
        self.stopping = asyncio.Event()
        """Set when answers that go on are to end."""

    def add_to(self, app: web.Application) -> None:
        """Add the paths; those below /admin if config has a token for them."""
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        if self._tokens:
            # What a request changes is written down by each worker that changes it.
            add_routes(app, self._admin_routes(), self._tokens.of_request, None)

    def _admin_routes(self) -> list[web.RouteDef]:
        tails = Tails(self._asker, self.stopping)
        return [
            web.get("/admin/status", self._status),
            web.get("/admin/ledger", self._ledger),
            web.get("/admin/why/{id:.+}", self._why),
            web.get("/admin/shadows/{id}", self._shadow),
            web.get("/admin/tail", tails.answer),
            web.post("/admin/replays", self._start_replay),
            web.get("/admin/replays", self._replays),
            web.get(r"/admin/replays/{id:\d{1,18}}", self._replay),
            web.delete(r"/admin/replays/{id:\d{1,18}}", self._cancel_replay),
            web.post("/admin/dead/list", self._dead_list),
            web.post("/admin/dead/count", self._dead_count),
            web.post("/admin/dead/retry", self._dead_retry),
            web.post("/admin/dead/drop", self._dead_drop),
            web.get("/admin/audit", self._audit),
            web.post("/admin/reload", self._reload),
            web.post("/admin/explain", self._explain),
            *for_leader(self._asker),
            web.get("/admin/privacy", self._privacy),
            web.get("/admin/rollouts{rest:.*}", self._of_first),
            web.post("/admin/rollouts{rest:.*}", self._of_first),
        ]

    async def _or_files(
        self,
        method: str,
        path: str,
        body: bytes | None,
        type_: type[_T],
        read: Callable[[Config], _T],
    ) -> dict[int, _T]:
        """The answers of all shards, read from the files of those that are down."""

        async def one(shard: int) -> _T:
            data = await self._asker.ask(shard, method, path, body)
            if data is None:
                return await asyncio.to_thread(read, of_shard(self._config, shard))
            return msgspec.json.decode(data, type=type_)

        answers = await asyncio.gather(*map(one, self._shards))
        return dict(zip(self._shards, answers, strict=True))

    # -- answering -----------------------------------------------------------

    async def _health(self, _: web.Request) -> web.Response:
        answers = await self._asker.ask_all("GET", "/health")
        found = {
            shard: None if data is None else msgspec.json.decode(data)
            for shard, data in answers.items()
        }
        state = merge_health(found, self._workers)
        return answer(state, 503 if state["status"] == "failing" else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        try:
            found = await self._asker.all_up("GET", "/metrics")
        except AdminError as error:
            # Sums without one of them would fall, and be taken for restarted counters.
            return web.Response(text=f"{error}\n", status=503)
        texts = {shard: data.decode() for shard, data in found.items()}
        return web.Response(body=merge_metrics(texts), headers={"Content-Type": METRICS_TYPE})

    async def _status(self, _: web.Request) -> web.Response:
        found = await self._asker.all_up("GET", "/admin/status")
        statuses = {s: msgspec.json.decode(data, type=Status) for s, data in found.items()}
        return answer(merge_status(statuses, self._workers))

    async def _ledger(self, _: web.Request) -> web.Response:
        found = await self._or_files("GET", "/admin/ledger", None, Statement, statement_of)
        return answer(merge_statements(found, self._workers))

    async def _why(self, request: web.Request) -> web.Response:
        message_id = request.match_info["id"]
        path = request.rel_url.raw_path
        found = await self._or_files(
            "GET", path, None, Life, lambda config: life_of(config, message_id)
        )
        return answer(merge_lives(found.values(), message_id))

    async def _shadow(self, request: web.Request) -> web.Response:
        found = await self._asker.all_up("GET", request.rel_url.raw_path)
        reports = [msgspec.json.decode(data, type=ShadowReport) for data in found.values()]
        return answer(merge_shadows(reports))

    async def _explain(self, request: web.Request) -> web.Response:
        # Of one for all: the config is the same in each, each knows the ids that the others have
        # taken, and what is stored is read from the files of all.
        body = await request.read()
        for shard in self._shards:
            data = await self._asker.ask(shard, "POST", "/admin/explain", body)
            if data is not None:
                return web.Response(body=data, content_type="application/json")
        raise AdminError("no worker answers: try in a moment, and see the log", 503)

    async def _dead_list(self, request: web.Request) -> web.Response:
        body = await request.read()
        asked = _asked(body)
        found = await self._or_files(
            "POST",
            "/admin/dead/list",
            body,
            list[DeadLetter],
            lambda config: _letters(config).find(asked.which, asked.limit),
        )
        return answer(merge_letters(found.values(), asked.limit))

    async def _dead_count(self, request: web.Request) -> web.Response:
        body = await request.read()
        asked = _asked(body)
        found = await self._or_files(
            "POST",
            "/admin/dead/count",
            body,
            list[tuple[str, str, int]],
            lambda config: [(*k, n) for k, n in _letters(config).count(asked.which).items()],
        )
        counts: dict[tuple[str, str], int] = {}
        for rows in found.values():
            for destination, reason, events in rows:
                counts[destination, reason] = counts.get((destination, reason), 0) + events
        return answer([[*key, counts[key]] for key in sorted(counts)])

    async def _audit(self, request: web.Request) -> web.Response:
        if "before" in request.query:
            # An id is of one shard, and says nothing of when the others' entries were made.
            raise AdminError(
                "before: is not known where there are several shards; ask for more with limit, "
                "or use `gateway audit`"
            )
        found = await self._asker.all_up("GET", request.path_qs)
        entries = [
            structs.replace(entry, id=public_id(shard, entry.id))
            for shard, data in found.items()
            for entry in msgspec.json.decode(data, type=list[Change])
        ]
        entries.sort(key=lambda entry: entry.at, reverse=True)
        return answer(entries[: number(request, "limit", 100)])

    async def _privacy(self, request: web.Request) -> web.Response:
        if self._config.queue[0].type != "disk":
            raise AdminError("the queues of several workers are looked into on disk only", 409)
        queues = queues_of(of_shard(self._config, shard) for shard in self._shards)
        async with self._one_scan:
            return answer(await asyncio.to_thread(scan_queues, queues, *which(request)))

    async def _dead_retry(self, request: web.Request) -> web.Response:
        return await self._dead_change(
            request, lambda letters, which: letters.retry(which, now_ms())
        )

    async def _dead_drop(self, request: web.Request) -> web.Response:
        return await self._dead_change(request, lambda letters, which: letters.drop(which))

    async def _dead_change(
        self, request: web.Request, change: Callable[[DeadLetters, Filter], int]
    ) -> web.Response:
        body = await request.read()
        which = _asked(body).which
        found = await self._or_files(
            "POST", request.path, body, int, lambda config: change(_letters(config), which)
        )
        return answer(sum(found.values()))

    # -- reload --------------------------------------------------------------

    async def reload(self) -> dict[int, Reloaded | str]:
        """Have each shard read the config file again: what that did, or why it did nothing."""

        async def one(shard: int) -> Reloaded | str:
            try:
                # It takes as long as sends under way do, each of which has a bound.
                data = await self._asker.ask(shard, "POST", "/admin/reload", patient=True)
                return msgspec.json.decode(self._asker.there(shard, data), type=Reloaded)
            except AdminError as error:
                return str(error)

        return dict(zip(self._shards, await asyncio.gather(*map(one, self._shards)), strict=True))

    async def _reload(self, _: web.Request) -> web.Response:
        return answer(merge_reloads(await self.reload(), self._workers))

    # -- rollouts ------------------------------------------------------------

    async def _of_first(self, request: web.Request) -> web.Response:
        """What only one gateway knows and decides: that of shard 0."""
        path, body = request.rel_url.raw_path_qs, await request.read()
        data = await self._asker.ask(0, request.method, path, body or None)
        return web.Response(body=self._asker.there(0, data), content_type="application/json")

    # -- replays -------------------------------------------------------------

    async def _start_replay(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            asked = msgspec.json.decode(body, type=Request)
        except msgspec.DecodeError as error:
            raise AdminError(f"body: {error}") from error
        if asked.dry_run:
            plans = await self._asker.all_up("POST", "/admin/replays", body)
            return answer(
                merge_plans(msgspec.json.decode(data, type=Plan) for data in plans.values())
            )
        await self._listed()  # so that it begins everywhere or, where a worker is down, nowhere
        part = structs.replace(asked, group=uuid.uuid4().hex, rate=asked.rate / len(self._shards))
        body = msgspec.json.encode(part)
        begun: list[Progress] = []
        try:
            for shard in self._shards:
                data = self._asker.there(
                    shard, await self._asker.ask(shard, "POST", "/admin/replays", body)
                )
                begun.append(msgspec.json.decode(data, type=Progress))
        except AdminError:
            for one in begun:
                await self._cancel(one)
            raise
        return answer(merge_progress(begun)[0], 201)

    async def _listed(self) -> list[Progress]:
        found = await self._asker.all_up("GET", "/admin/replays")
        return [
            one for data in found.values() for one in msgspec.json.decode(data, type=list[Progress])
        ]

    async def _parts(self, request: web.Request) -> list[Progress]:
        """The parts of the replay that a request names."""
        id_ = int(request.match_info["id"])
        listed = await self._listed()
        named = next((one for one in listed if one.id == id_), None)
        if named is None:
            raise AdminError("there is no replay with this id", 404)
        return [one for one in listed if one is named or (named.group and one.group == named.group)]

    async def _cancel(self, one: Progress) -> None:
        await self._asker.ask(shard_of(one.id)[0], "DELETE", f"/admin/replays/{one.id}")

    async def _replays(self, _: web.Request) -> web.Response:
        return answer(merge_progress(await self._listed()))

    async def _replay(self, request: web.Request) -> web.Response:
        return answer(merge_progress(await self._parts(request))[0])

    async def _cancel_replay(self, request: web.Request) -> web.Response:
        for one in await self._parts(request):
            await self._cancel(one)
        return answer(merge_progress(await self._parts(request))[0])


def _asked(body: bytes) -> Asked:
    try:
        return msgspec.json.decode(body, type=Asked)
    except msgspec.DecodeError as error:
        raise AdminError(f"body: {error}") from error


def _letters(config: Config) -> DeadLetters:
    return DeadLetters(config.data_dir / STATE_FILE, config.shard)
