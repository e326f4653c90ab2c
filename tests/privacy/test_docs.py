"""The examples of the page on privacy work as the page says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from gateway.builtin.transforms import mask
from gateway.builtin.transforms.mask.mask import Mask, MaskConfig
from gateway.config.load import load
from gateway.events.event import Event
from gateway.privacy.inventory import MAX_ROWS
from gateway.runtime.gateway import Gateway
from gateway.runtime.plugins import discover
from gateway.testing import make_event

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "privacy.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
SECRETS = {"MASK_SECRET": "an example secret", "MASK_SECRET_2027": "another example secret"}


def built(example: str, folder: Path) -> Gateway:
    path = folder / "config.toml"
    path.write_text(example, encoding="utf-8")
    return Gateway(load(path, SECRETS), discover())


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_makes_a_gateway(example: str, tmp_path: Path) -> None:
    """Each example is copied into a config as it is."""
    assert built(example, tmp_path).config.transforms


def test_the_first_example_is_what_is_distributed() -> None:
    """config.toml has the mask and the rules that the page shows first."""
    shown = tomllib.loads(EXAMPLES[0])["transforms"]["privacy"]
    distributed = tomllib.loads((ROOT / "config.toml").read_text())["transforms"]["privacy"]

    assert shown == {key: value for key, value in distributed.items() if key != "action"}
    assert mask.MaskConfig().action == distributed["action"]


def test_an_allow_list_leaves_what_it_names(tmp_path: Path) -> None:
    """With an allow list only the named paths, consent and integrations stay."""
    event = make_event(
        properties={"order_id": "1", "note": "x", "products": [{"sku": "s", "name": "n"}]},
        traits={"plan": "x"},
        context={"page": {"path": "/a", "url": "u"}, "consent": {"a": 1}, "ip": "203.0.113.7"},
        integrations={"All": False},
    )
    table = tomllib.loads(EXAMPLES[1])["transforms"]["privacy"]

    (seen,) = Mask(MaskConfig(allow=tuple(table["allow"])), tmp_path).apply([event])

    assert seen.properties == {"order_id": "1", "products": [{"sku": "s"}]}
    assert seen.traits == {}
    assert seen.context == {"page": {"path": "/a"}, "consent": {"a": 1}}
    assert seen.integrations == {"All": False}


def test_two_vendors_get_different_ids(tmp_path: Path) -> None:
    """Each vendor gets a stable id that differs from the other's and from the hash."""
    gateway = built(EXAMPLES[-1], tmp_path)
    chains = {one.id: one.chain for one in gateway.destinations}

    def seen(destination: str) -> Event:
        event = make_event(user_id="u-1", message_id="m-1", anonymous_id="a-1")
        (kept,) = chains[destination].run([event]).kept
        return kept

    first, second = seen("analytics"), seen("adverts")

    assert first == seen("analytics")
    for name in ("user_id", "message_id", "anonymous_id"):
        ids = {getattr(first, name), getattr(second, name)}
        assert len(ids) == 2
        assert all(re.fullmatch("[0-9a-f]{64}", id_) for id_ in ids)


def test_the_bound_on_rows_is_the_one_stated() -> None:
    """The page states the bound on rows."""
    assert f"at most {MAX_ROWS} rows" in PAGE
