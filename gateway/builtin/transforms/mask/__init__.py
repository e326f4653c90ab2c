"""Transform ``mask``: removes personal data from events.

`mask` is the transform, `rules` its config. `redact` changes decoded values, `inplace` changes
bytes; `allow` removes fields, `hashing` makes pseudonyms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.builtin.transforms.mask.mask import Mask
from gateway.builtin.transforms.mask.rules import MaskConfig, MaskRules
from gateway.components.context import Context
from gateway.components.hookmarkers import hookimpl
from gateway.components.transform import TransformSpec
from gateway.errors import ConfigError

__all__ = ["Mask", "MaskConfig", "register_transforms"]


def _build(config: MaskConfig, context: Context) -> Mask:
    if context.at_intake and MaskRules(config).pseudonyms:
        raise ConfigError(
            f"transforms.{context.id}: pseudonyms are those of one destination: name it in "
            'destinations = ["..."], or hash instead'
        )
    # All workers hash alike, so they share the secret.
    return Mask(config, context.shared_dir, at_intake=context.at_intake)


@hookimpl
def register_transforms(register: Callable[[TransformSpec[Any]], None]) -> None:
    """Registers ``mask``."""
    register(TransformSpec("mask", MaskConfig, _build))
