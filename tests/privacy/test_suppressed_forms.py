"""Users who are suppressed by another form of their id than clients send."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway import Subjects
from gateway.components.chain import Chain
from gateway.delivery.replay_request import Request
from gateway.events.event import Event
from gateway.privacy.suppressed_forms import SuppressedForms
from gateway.runtime.gateway import Gateway
from gateway.testing import make_event
from tests.support.in_process import caught_up, make_gateway, send_events

JANE, JOHN = "jane@example.com", "john@example.com"
_MASK = """
[transforms.privacy]
type = "mask"
epoch = "new"
secret = "{secret}"
previous_secrets = {{ old = "{old}" }}
[transforms.crm_ids]
type = "mask"
secret = "{secret}"
detect = []
fields = ["userId"]
action = "pseudonym"
destinations = ["crm"]
"""
_CONFIG = (
    """
[server]
port = 0
[sources.web]
type = "segment"
write_key = "k"
[destinations.crm]
type = "null"
"""
    + _MASK
)


def _gateway(folder: Path, **secrets: str) -> Gateway:
    text = _CONFIG.format(**{"secret": "s" * 16, "old": "o" * 16} | secrets)
    return make_gateway(folder, text)


def _form(gateway: Gateway, form: str) -> str:
    """Returns an id of Jane's as an operator may see it."""
    intake: Chain = gateway.topology.intake.transforms
    before, now = sorted(intake.forms("user_id", JANE), reverse=True)  # old., new.
    [pseudonym] = gateway.deliveries.built["crm"].chain.forms("user_id", now)
    return {"raw": JANE, "hash": now, "old hash": before, "pseudonym": pseudonym}[form]


@pytest.mark.parametrize("form", ["raw", "hash", "old hash", "pseudonym"])
async def test_every_form_of_an_id_suppresses_its_user(tmp_path: Path, form: str) -> None:
    """New events of a user are refused, whichever form of the id is suppressed."""
    async with _gateway(tmp_path).running() as gateway:
        whose = Subjects(frozenset({_form(gateway, form)}))
        await gateway.regulations.create("SUPPRESS_ONLY", whose, "tester")
        receipt = await send_events(
            gateway,
            [
                Event(type="track", event="e", user_id=JANE, message_id="a"),
                Event(type="alias", user_id="u", previous_id=JANE, message_id="b"),
                Event(type="track", event="e", user_id=JOHN, message_id="c"),
            ],
        )
        assert (receipt.accepted, receipt.discarded) == (1, {"suppressed": 2})

        await gateway.regulations.create("UNSUPPRESS", Subjects(frozenset({JANE})), "tester")
        receipt = await send_events(gateway, [make_event(user_id=JANE)])
        assert receipt.accepted == 1


@pytest.mark.parametrize("form", ["raw", "hash", "pseudonym"])
async def test_a_replay_leaves_a_user_out_by_every_form(tmp_path: Path, form: str) -> None:
    """Stored events of a user who was suppressed later, by any form of the id, are not replayed."""
    async with _gateway(tmp_path).running() as gateway:
        await send_events(gateway, [make_event(user_id=JANE), make_event(user_id=JOHN)])
        await caught_up(gateway)
        await asyncio.to_thread(gateway.suppressed.add, [_form(gateway, form)])
        await asyncio.to_thread(gateway.suppressed.refresh)
        plan = await gateway.replays.plan(
            Request(destination="crm", from_ms=0, to_ms=2**50, force=True)
        )
        assert (plan.chosen, plan.kept_back) == (2, {"suppressed": 1})


class _Ids:
    ids = frozenset({"ada"})


def test_forms_are_looked_for_only_where_a_hash_is_suppressed() -> None:
    """Each user's forms are made once, and none as long as no hash is suppressed."""
    asked: list[str] = []
    hash_ = "new." + "0123456789abcdef" * 4

    def forms(user_id: str) -> set[str]:
        asked.append(user_id)
        return {user_id, hash_ if user_id == "bob" else ""}

    ids = _Ids()
    suppressed = SuppressedForms(ids, forms)
    assert ["ada" in suppressed, "bob" in suppressed, None in suppressed] == [True, False, False]
    assert asked == []
    ids.ids = frozenset({"ada", hash_})
    assert ["bob" in suppressed, "bob" in suppressed, "eve" in suppressed] == [True, True, False]
    assert asked == ["bob", "eve"]
    ids.ids = frozenset({"ada"})
    assert "bob" not in suppressed
