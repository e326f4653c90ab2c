"""The forms in which an erasure looks for an id."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway import Erasure, Subjects
from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.components.chain import Chain
from gateway.components.settings import Secret
from gateway.components.transform import Transform
from gateway.config.load import load
from gateway.events.event import Event
from gateway.privacy.id_forms import IdForms
from gateway.rollouts.for_arm import ForArm
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover
from gateway.testing import ManualClock
from tests.support.scripted_vendor import ScriptedVendor

JANE = "jane@example.com"
SECRET, OLD_SECRET = Secret("s" * 16), Secret("o" * 16)
BY_DESTINATION: dict[str, Any] = {"fields": ("userId",), "action": "pseudonym", "detect": ()}


def mask(destination: str | None = None, **settings: Any) -> Mask:
    made = Mask(MaskConfig(**{"secret": SECRET, **settings}), at_intake=destination is None)
    return made if destination is None else made.for_destination(destination)


def stored(chain: Chain, user_id: str) -> str | None:
    """Returns the userId of an event after the transforms of a chain."""
    event = Event(type="track", event="e", user_id=user_id, message_id="m")
    chain.run([event])
    return event.user_id


@dataclass
class Built:
    chain: Chain = field(default_factory=Chain)
    storage: bool = False


class Upper(Transform):
    """Changes ids, and does not say into what."""

    mutates = True

    def apply(self, events: list[Event]) -> list[Event]:
        for event in events:
            event.user_id = (event.user_id or "").upper()
        return events


def test_each_place_is_asked_for_the_form_that_it_has() -> None:
    """The queue has the hash, a vendor its pseudonym of that, and one's own files may have all."""
    intake = Chain([("mask", mask())])
    vendor = Chain([("pseudonyms", mask("vendor", **BY_DESTINATION))])
    places = {"vendor": Built(vendor), "other": Built(), "files": Built(storage=True)}
    forms = IdForms(lambda: intake, places)
    hashed = stored(intake, JANE)
    pseudonym = stored(vendor, str(hashed))
    assert len({JANE, hashed, pseudonym}) == 3

    jane = Subjects(frozenset({JANE}))
    assert forms.at("vendor", jane).users == {pseudonym}
    assert forms.at("other", jane).users == {hashed}
    assert forms.at("files", jane).users == {JANE, hashed}
    assert forms.here(jane).users == {JANE, hashed, pseudonym}
    by_hash = Subjects(frozenset({str(hashed)}))
    assert forms.at("vendor", by_hash).users == {pseudonym}


def test_anonymous_ids_have_forms_too() -> None:
    """An anonymousId that is an address is hashed as a userId is; others stay as they are."""
    chain = Chain([("mask", mask())])
    forms = IdForms(lambda: chain, {"vendor": Built()})
    found = forms.at("vendor", Subjects(frozenset({"ada-77"}), frozenset({JANE})))
    assert found == Subjects(frozenset({"ada-77"}), frozenset({str(stored(chain, JANE))}))


def test_earlier_secrets_are_looked_for() -> None:
    """An event that was hashed under an earlier secret is found."""
    earlier = Chain([("mask", mask(secret=OLD_SECRET, epoch="1"))])
    today = Chain([("mask", mask(epoch="2", previous_secrets={"1": OLD_SECRET}))])
    assert set(today.forms("user_id", JANE)) == {stored(earlier, JANE), stored(today, JANE)}


def test_transforms_that_do_not_tell_are_tried() -> None:
    """An id passes through every transform that changes events; one that fails changes none."""

    class Broken(Upper):
        def apply(self, events: list[Event]) -> list[Event]:
            raise RuntimeError

    chain = Chain([("upper", Upper()), ("broken", Broken())])
    assert set(chain.forms("user_id", "ada")) == {"ADA"}


def test_a_transform_of_one_arm_makes_both_forms() -> None:
    """Users change arms, so an id is looked for with and without the transform."""
    chain = Chain([("upper", ForArm(Upper(), None, "test"))])  # type: ignore[arg-type]
    assert set(chain.forms("user_id", "ada")) == {"ada", "ADA"}


@pytest.mark.parametrize("kind", ["DELETE_ONLY", "SUPPRESS_WITH_DELETE"])
async def test_a_vendor_is_never_told_what_the_mask_has_hidden(tmp_path: Path, kind: Any) -> None:
    """An erasure sends the hash; a suppression holds for the address and for stored events."""
    (tmp_path / "config.toml").write_text(
        '[sources.web]\ntype = "segment"\nwrite_key = "demo"\n'
        f'[transforms.privacy]\ntype = "mask"\nsecret = "{SECRET.reveal()}"\n'
        '[destinations.vendor]\ntype = "null"\n'
    )
    hashed = str(stored(Chain([("mask", mask())]), JANE))
    vendor = ScriptedVendor(Erasure("FINISHED"))
    gateway = Gateway(load(tmp_path / "config.toml", {}), discover(), ManualClock())
    object.__setattr__(gateway.destinations[0], "destination", vendor)
    async with gateway.at_rest():
        made = await gateway.regulations.create(kind, Subjects(frozenset({JANE})), "tester")
        report = await gateway.regulations.wait(made.id, 20)
        assert report is not None
        assert report.status == "FINISHED"
        assert [asked.users for asked, _ in vendor.asked] == [{hashed}]
        suppressed = {JANE, hashed} if "SUPPRESS" in kind else set()
        assert set(gateway.suppressed) == suppressed
        if suppressed:
            whose = Subjects(frozenset({JANE}))
            made = await gateway.regulations.create("UNSUPPRESS", whose, "tester")
            await asyncio.to_thread(gateway.suppressed.refresh)
            assert set(gateway.suppressed) == set()
