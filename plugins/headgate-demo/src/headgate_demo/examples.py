"""Commands that show something about the shop, to try after its history is there."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

__all__ = ["EXAMPLES", "examples"]

EXAMPLES = (
    ("insights", "retention", "--start", "page:*", "--back", "page:*"),
    (
        *("insights", "funnel", "--step", "Product Viewed", "--step", "Checkout Started"),
        *("--step", "Order Completed", "--by", "device_type"),
    ),
    ("insights", "campaigns", "--touch", "campaign", "--spend", "SPEND"),
    ("insights", "revenue", "--by", "country"),
    (
        "sql",
        'SELECT product_id, count(*) AS views FROM "Product Viewed" GROUP BY ALL ORDER BY 2 DESC',
    ),
)
"""Arguments of ``gateway``; SPEND is the file of what the campaigns cost."""


def examples(config_path: Path, lake_id: str | None, spend: Path) -> list[str]:
    """Returns the commands for a config, as one types them."""
    common = [] if config_path == Path("config.toml") else ["--config", str(config_path)]
    common += ["--lake", lake_id] if lake_id is not None else []
    shown = os.path.relpath(spend)
    return [
        shlex.join(["gateway", *(shown if word == "SPEND" else word for word in words), *common])
        for words in EXAMPLES
    ]
