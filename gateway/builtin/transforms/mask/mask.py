"""Removes personal data from events before they are stored or delivered.

Config names personal data by path or by key; more is detected by its form. Each value is dropped,
replaced, masked so that people still recognise its kind, or hashed with a secret so that events of
one person can still be joined. An allow-list removes all that it does not name.

Most events have no personal data. They are never decoded; see `gateway.privacy.detectors.prescan`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import copy
from functools import cache, partial
from itertools import repeat
from operator import attrgetter, is_
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Raw

from gateway.builtin.transforms.mask.allow import ABSENT, pruned
from gateway.builtin.transforms.mask.hashing import Hasher, generated_secret
from gateway.builtin.transforms.mask.inplace import (
    effort,
    has_duplicate_keys,
    masked_in_place,
    strings_at,
)
from gateway.builtin.transforms.mask.redact import GONE, Action, Redactor
from gateway.builtin.transforms.mask.rules import MaskConfig, MaskRules, masked_names
from gateway.builtin.transforms.mask.steering import redacted, steers
from gateway.components.transform import Transform
from gateway.components.transform_methods import (
    ChangesClient,
    ChangesContext,
    ChangesIds,
    PerDestination,
    ReceivesEvents,
    SuspectsText,
    WorksApart,
)
from gateway.errors import ConfigError
from gateway.events.consent import CONSENT_EVENT
from gateway.events.envelope.client import Client
from gateway.events.event import EMPTY, Event
from gateway.privacy.detectors.disguise import MASKED
from gateway.privacy.detectors.matcher import TooManyHits
from gateway.privacy.detectors.prescan import Prescan
from gateway.privacy.detectors.suspicion import BODIES, DETECT, NAMES, PATHS

__all__ = ["MOST_HITS", "MOST_SEARCHED", "MOST_SECONDS", "Mask", "MaskConfig"]

MOST_HITS = 4_000
"""Suspicions in a batch that are looked at on the event loop; at 3 µs each."""

MOST_SEARCHED = 16_384
"""Bytes of suspicious texts of a batch that are searched on the event loop; at 1 to 3 µs each."""

MOST_SECONDS = 0.02
"""Time for which a batch is worked on on the event loop; looked at before each event.

