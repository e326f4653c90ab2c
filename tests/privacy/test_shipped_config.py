"""The config that comes with Headgate keeps people's names and addresses to itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.config.decode import decode_table
from gateway.events.event import Event
from gateway.privacy.inventory import Inventory
from gateway.testing import make_event
from tests.support.stored_event import as_stored

ROOT = Path(__file__).parents[2]
JANE = {
    "name": "Jane Doe",
    "username": "jdoe",
    "middleName": "Quincy",
    "address": {"street": "Elm Road 7", "city": "Springfield", "postalCode": "49007"},
    "shippingAddress": "Elm Road 7",
}
OTHERS = {
    "name": "Blue Shirt",
    "products": [{"name": "Red Hat"}],
    "plan": {"name": "Pro"},
    "path": "/elm",
}
CONTEXT: dict[str, Any] = {
    "library": {"name": "analytics.js", "version": "1.0"},
    "app": {"name": "Shop"},
    "page": {"title": "Shirts"},
    "campaign": {"name": "spring"},
}


def mask(tmp_path: Path) -> Mask:
    """The mask of config.toml."""
    config = tomllib.loads((ROOT / "config.toml").read_text())["transforms"]["privacy"]
    del config["type"]
    return Mask(decode_table(config, MaskConfig, "transforms.privacy"), tmp_path)


def events() -> list[Event]:
    """Events with a person's data in every place that SDKs put it."""
    return [
        make_event(type="identify", event=None, traits=JANE, context=CONTEXT),
        make_event(properties={**OTHERS, "user": JANE}, context={**CONTEXT, "traits": JANE}),
        make_event(properties={"customer": {"name": "Jane Doe"}, "billing_address": "Elm Road 7"}),
        make_event(type="page", event=None, name="Shirts", properties=OTHERS, context=CONTEXT),
    ]


def test_names_and_addresses_of_people_are_masked(tmp_path: Path) -> None:
    """Names and addresses go; names of events, pages, products, plans and libraries stay."""
    kept = [as_stored(event) for event in mask(tmp_path).apply(events())]
    text = b"\n".join(event.to_json() for event in kept)
    hidden = b"Jane|jdoe|Quincy|Elm Road|Springfield|49007"
    assert re.search(hidden, text) is None
    assert kept[1].properties["products"] == OTHERS["products"]
    assert kept[1].context["library"] == CONTEXT["library"]
    assert kept[3].name == "Shirts"
    assert kept[3].properties == OTHERS
    assert kept[3].context == CONTEXT
    assert kept[0].traits["address"] == {"street": "***", "city": "***", "postalCode": "***"}


def test_a_name_of_something_else_costs_nothing(tmp_path: Path) -> None:
    """Events with names of libraries and products only are stored as they were sent."""
    text = b"[%b]" % make_event(properties=OTHERS, context=CONTEXT).to_json()
    assert mask(tmp_path).suspects(text) == set()
    person = make_event(type="identify", event=None, traits={"name": "Jane"}).to_json()
    assert mask(tmp_path).suspects(b"[%b]" % person)


def test_the_scan_tells_what_no_mask_has_hidden(tmp_path: Path) -> None:
    """Without a mask each name and address has a yellow row; behind the mask all is green."""
    bare, behind = Inventory(), Inventory()
    bare.add(events())
    behind.add(mask(tmp_path).apply(events()))
    found = {(row.path, row.kind) for row in bare.report().rows if row.colour == "yellow"}
    assert found >= {
        ("traits.name", "name"),
        ("traits.username", "name"),
        ("traits.middleName", "name"),
        ("traits.address.city", "address"),
        ("traits.address.street", "address"),
        ("traits.shippingAddress", "address"),
        ("context.traits.name", "name"),
        ("properties.user.name", "name"),
        ("properties.customer.name", "name"),
        ("properties.billing_address", "address"),
    }
    assert not any(path.endswith((".library.name", ".app.name")) for path, _ in found)
    assert {row.path for row in bare.report().rows}.isdisjoint({"properties.name", "name"})
    assert {row.colour for row in behind.report().rows} == {"green"}


def test_the_guide_shows_the_same_fields() -> None:
    """The example of the guide is what the file has."""
    shown = (ROOT / "docs/guide/privacy.md").read_text()
    listed = re.search(r"fields = \[\n(.*?)\]\n", shown, re.DOTALL)
    assert listed is not None
    config = tomllib.loads((ROOT / "config.toml").read_text())["transforms"]["privacy"]
    assert tomllib.loads(f"fields = [{listed[1]}]")["fields"] == config["fields"]
