"""The inventory of personal data in retained events."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.cli import main
from gateway.components.settings import Secret
from gateway.components.store import Frame
from gateway.events.event import encode_events
from gateway.privacy.inventory import MAX_ROWS, Inventory, Report, scan_frames
from gateway.testing import make_event
from tests.support.gateway_process import GatewayProcess
from tests.support.masking import CARD, EMAIL, IP, PHONE

CONFIG = """
[server]
port = 0
[admin]
token = "0123456789abcdef"
[sources.web]
type = "segment"
write_key = "web"
[destinations.nowhere]
type = "null"
"""


def found(*events: object) -> set[tuple[str, str, str, str, int]]:
    """Returns colour, event, path, kind and count of each row."""
    inventory = Inventory()
    inventory.add(events)  # type: ignore[arg-type]
    return {(r.colour, r.event, r.path, r.kind, r.count) for r in inventory.report().rows}


def test_each_place_has_a_row() -> None:
    """Rows are by event, path and kind: red, yellow, or green for masked values."""
    order = make_event(event="Order", properties={"notes": [f"{EMAIL} or {CARD}", EMAIL, "x"]})
    user = make_event(type="identify", event=None, traits={"firstName": "Jane", "n": "***1111"})
    address = make_event(event="Order", context={"ip": IP}, user_id=EMAIL)

    assert found(order, order, user, address) == {
        ("red", "Order", "properties.notes[]", "card", 2),
        ("yellow", "Order", "properties.notes[]", "email", 4),
        ("yellow", "identify", "traits.firstName", "name", 1),
        ("green", "identify", "traits.n", "masked", 1),
        ("yellow", "Order", "context.ip", "ip", 1),
        ("yellow", "Order", "userId", "email", 1),
    }


def test_nothing_personal_is_in_a_report() -> None:
    """Samples, keys, names of events and paths are masked."""
    inventory = Inventory()
    event = make_event(event=f"To {EMAIL}", properties={EMAIL: {PHONE: CARD}}, extra={IP: "x"})

    inventory.add([event])

    text = msgspec.json.encode(inventory.report()).decode()
    assert not [value for value in (EMAIL, PHONE, CARD, IP) if value in text]
    assert {row.path for row in inventory.report().rows} >= {"properties.***.***", "event"}


def test_what_a_mask_has_masked_is_green(tmp_path: Path) -> None:
    """After the mask of config.toml all rows are green."""
    event = make_event(properties={"a": EMAIL, "b": CARD, "c": PHONE}, context={"ip": IP})
    Mask(MaskConfig(), tmp_path).apply([event])

    assert {colour for colour, *_ in found(event)} == {"green"}


def test_rows_are_bounded() -> None:
    """Findings beyond the bound on rows are counted together."""
    inventory = Inventory()
    properties = {f"key{n}": EMAIL for n in range(MAX_ROWS + 7)}

    inventory.add([make_event(properties=properties)])

    report = inventory.report()
    assert (len(report.rows), report.beyond) == (MAX_ROWS, 7)


def test_since_and_source_narrow_it() -> None:
    """A scan can be limited to newer frames and to one source."""
    events = [make_event(source_id=id_, properties={"a": EMAIL}) for id_ in ("web", "app")]
    frames = [Frame(n, 2, 1000 * n, encode_events(events)) for n in range(3)]

    assert scan_frames(frames).events == 6
    assert scan_frames(frames, since_ms=1500).events == 2
    assert {row.source for row in scan_frames(frames, source="app").rows} == {"app"}


def _run(folder: Path, *arguments: str) -> tuple[int, str]:
    config = str(folder / "config.toml")
    result = CliRunner().invoke(main, ["privacy", *arguments, "--config", config])
    return result.exit_code, result.stdout


@pytest.mark.slow
def test_the_command_asks_the_gateway_or_reads_the_files(tmp_path: Path) -> None:
    """The report is the same with and without a running gateway; red rows exit with 1."""
    from tests.support.raw_http import basic, exchange, request

    body = json.dumps(
        {"userId": "u", "event": "Paid", "properties": {"card": CARD, "mail": EMAIL}}
    ).encode()
    with GatewayProcess(tmp_path, CONFIG) as gateway:
        exchange(gateway.url, request(body, basic("web"), path=b"/v1/track"))
        running = _run(tmp_path, "scan", "--json")
        gateway.stop()
    stopped = _run(tmp_path, "scan", "--json")
    code, table = _run(tmp_path, "scan", "--since", "1h", "--source", "web")

    assert running == stopped
    assert running[0] == code == 1
    report = msgspec.json.decode(running[1], type=Report)
    assert {(row.kind, row.path) for row in report.rows} == {
        ("card", "properties.card"),
        ("email", "properties.mail"),
    }
    assert "***1111" in table
    assert "1 events: 1 red, 1 yellow, 0 green" in table
    assert CARD not in table


def test_hashes_of_values_join_epochs(tmp_path: Path) -> None:
    """`gateway privacy hash` prints the hash under each secret, as events have it."""
    (tmp_path / "config.toml").write_text(
        CONFIG
        + """
[transforms.privacy]
type = "mask"
actions = { email = "hash" }
secret = "the secret of this year"
epoch = "2027"
previous_secrets = { "2026" = "the secret of last year" }
"""
    )
    masks: list[Callable[[], Mask]] = [
        lambda: Mask(MaskConfig(actions={"email": "hash"}, secret=_secret("this"), epoch="2027")),
        lambda: Mask(MaskConfig(actions={"email": "hash"}, secret=_secret("last"), epoch="2026")),
    ]
    stored = []
    for mask in masks:
        event = make_event(traits={"email": EMAIL.upper()})
        mask().apply([event])
        stored.append(event.traits["email"])

    code, printed = _run(tmp_path, "hash", EMAIL)

    rows = [line.split("\t") for line in printed.splitlines()]
    assert code == 0
    assert [row[1] for row in rows] == stored
    assert [row[0] for row in rows] == ["2027", "2026"]
    assert all(row[1].startswith(f"{row[0]}.") and row[2] == EMAIL for row in rows)


def _secret(year: str) -> Secret:
    return Secret(f"the secret of {year} year")
