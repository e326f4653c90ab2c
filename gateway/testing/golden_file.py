"""Golden cases: events, and the requests that a destination must make of them.

A file of cases is newline-delimited JSON; a line is a `Row`:

    {"case": "an order", "event": {"type": "track", "event": "Order Completed", "userId": "u"},
     "requests": [{"path": "/events", "body": {"events": [{"name": "Order Completed"}]}}]}
    {"case": "no name", "event": {"type": "track"}, "error": "Permanent: has no name"}

Empty lines and lines that begin with ``#`` are skipped.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gateway.errors import BatchError, DeliveryError
from gateway.events.event import Event
from gateway.testing.fake_vendor import Answer, FakeVendor, Received
from gateway.testing.making import event_from_client, make_batch, make_context
from gateway.testing.reading import content_of
from gateway.testing.running import run
from gateway.testing.under_test import Plugin, Subject, subject_of

__all__ = ["GoldenCase", "GoldenMismatch", "golden", "golden_cases"]

ANY = "{any}"
"""Stands for any value in an expected body or header."""

_TIME = "2026-11-23T14:00:00.000Z"


class _Request(Struct, frozen=True, forbid_unknown_fields=True):
    path: str
    body: Any
    method: str = "POST"
    headers: dict[str, str] = msgspec.field(default_factory=dict)


class _Row(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    case: str
    event: dict[str, Any] | None = None
    events: list[dict[str, Any]] = msgspec.field(default_factory=list)
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    requests: list[_Request] = msgspec.field(default_factory=list)
    error: str = ""
    errors: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.event is None) == (not self.events):
            raise ValueError("a case has either an event or events")
        if self.error and self.event is None:
            raise ValueError("a case with events names its errors by their place: errors")
        if self.error and self.errors:
            raise ValueError("either error or errors")


class GoldenMismatch(AssertionError):
    """A destination's requests or errors differ from those in the file."""


@dataclass(frozen=True, slots=True, repr=False)
class GoldenCase:
    """One case of a file.

    Attributes:
        where: file and line.
    """

    name: str
    where: str
    subject: Subject
    row: _Row
    accepts: Answer

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:  # shown by pytest; without the config, which has secrets
        return f"<GoldenCase {self.where}>"

    def check(self) -> None:
        """Sends the events, and compares requests and errors with those of the file.

        Raises:
            GoldenMismatch: they differ; shows the expected (-) and the actual (+) ones.
            ConfigError: the plugin does not accept the config.
        """
        __tracebackhide__ = True  # pytest shows the line of the test
        difference = self.difference()
        if difference:
            raise GoldenMismatch(difference)

    def difference(self) -> str:
        """Returns how requests and errors differ from those of the file; empty if they do not."""
        requests, errors = run(self._send)
        row = self.row
        wanted_errors = {"0": row.error} if row.error else row.errors
        expected = {
            "requests": _ordered([_expected(request) for request in row.requests]),
            "errors": wanted_errors,
        }
        made = {
            "requests": _ordered([_made(request, row.requests) for request in requests]),
            "errors": {
                place: _as_expected(error, wanted_errors.get(place, ""))
                for place, error in errors.items()
            },
        }
        made = _blurred(made, expected)
        if made == expected:
            return ""
        lines = unified_diff(_lines(expected), _lines(made), "expected", "made", lineterm="", n=6)
        return "\n".join([f"{self.where}: case {self.name!r} differs:", *lines])

    async def _send(self) -> tuple[list[Received], dict[str, DeliveryError]]:
        events = self.row.events or [self.row.event or {}]
        batch = make_batch([_event(fields, n) for n, fields in enumerate(events)])
        with tempfile.TemporaryDirectory(prefix="golden-") as folder:
            async with FakeVendor(default=self.accepts) as vendor:
                context = make_context(Path(folder), "golden")
                destination, _ = self.subject.build(context, vendor.url, Path(folder))
                await destination.start()
                errors: Mapping[int, DeliveryError] = {}
                try:
                    await destination.send(batch)
                except BatchError as error:
                    errors = error.failed
                except DeliveryError as error:
                    errors = dict.fromkeys(range(len(batch)), error)
                finally:
                    await destination.stop()
                return vendor.requests, {str(place): e for place, e in sorted(errors.items())}


