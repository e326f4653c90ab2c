"""Sets up logging: structlog to standard error, as JSON lines or as text for a terminal.

The log records changes of state. It has no line for each event or request, and no event contents.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from typing import Any, TextIO

import structlog

from gateway.config.settings import LogConfig
from gateway.events.printing import printable, printable_lines
from gateway.runtime.output import LossyOutput, guarded

__all__ = ["configure_logging"]

# Without local variables, which hold events and credentials.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)

_TRACES = frozenset({"trace", "exception"})
"""Keys whose values have several lines."""


def configure_logging(
    config: LogConfig, stream: TextIO | None = None, *, worker: int | None = None
) -> None:
    """Sets up structlog and the standard library's loggers of our dependencies, once at start.

    Args:
        worker: number of the worker process, for each line.
    """
    stream = stream or guarded(sys.stderr)
    console = config.format == "console" or (config.format == "auto" and stream.isatty())
    level = logging.getLevelNamesMapping()[config.level.upper()]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=_traceback)
        if console
        else structlog.processors.JSONRenderer(default=str)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if worker is not None:
        shared.append(_adder(worker))
    shared.append(_escape if console else _TRACEBACKS)
    processors = [*shared, renderer]
    if isinstance(stream, LossyOutput):
        stream.max_pending_bytes = config.max_pending_bytes
        stream.notice = _notice(processors)
    structlog.configure(
        processors=processors,
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
    logging.getLogger("aiohttp.server").addFilter(_is_our_fault)


def _escape(_: Any, __: str, line: dict[str, Any]) -> dict[str, Any]:
    """Leaves no character in a line that acts on a terminal; JSON has no such characters."""
    for key, value in line.items():
        if isinstance(value, str):
            line[key] = printable_lines(value) if key in _TRACES else printable(value)
    return line


def _traceback(stream: TextIO, exception: Any) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, exception)
    stream.write(printable_lines(text.getvalue()))


def _notice(processors: list[Any]) -> Callable[[int], str]:
    """Returns what makes the line about lost lines, in the form of all others."""

    def notice(lost: int) -> str:
        line: Any = {"event": "log lines were lost: nobody took them in time", "lines": lost}
        for process in processors:
            line = process(None, "warning", line)
        return f"{line}\n"

    return notice


def _adder(worker: int) -> Any:
    def add(_: Any, __: str, line: dict[str, Any]) -> dict[str, Any]:
        line.setdefault("worker", worker)
        return line

    return add


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Returns False for aiohttp's tracebacks about requests that are not HTTP.

    Any client can send such requests in any number; their answer is 400 and needs no line.
    """
    error = record.exc_info[1] if record.exc_info else None
    # By name: importing aiohttp would slow down commands that only log.
    return not any(c.__name__ == "HttpProcessingError" for c in type(error).__mro__)
