"""A simulated shop whose truth is known, for a first look at figures and for testing them."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
