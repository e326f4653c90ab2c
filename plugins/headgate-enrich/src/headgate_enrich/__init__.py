"""Headgate transform ``enrich``: device, browser, bot and country, as coarse facts.

At intake, before `mask` takes address and user agent. Most events say nothing of their own about
their client. For these the facts are found once for a request and stored beside its events, which
stay as they were sent:

* `agents` reads user agents, `countries` looks up addresses;
* `transform` is the transform.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import Context, Transform, TransformSpec, hookimpl
from headgate_enrich.config import EnrichConfig

__all__ = ["EnrichConfig", "__version__", "register_transforms"]

__version__ = "0.1.0"


@hookimpl
def register_transforms(register: Callable[[TransformSpec[Any]], None]) -> None:
    """Registers ``enrich``."""
    register(TransformSpec("enrich", EnrichConfig, _build))


def _build(config: EnrichConfig, context: Context) -> Transform:
    from headgate_enrich.transform import build_enrich  # a gateway without it imports no rules

    return build_enrich(config, context)
