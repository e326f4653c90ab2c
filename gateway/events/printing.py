"""Text of events and other outside text, made safe to show on a terminal.

A terminal acts on control characters (C0, DEL, C1). Other characters turn the reading direction or
end a line. All that is not printable is shown as an escape.
"""

from __future__ import annotations

__all__ = ["printable", "printable_json", "printable_lines"]


def printable(text: str) -> str:
    r"""Returns a text in one line, with escapes such as ``\x1b`` and ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """Returns a text with its lines kept, each as `printable` makes it."""
    return "\n".join(map(printable, text.split("\n")))


def printable_json(text: str) -> str:
    r"""Returns a JSON text of the same value, with escapes such as ``\u009b``; lines are kept."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else _in_json(c) for c in text)


def _in_json(character: str) -> str:
    if character < " ":
        return " "  # between tokens: within a string JSON does not allow it
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
