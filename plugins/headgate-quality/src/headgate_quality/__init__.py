"""Headgate transform ``plan``: checks events against a tracking plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway import TransformSpec, hookimpl
from headgate_quality.config import PlanConfig
from headgate_quality.transform import Plan, build_plan

__all__ = ["Plan", "PlanConfig", "__version__", "register_transforms"]

__version__ = "0.1.0"


@hookimpl
def register_transforms(register: Callable[[TransformSpec[Any]], None]) -> None:
    """Registers ``plan``."""
    register(TransformSpec("plan", PlanConfig, build_plan))
