"""The config that the workers use, kept for one that starts while the file cannot be used.

A worker that has crashed is started again whatever has become of the config file meanwhile. The
supervisor keeps the content that it has last seen in use beside the internal sockets, and a worker
takes that if the file itself is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from gateway.config.load import hash_of, load
from gateway.config.model import Config
from gateway.config.private_files import write_private
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["from_usable", "keep"]

_FILE = "config.toml"

_T = TypeVar("_T")


def keep(config: Config, sockets: Path) -> None:
    """Keeps the content of a config in use, unless its file has changed since.

    Args:
        sockets: folder of the internal sockets.
    """
    try:
        content = config.path.read_bytes()
        if hash_of(content) == config.hash:
            write_private(sockets / _FILE, content)
    except OSError as error:
        log: FilteringBoundLogger = structlog.get_logger()
        log.warning("the config in use cannot be kept for workers that crash", error=str(error))


def from_usable(file: Path, sockets: Path, make: Callable[[Config], _T]) -> _T:
    """Makes something of a config file, or of the content that was kept if that is not possible.

    Raises:
        ConfigError: the file cannot be used, and nothing was kept.
    """
    try:
        return make(load(file))
    except ConfigError as error:
        try:
            content = (sockets / _FILE).read_bytes()
        except OSError:
            raise error from None
        made = make(load(file, content=content))
        log: FilteringBoundLogger = structlog.get_logger()
        log.error(
            "the config file cannot be used; this worker starts with the config before",
            problem=str(error),
        )
        return made