The other limits tell at once of most batches that they take long. What each event costs beside that
depends on what it holds, and only time bounds it.
"""

_NOTES = attrgetter("raw_notes")
_MOST_PRUNED = 262_144
_MOST_IN_ID = 250  # hits in an id that are looked at before it is taken for personal data
_LONGEST_ID = 256  # characters; a longer one, which no client has, is hashed on suspicion
_IDS = ("user_id", "anonymous_id", "group_id", "previous_id", "message_id")


class Mask(
    Transform,
    SuspectsText,
    ReceivesEvents,
    ChangesClient,
    ChangesContext,
    WorksApart,
    ChangesIds,
    PerDestination,
):
    """Masks personal data in events.

    Args:
        folder: folder for the secret for ids, if config has none.
        destination: id of the destination to make pseudonyms for; None at intake.
        at_intake: `receive` sees all events before `apply` does.
    """

    def __init__(
        self,
        config: MaskConfig,
        folder: Path | None = None,
        *,
        destination: str | None = None,
        at_intake: bool = False,
    ) -> None:
        rules = MaskRules(config)
        self._config = config
        self._folder = folder
        self._hasher = Hasher(self._secret, config.epoch, destination)
        self._destination = destination
        self._pseudonyms = rules.pseudonyms
        self._detects = bool(config.detect)
        self._ids = config.ids if config.detect and config.ids != "keep" else None
        message_id = rules.attributes.get("message_id")
        self._message_ids = message_id if at_intake else None
        self._attributes = tuple(
            item for item in rules.attributes.items() if not at_intake or item[0] != "message_id"
        )
        self._touches_all = bool(
            self._attributes or self._message_ids is not None or rules.allowed is not None
        )
        self._rules = rules.by_path
        self._skips = bool(config.skip)
        self._allowed = rules.allowed
        self._prescan = Prescan(
            config.detect,
            masked_names(rules.treatments),
            rules.last_keys,
            coarse_ips=rules.actions.get("ip") == "mask",
        )
        self._redactor = Redactor(
            config.detect, rules.actions, rules.treatments, self._hasher, config.replacement
        )

    def for_destination(self, destination: str) -> Mask:
        """Returns a mask whose pseudonyms are those of the destination."""
        if not self._pseudonyms:
            return self
        return Mask(self._config, self._folder, destination=destination)

    def passes(self, text: bytes | memoryview) -> bool:
        """Tells whether nothing in a JSON text can match a rule; see `Prescan.clean`."""
        return not self._touches_all and self._prescan.clean(bytes(text))

    def suspects(self, text: bytes) -> Collection[int] | None:
        """Returns the places that may match a rule; None if there are very many."""
        if self._touches_all:
            return None
        try:
            return self._prescan.suspects(text, MOST_HITS)
        except TooManyHits:
            return None

    def receive(self, events: Sequence[Event]) -> None:
        """Hashes message ids that are personal data, before de-duplication remembers them."""
        if self._message_ids is not None:
            for event in events:
                if event.message_id:
                    event.message_id = self._redactor.whole(event.message_id, self._message_ids)
        elif self._ids and self._prescan.any_of([one.message_id for one in events], MOST_HITS):
            for event in events:
                event.message_id = self._safe_id(event.message_id)

    def of_client(self, client: Client) -> Client:
        """Masks the client's address and user agent as in the context of events."""
        if client.ip is None and client.user_agent is None:
            return client
        ip, agent = self._in_context(client.ip, client.user_agent)
        return msgspec.structs.replace(client, ip=ip, user_agent=agent)

    def of_context(self, context: Raw) -> Raw | None:
        """Masks personal data in a context; returns None if there is much to look at."""
        event = Event(raw_context=context)
        return None if self.apply_briefly([event]) is None else event.raw_context

    def apply(self, events: list[Event]) -> list[Event]:
        """Masks personal data in the events; drops no event."""
        return self._apply(events, None, None)

    def apply_briefly(self, events: list[Event]) -> list[Event] | None:
        """Masks personal data in the events; returns None if there is much to look at."""
        if self._allowed is not None and sum(event.size for event in events) > _MOST_PRUNED:
            return None
        try:
            return self._apply(events, MOST_HITS, MOST_SEARCHED, time.monotonic() + MOST_SECONDS)
        except (TooManyHits, _TooLongError):
            return None

    def apply_apart(self, events: list[Event]) -> list[Event]:
        """Masks personal data in the events, in another thread."""
        twin = copy(self)
        twin._redactor = self._redactor.twin()
        return twin.apply(events)

    def _apply(
        self,
        events: list[Event],
        most_hits: int | None,
        most: int | None,
        until: float = math.inf,
    ) -> list[Event]:
        if self._allowed is not None:
            for event in events:
                self._prune(event, self._allowed)
        # All changes are computed from the events as they came, and assigned only then, so that
        # no value is hashed twice, by two rules.
        changes = [
            *self._changed_bodies(events, most_hits, most, until),
            *self._changed_notes(events, until),
        ]
        if self._detects:
            changes += self._changed_texts(events, most_hits, most, until)
        for attribute, action in self._attributes:
            changes += self._changed_attribute(_in_time(events, until), attribute, action)
        for event, name, value in changes:
            event.__dict__.pop(name, None)  # decoded from the old bytes
            setattr(event, name, value)
        return events

    def hashes(self, text: str) -> dict[str, str]:
        """Returns the hashes of a value as a whole, by epoch, the latest first.

        An id that is an e-mail address, say, is stored as the first of these.
        """
        hashers = self._hashers()
        return {epoch: self._redactor.hashed(text, hasher) for epoch, hasher in hashers.items()}

    def forms(self, attribute: str, id_: str) -> Collection[str]:
        """Returns an id as it is stored: hashed under each secret, if it is hashed."""
        action = dict(self._attributes).get(attribute)
        twin = copy(self)
        if action is None:
            twin._redactor = self._redactor.twin()
            if self._ids is None or twin._safe_id(id_) is id_:
                return (id_,)  # as nearly every id
        found = []
        for hasher in self._hashers().values():
            twin._redactor = self._redactor.twin(hasher)
            if action is not None:
                found.append(str(twin._redactor.whole(id_, action)))
            else:
                found.append(twin._safe_id(id_))
        return dict.fromkeys(found)

    def _hashers(self) -> dict[str, Hasher]:
        """Returns the hasher of each epoch, the latest first."""
        config = self._config
        hashers = {config.epoch: self._hasher}
        for epoch, secret in config.previous_secrets.items():
            if epoch != config.epoch:
                hashers[epoch] = Hasher(secret.reveal().encode, epoch, self._destination)
        return hashers

    def _secret(self) -> bytes:
        if self._config.secret is not None:
            return self._config.secret.reveal().encode()
        if self._folder is None:
            raise ConfigError("a mask without a secret needs a data directory to keep one in")
        return generated_secret(self._folder)

    def _safe_id(self, text: str) -> str:
        assert self._ids is not None
        if len(text) > _LONGEST_ID:
            suspected = self._prescan.any_of([text], _MOST_IN_ID)
            return self._redactor.other(text, self._ids) if suspected else text
        if not text or self._redactor.text(text) is text:
            return text
        return self._redactor.as_id(text, self._ids)

    def _prune(self, event: Event, allowed: dict[str, Any]) -> None:
        for body in BODIES:
            old = getattr(event, body)
            if old:
                new = pruned(old, allowed.get(body, {}))
                if new is not old:
                    setattr(event, body, {} if new is ABSENT else new)

    def _changed_bodies(
        self, events: list[Event], most_hits: int | None, most: int | None, until: float
    ) -> Iterator[_Change]:
        """Yields the changes to bodies.

        Args:
            most_hits: limit for the suspicions in all bodies; None for no limit.
            most: limit for the bytes of all texts that have to be searched; None for no limit.
            until: monotonic time at which to give up.

        Raises:
            TooManyHits, _TooLongError: a limit is reached.
        """
        found = self._prescan.bodies(events, most_hits)
        for (index, body), suspicion in _in_time(found.items(), until):
            event = events[index]
            slot = f"raw_{body}"
            raw = bytes(getattr(event, slot))
            rules, reasons = self._rules.get(body), suspicion.reasons
            strings = strings_at(raw, suspicion.ends)
            if most is not None:
                most -= effort(raw, strings)
                if most < 0:
                    raise _TooLongError
            steering = body != "properties" and steers(body, raw)
            if strings and strings.complete and reasons == DETECT and not (self._skips or steering):
                masked = masked_in_place(raw, strings, self._redactor, rules)
                if masked is not None:
                    if masked is not raw:
                        value = Raw(masked)
                        yield event, slot, value
                        if suspicion.copies:
                            yield from ((events[copy], slot, value) for copy in suspicion.copies)
                    continue
            old = getattr(event, body)
            texts = None
            if strings is not None:
                texts = {raw[start:stop].decode() for start, stop in strings.spans}
            redact = partial(self._redactor.value_with, reasons=reasons, texts=texts)
            new = redacted(body, old, rules, redact) if steering else redact(old, rules)
            if new is GONE:
                new = {}
            elif new is old and has_duplicate_keys(raw):
                new = dict(old)  # else the bytes keep the first of two values
            if new is not old:
                yield event, body, new
                yield from ((events[copy], body, new) for copy in suspicion.copies)

    def _changed_texts(
        self, events: list[Event], most_hits: int | None, most: int | None, until: float
    ) -> Iterator[_Change]:
        named = {attribute for attribute, _ in self._attributes}
        for index, name in _in_time(sorted(self._prescan.texts(events, most_hits)), until):
            event = events[index]
            old = getattr(event, name)
            if most is not None:
                most -= len(old)
                if most < 0:
                    raise _TooLongError
            if name not in _IDS:
                new = self._redactor.text(old)
                if new is not old:
                    dropped = MASKED if name == "event" else None
                    yield event, name, dropped if new is GONE else new
            elif self._ids is not None and name not in named:
                new = self._safe_id(old)
                if new is not old:
                    yield event, name, new

    def _changed_attribute(
        self, events: Iterable[Event], attribute: str, action: Action
    ) -> Iterator[_Change]:
        for event in events:
            if attribute == "event" and event.event == CONSENT_EVENT:
                continue
            old = getattr(event, attribute)
            if old is not None:
                new = self._redactor.whole(old, action)
                yield event, attribute, None if new is GONE else new

    def _changed_notes(self, events: list[Event], until: float) -> Iterator[_Change]:
        """Yields changes to the gateway's copies of the context, and to an unreadable timestamp."""
        if all(map(is_, map(_NOTES, events), repeat(EMPTY))):  # a tenth of the time of a loop
            return
        in_context = cache(self._in_context)  # the events of a request have the same sender
        for event in _in_time(events, until):
            if event.raw_notes is EMPTY:
                continue
            old = event.notes
            ip, agent = in_context(old.request_ip, old.user_agent)
            raw_timestamp = self._redactor.text(old.raw_timestamp or "") or None
            new = msgspec.structs.replace(
                old,
                request_ip=ip,
                user_agent=agent,
                raw_timestamp=raw_timestamp if raw_timestamp is not GONE else None,
            )
            if new != old:
                yield event, "raw_notes", Raw(msgspec.json.encode(new))

    def _in_context(self, ip: str | None, agent: str | None) -> tuple[str | None, str | None]:
        """Masks an address and a user agent as if they were in the context."""
        known = {"ip": ip, "userAgent": agent}
        context: Any = {key: value for key, value in known.items() if value is not None}
        if self._allowed is not None:
            context = pruned(context, self._allowed.get("context", {}))
        seen = self._redactor.value(context, self._rules.get("context"), _EVERY_REASON)
        kept = {} if seen is GONE or seen is ABSENT else seen
        return kept.get("ip"), kept.get("userAgent")


_Change: TypeAlias = tuple[Event, str, Any]
_T = TypeVar("_T")
_EVERY_REASON = DETECT | NAMES | PATHS


def _in_time(items: Iterable[_T], until: float) -> Iterator[_T]:
    """Yields the items.

    Raises:
        _TooLongError: the monotonic time `until` has passed.
    """
    for item in items:
        if time.monotonic() > until:
            raise _TooLongError
        yield item


class _TooLongError(Exception):
    """There is more to search than the event loop can wait for."""
