"""An HTTP receiver for destinations of type ``webhook`` that fails on demand."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

__all__ = ["Receiver"]


class Receiver:
    """Accepts batches of events, and records them.

    Attributes:
        broken: paths that obey the ``properties.fate`` of events: ``reject`` is refused for good,
            ``wait`` is to be sent again later.
        down: paths that are answered 503.
        taken: accepted events of each path, in order, as ``source/message id``.
        refused: number of requests that were answered 503.
    """

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.down: set[str] = set()
        self.taken: dict[str, list[str]] = {}
        self.refused = 0
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, events: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """Returns status and body of the answer to a batch."""
        with self._lock:
            if path in self.down:
                self.refused += 1
                return 503, {}
            failed = []
            for index, event in enumerate(events):
                fate = event.get("properties", {}).get("fate") if path in self.broken else None
                if fate is None:
                    name = f"{event['sourceId']}/{event['messageId']}"
                    self.taken.setdefault(path, []).append(name)
                else:
                    failed.append({"index": index, "retry": fate == "wait", "reason": f"{fate}!"})
            return 200, {"failed": failed}


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, found = receiver.answer(self.path, json.loads(body)["batch"])
            answer = json.dumps(found).encode()
            self.send_response_only(status)  # without headers that depend on the machine
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
