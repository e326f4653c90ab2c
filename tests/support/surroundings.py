"""Shields tests from the terminal or job that starts them."""

from __future__ import annotations

import os
import signal
import sys

__all__ = ["neutralise"]

_TERMINAL = (
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "FORCE_COLOR",
    "LINES",
    "NO_COLOR",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
)
_PROXIES = ("all_proxy", "http_proxy", "https_proxy")
_PYTHON = ("PYTHONDONTWRITEBYTECODE", "PYTHONOPTIMIZE", "PYTHONWARNINGS")


def neutralise() -> None:
    """Gives this process and its children the same surroundings, however it was started.

    - A shell starts background jobs with SIGINT and SIGQUIT ignored, and children inherit that.
    - Tables have the width of the terminal, and colours if there is one.
    - Requests to 127.0.0.1 use no proxy.
    - Python caches compiled code. Otherwise each gateway compiles it again.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    for name in (*_TERMINAL, *_PYTHON):
        os.environ.pop(name, None)
    if any(name in os.environ or name.upper() in os.environ for name in _PROXIES):
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost,::1"
    os.environ["COLUMNS"] = "80"
    sys.dont_write_bytecode = False
