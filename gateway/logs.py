"""Logging: structlog to standard error, as JSON lines or for reading on a terminal.

No line for each event or request, and no contents of events: what is logged are changes of state.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

from gateway.config import LogConfig, Secret

__all__ = ["configure_logging"]


def configure_logging(config: LogConfig, stream: TextIO | None = None) -> None:
    """Set up structlog, and the standard library's loggers of our dependencies, once at start."""
    stream = stream or sys.stderr
    console = config.format == "console" or (config.format == "auto" and stream.isatty())
    level = logging.getLevelNamesMapping()[config.level.upper()]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if console
        else structlog.processors.JSONRenderer(default=str)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _mask_secrets,
    ]
    if not console:
        shared.append(structlog.processors.dict_tracebacks)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)


def _mask_secrets(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key, value in event.items():
        if isinstance(value, Secret):
            event[key] = repr(value)
    return event
