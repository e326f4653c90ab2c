"""The config and the events that `tests.support.write_data_dir` fills a data directory with.

Everything follows from a seed. `Plan` also holds the expected outcome of the events, which the
script compares with the outcome that the gateway reports.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ERASED", "LINKED", "SUPPRESSED", "TOKEN", "Call", "Plan", "config_of"]

TOKEN = "a-token-that-olga-uses"
SUPPRESSED = "u-silent"
ERASED = "u-gone"
LINKED = [f"u-{number}" for number in range(10)]
"""Users who are linked to the visitors ``v-0`` to ``v-9``."""

_SEED = 20
_SDK = {"library": {"name": "analytics.js", "version": "2.1.0"}, "locale": "de-DE"}
_NAMES = ("Product Viewed", "Product Added", "Order Completed", "Signed Up")

_CONFIG = """\
data_dir = "data"
[server]
port = 0
drain_timeout_seconds = 2.0
workers = {workers}
[queue]
type = "disk"
segment_bytes = 4096
retention_hours = 1_000_000
[dedup]
window_hours = 1_000_000
[trace]
retention_hours = 1_000_000
[log]
format = "json"
[reload]
watch_seconds = 0
[admin]
tokens = [{{ name = "olga", token = "{token}", role = "admin" }}]
[sources.web]
type = "segment"
write_key = "web-key"
[sources.backend]
type = "segment"
keys = [{{ key = "backend-key", types = ["track", "identify"] }}]
[transforms.privacy]
type = "mask"
detect = ["email", "card", "phone", "iban", "national_id", "ip", "secret"]
action = "mask"
fields = ["password", "first_name"]
secret = "the secret of an old mask"
{at_intake}
[transforms.tracks_only]
type = "filter"
keep = 'type = "track"'
destinations = ["mailer"]
[transforms.half]
type = "sample"
percent = 50
destinations = ["zipped"]
[groups.checkout]
{size}
stamp = true
[destinations.files]
type = "file"
path = "data/events"
fsync = false
batch = {{ max_age_seconds = 0.05 }}
[destinations.zipped]
type = "file"
path = "data/zipped"
compress = "gzip"
roll_seconds = 60
consent = ["advertising"]
batch = {{ max_age_seconds = 0.05 }}
[destinations.table]
type = "sqlite"
path = "data/events.sqlite"
batch = {{ max_age_seconds = 0.05 }}
[destinations.crm]
type = "webhook"
url = "${{RECEIVER}}/crm"
name = "CRM"
{ordering}
batch = {{ max_age_seconds = 0.05 }}
[destinations.crm.retry]
initial_seconds = 0.2
max_seconds = 0.5
max_attempts = 1_000_000
max_age_seconds = 1e10
[destinations.mailer]
type = "webhook"
url = "${{RECEIVER}}/mailer"
batch = {{ max_age_seconds = 0.05 }}
retry = {{ initial_seconds = 0.2, max_seconds = 0.5, max_attempts = 2 }}
[destinations.canary]
type = "webhook"
url = "${{RECEIVER}}/canary"
only = {{ group = "checkout", arm = "test" }}
batch = {{ max_age_seconds = 0.05 }}
[destinations.down]
type = "webhook"
url = "${{RECEIVER}}/down"
batch = {{ max_age_seconds = 0.05 }}
retry = {{ initial_seconds = 60, max_seconds = 60, max_age_seconds = 1e10 }}
[destinations.crm_next]
type = "webhook"
url = "${{RECEIVER}}/crm_next"
shadow = {{ of = "crm" }}
"""

_FILTER = """\
[transforms.no_tests]
type = "filter"
drop = 'event = "Test"'"""


def config_of(workers: int) -> str:
    """Returns the text of config.toml; the variable ``RECEIVER`` is the receiver's address.

    With a single process the group is a rollout, and a destination keeps the order of each user;
    several workers refuse both. With several workers a filter at intake reads each event, so that
    none is stored as sent.
    """
    ramp = 'ramp = ["10%", "50%", "100%"]\nhold_minutes = 1_000_000_000\nmin_samples = 50_000'
    return _CONFIG.format(
        workers=workers,
        token=TOKEN,
        size=ramp if workers == 1 else "percent = 50",
        ordering='ordering = "user"' if workers == 1 else "",
        at_intake=_FILTER if workers > 1 else "",
    )


@dataclass(frozen=True)
class Call:
    """A request to the gateway.

    Attributes:
        packed: the body is sent compressed.
    """

    key: str
    path: str
    body: dict[str, Any]
    packed: bool = False


@dataclass
class Plan:
    """The requests, and their expected outcome.

    Attributes:
        first: sent while all receivers work.
        then: sent while some of them fail.
        accepted: the message ids that each source must accept.
        erased: the erased ones of these ids; half of them are sent while receivers fail.
        discarded: the code of each event that is not stored.
        arms: for each linked user, the last event with a userId only.
        duplicates: number of events of each source that are sent again.
    """

    first: list[Call] = field(default_factory=list)
    then: list[Call] = field(default_factory=list)
    accepted: dict[str, list[str]] = field(default_factory=lambda: {"web": [], "backend": []})
    erased: list[str] = field(default_factory=list)
    discarded: dict[str, str] = field(default_factory=dict)
    arms: dict[str, str] = field(default_factory=dict)
    duplicates: Counter[str] = field(default_factory=Counter)

    @classmethod
    def make(cls, workers: int) -> Plan:
        """Makes the plan for a number of workers; it is always the same."""
        plan = cls()
        author = _Author(plan, random.Random(_SEED), drops_tests=workers > 1)
        author.write_first()
        author.write_then()
        return plan


class _Author:
    """Writes the requests of a plan."""

    def __init__(self, plan: Plan, rng: random.Random, *, drops_tests: bool) -> None:
        self._plan = plan
        self._drops_tests = drops_tests
        self._rng = rng
        self._calls = plan.first
        self._number = 0

    def write_first(self) -> None:
        """Writes links, all types of events, all paths, and events that are not stored."""
        for number, user in enumerate(LINKED):
            traits = {"email": f"{user}@example.com", "first_name": "Ada", "plan": "free"}
            self._one("identify", userId=user, anonymousId=f"v-{number}", traits=traits)
        self._of_servers()
        self._one("alias", userId="u-new", previousId="u-3")
        self._one("group", userId="u-1", groupId="acme", traits={"seats": 12})
        self._one("page", anonymousId="v-20", name="Home", properties={"path": "/"})
        self._one("screen", anonymousId="v-20", name="Start")
        self._one("track", event="Signed Up", userId="ann@example.com", anonymousId="v-30")
        self._batch([self._track() for _ in range(12)])
        self._batch(
            [self._track(plain=False) for _ in range(8)],
            context={"ip": "203.0.113.7", "consent": _consent(advertising=True)},
            sentAt="2025-03-01T10:00:05.000Z",
            packed=True,
        )
        mixed = [self._track() for _ in range(6)]
        mixed[2]["properties"]["note"] = "write to bob@example.com"
        mixed[4]["context"] = {**_SDK, "consent": _consent(advertising=False)}
        mixed[5]["integrations"] = {"All": True, "CRM": False}
        self._batch(mixed)
        twice = self._track()
        self._plan.duplicates["web"] += 1
        test, silent = self._track(event="Test"), self._track(userId=SUPPRESSED)
        nameless, nobody = self._track(event=""), self._track(userId=None)
        for event, code in (
            *([(test, "filtered:no_tests")] if self._drops_tests else []),
            (silent, "suppressed"),
            (nameless, "event_not_defined"),
            (nobody, "no_user_anon_id"),
        ):
            self._discard(event, code)
        self._batch([twice, test, silent, twice, nameless, nobody])
        refused = self._event("page", userId="u-1", name="Home")
        self._discard(refused, "type_not_allowed")
        self._call("backend-key", "/v1/page", refused)
        self._of_erased(None, None, None)
        beacon = {"batch": [self._track(), self._track()]}
        self._call("", "/beacon/v1/batch?writeKey=web-key", beacon)

    def write_then(self) -> None:
        """Writes events that destinations fail on, events after them, and events sent before."""
        again = self._calls[-1], self._calls[len(LINKED)]
        self._calls = self._plan.then
        self._of_servers()
        fates = [self._track(fate=fate, userId=f"u-{n}") for n, fate in enumerate(_FATES)]
        self._batch(fates)
        self._batch([self._track(userId=f"u-{n}") for n in (0, 1, 1, 4, 8)])
        self._of_erased("wait", "reject", None)
        for _ in range(5):
            self._batch([self._track() for _ in range(self._rng.randint(1, 6))])
        self._one("page", anonymousId="v-21", name="Prices")
        self._calls += again
        self._plan.duplicates["web"] += 2
        self._plan.duplicates["backend"] += 1
        # The same id from another source is another event.
        other = {**again[1].body, "event": "Signed Up"}
        self._plan.accepted["web"].append(other["messageId"])
        self._call("web-key", "/v1/track", other)

    def _of_servers(self) -> None:
        """Writes an event with a userId only for each linked user."""
        for user in LINKED:
            event = self._event("track", userId=user, event="Renewed", source="backend")
            self._plan.arms[user] = event["messageId"]
            self._call("backend-key", "/v1/track", event)

    def _of_erased(self, *fates: str | None) -> None:
        events = [self._track(fate=fate, userId=ERASED) for fate in fates]
        self._plan.erased += [event["messageId"] for event in events]
        self._batch(events)

    def _event(self, type_: str, *, source: str = "web", **fields: Any) -> dict[str, Any]:
        self._number += 1
        id_ = f"m-{self._number:03}"
        self._plan.accepted[source].append(id_)
        return {"messageId": id_, "type": type_, **fields}

    def _track(
        self, *, plain: bool = True, fate: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """Makes a track event of some user, as SDKs send it."""
        rng = self._rng
        event = self._event("track", event=rng.choice(_NAMES), userId=f"u-{rng.randrange(12)}")
        event["properties"] = {"sku": f"S-{rng.randrange(100)}", "price": rng.randrange(1, 99) / 2}
        event["timestamp"] = f"2025-03-01T10:00:{rng.randrange(60):02}.{rng.randrange(1000):03}Z"
        if plain:
            event["context"] = _SDK
        if fate is not None:
            event["properties"]["fate"] = fate
        return {**event, **fields}

    def _discard(self, event: dict[str, Any], code: str) -> None:
        for ids in self._plan.accepted.values():
            if event["messageId"] in ids:
                ids.remove(event["messageId"])
        self._plan.discarded[event["messageId"]] = code

    def _one(self, type_: str, **fields: Any) -> None:
        self._call("web-key", f"/v1/{type_}", self._event(type_, **fields))

    def _batch(self, events: list[dict[str, Any]], *, packed: bool = False, **shared: Any) -> None:
        self._call("web-key", "/v1/batch", {"batch": events, **shared}, packed=packed)

    def _call(self, key: str, path: str, body: dict[str, Any], *, packed: bool = False) -> None:
        self._calls.append(Call(key, path, body, packed))


_FATES = ("wait", "wait", "reject", "reject", "wait", None, None, "reject")


def _consent(**categories: bool) -> dict[str, Any]:
    return {"categoryPreferences": categories}
