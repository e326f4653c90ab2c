"""The docs list what there is."""

from __future__ import annotations

from pathlib import Path

from headgate_lake import COLUMNS, LakeConfig
from headgate_lake.channels import RULES

_DOCS = Path(__file__).parents[3] / "docs"


def test_the_docs_list_all_columns_and_keys() -> None:
    """Each column and each key stands in the reference with its type or default."""
    text = (_DOCS / "reference" / "destinations.md").read_text()
    for column in COLUMNS:
        assert f"| `{column.name}` | {column.type} | {column.meaning} |" in text
    for rule in RULES:
        assert f"| {rule.channel} | {rule.words} |" in text
    config = LakeConfig()
    keys = {name: getattr(config, name) for name in config.__struct_fields__ if name != "storage"}
    for name in config.storage.__struct_fields__:
        keys[f"storage.{name}"] = getattr(config.storage, name)
    for name, default in keys.items():
        shown = (
            f'"{default}"'
            if isinstance(default, str)
            else f"{default:_}"
            if isinstance(default, int)
            else default
        )
        assert f"| `{name}` | {'unset' if default is None else f'`{shown}`'} |" in text
