"""Takes away what the tests would otherwise inherit from the terminal or job that starts them."""

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
    """Make this process, and those that it starts, the same whoever starts it.

    - A shell starts background jobs with SIGINT and SIGQUIT ignored, and children inherit that.
    - Tables are laid out for the width of the terminal, and coloured where there is one.
    - Requests to 127.0.0.1 go there, whatever proxy is set.
    - Python keeps the code that it compiles. Otherwise each gateway compiles its own again.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    for name in (*_TERMINAL, *_PYTHON):
        os.environ.pop(name, None)
    if any(name in os.environ or name.upper() in os.environ for name in _PROXIES):
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost,::1"
    os.environ["COLUMNS"] = "80"
    sys.dont_write_bytecode = False