def golden_cases(
    path: Path | str,
    plugin: Plugin,
    config: Mapping[str, Any] | None = None,
    *,
    accepts: Answer | None = None,
) -> list[GoldenCase]:
    """Returns the cases of a file; takes the same arguments as `golden`.

    Raises:
        ValueError: a line is not a case; the text names it and says why.
    """
    path = Path(path)
    cases = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path.name}, line {number}"
        try:
            row = msgspec.json.decode(line, type=_Row)
        except (msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"{where}: is no golden case: {error}") from error
        subject = subject_of(plugin, {**(config or {}), **row.config})
        cases.append(GoldenCase(row.case, where, subject, row, accepts or Answer()))
    if not cases:
        raise ValueError(f"{path.name}: has no cases")
    return cases


def golden(
    path: Path | str,
    plugin: Plugin,
    config: Mapping[str, Any] | None = None,
    *,
    accepts: Answer | None = None,
) -> None:
    """Runs a file of cases.

    A row has these keys:

    * ``case``: its name.
    * ``event``, or ``events`` for a batch: as a client sends it. By default ``messageId`` is
      ``message-1``, ``message-2`` and so on, and ``timestamp`` 2026-11-23T14:00:00.000Z.
    * ``config``: keys of the destination, which override those of `config`.
    * ``requests``: each with ``path`` (with its query), ``body``, ``method`` (``POST``) and
      ``headers``. Their order does not count, and only these headers are compared. A body is JSON,
      a list for lines of JSON, an object for a form, or else a string. The string ``{any}`` stands
      for any value.
    * ``error``: of the event; or ``errors``: by its place in the batch. An error is the name of its
      class, with an optional colon and part of its text.

    It runs its own event loop, so call it from a test that is not ``async``.

    Args:
        plugin: as for `check_destination_contract`.
        config: keys that all cases share; ``{url}`` stands for the fake vendor.
        accepts: the vendor's answer.

    Raises:
        GoldenMismatch: with the differences of all cases.
        ValueError: a line is not a case.
    """
    __tracebackhide__ = True
    cases = golden_cases(path, plugin, config, accepts=accepts)
    differences = [text for text in (case.difference() for case in cases) if text]
    if differences:
        raise GoldenMismatch("\n\n".join(differences))


def _event(fields: Mapping[str, Any], number: int) -> Event:
    """Makes an event of a client's JSON, as intake does."""
    whole = {"messageId": f"message-{number + 1}", "timestamp": _TIME, **fields}
    event = event_from_client(whole)
    event.received_at = fields.get("receivedAt", _TIME)
    event.source_id = "web"
    return event


def _expected(request: _Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "path": request.path,
        "headers": {name.lower(): value for name, value in request.headers.items()},
        "body": request.body,
    }


def _made(request: Received, expected: Sequence[_Request]) -> dict[str, Any]:
    named = {name.lower() for one in expected if one.path == request.path for name in one.headers}
    return {
        "method": request.method,
        "path": request.path,
        "headers": {name: request.headers[name] for name in named if name in request.headers},
        "body": content_of(request),
    }


def _ordered(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(requests, key=lambda one: (one["path"], json.dumps(one["body"], sort_keys=True)))


def _as_expected(error: DeliveryError, expected: str) -> str:
    """Returns the error as text; the expected text if that describes it."""
    names = [kind.__name__ for kind in type(error).__mro__]
    wanted, _, text = expected.partition(":")
    if wanted in names and text.strip() in str(error):
        return expected
    return f"{names[0]}: {error}"


def _blurred(made: Any, expected: Any) -> Any:
    """Returns the actual value, with `ANY` in the places where that is expected."""
    if expected == ANY:
        return ANY
    if isinstance(made, Mapping) and isinstance(expected, Mapping):
        return {k: _blurred(v, expected[k]) if k in expected else v for k, v in made.items()}
    if isinstance(made, list) and isinstance(expected, list) and len(made) == len(expected):
        return [_blurred(m, e) for m, e in zip(made, expected, strict=True)]
    return made


def _lines(value: Any) -> list[str]:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False).splitlines()
