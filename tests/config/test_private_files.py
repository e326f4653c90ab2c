"""Files that only their owner may read."""

from __future__ import annotations

import stat
from pathlib import Path

from gateway.config.private_files import write_private


def test_a_reader_never_meets_a_part_of_a_file(tmp_path: Path) -> None:
    """A file that is written anew takes the place of the old one, which open readers keep."""
    path = tmp_path / "secret"
    path.write_text("old")
    with path.open() as reader:
        write_private(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
