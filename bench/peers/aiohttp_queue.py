"""A collector without durability: aiohttp, the standard library's json, an asyncio.Queue.

Answers once the events are in the queue in memory; a task takes them out and drops them. Events in
the queue are lost with the process. Run it as a program with a port.
"""

import asyncio
import contextlib
import json
import sys
from typing import Any

import uvloop
from aiohttp import web

queue: asyncio.Queue[list[dict[str, Any]]] = asyncio.Queue(maxsize=1000)


async def take(request: web.Request) -> web.Response:
    """Queues a batch or an event."""
    body = json.loads(await request.read())
    events = body["batch"] if request.path == "/v1/batch" else [body]
    if not all(isinstance(event, dict) and event.get("messageId") for event in events):
        return web.json_response({"success": False}, status=400)
    await queue.put(events)
    return web.json_response({"success": True})


async def health(_: web.Request) -> web.Response:
    """Answers that it is up."""
    return web.json_response({"success": True})


async def drop() -> None:
    """Drops events."""
    while True:
        await queue.get()


async def main(port: int) -> None:
    """Serves until SIGTERM."""
    app = web.Application(client_max_size=10_000_000)
    app.router.add_get("/health", health)
    app.router.add_post("/v1/{kind}", take)
    runner = web.AppRunner(app, access_log=None, handle_signals=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await drop()


if __name__ == "__main__":
    with contextlib.suppress(web.GracefulExit):
        uvloop.run(main(int(sys.argv[1])))
