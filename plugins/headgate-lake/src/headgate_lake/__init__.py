"""The event lake: events as Parquet files, each exactly once, and SQL over them."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
