"""Charts as files: PNG, SVG, and a page that works without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway import GatewayError

__all__ = ["FORMATS", "write_picture"]

FORMATS = {
    "png": "a picture",
    "svg": "a drawing that can be scaled",
    "html": "a page that shows values under the pointer, without a network",
}
"""The formats of a chart, each in words."""

_SCALE = 2  # pixels for a point, so that a PNG is sharp on any screen


def write_picture(spec: dict[str, Any], kind: str, path: Path) -> None:
    """Writes a chart in one of `FORMATS`.

    Raises:
        GatewayError: the file cannot be written.
    """
    import vl_convert  # takes 0.1 s and 80 MB of memory, which no other command needs

    match kind:
        case "png":
            content = vl_convert.vegalite_to_png(spec, scale=_SCALE)
        case "svg":
            content = vl_convert.vegalite_to_svg(spec).encode()
        case _:
            content = vl_convert.vegalite_to_html(spec, bundle=True).encode()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise GatewayError(f"{path}: cannot be written: {error.strerror}") from error
