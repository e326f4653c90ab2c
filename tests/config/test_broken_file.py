"""What a config file that cannot be used still says of its data directory."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.broken_file import data_dir_of
from gateway.errors import ConfigError

NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "data"),
        ('data_dir = "store"\n[server\n', "store"),
        ("what is this\ndata_dir = 'store'", "store"),
        ('\ufeffdata_dir = "store" # ours\n[sources.web]\ntype = ', "store"),
        ('  "data_dir" = "store"', "store"),
        ('data_dir = "../elsewhere"\n=', "../elsewhere"),
        ('data_dir = "${STORE}/a"\n=', "store/a"),
        ('data_dir = "${NONE:-store}"\n=', "store"),
        ('data_dir = 3\n[server]\ndata_dir = "x"', "data"),
        ('[destinations.x]\ndata_dir = "x"', "data"),
        ('# data_dir = "x"', "data"),
    ],
)
def test_the_directory_is_read_without_the_rest(tmp_path: Path, text: str, named: str) -> None:
    """The line of the directory counts, whatever is wrong around it."""
    (tmp_path / "config.toml").write_text(text)
    found = data_dir_of(tmp_path / "config.toml", {"STORE": "store"})
    assert found == (tmp_path / named).resolve()


def test_a_file_that_is_gone_means_the_usual_directory(tmp_path: Path) -> None:
    """Without the file, the directory is the one that a file without the key would have."""
    assert data_dir_of(tmp_path / "config.toml") == tmp_path / "data"


def test_a_linked_file_means_the_directory_beside_the_real_one(tmp_path: Path) -> None:
    """Paths are relative to the file itself, as for a file that can be used."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "config.toml").write_text("=")
    (tmp_path / "config.toml").symlink_to(tmp_path / "real" / "config.toml")
    assert data_dir_of(tmp_path / "config.toml") == tmp_path / "real" / "data"


def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    """The error says which variable the directory needs."""
    (tmp_path / "config.toml").write_text('data_dir = "${STORE}"\n=')
    with pytest.raises(ConfigError, match="data_dir: the environment variable STORE is not set"):
        data_dir_of(tmp_path / "config.toml", {})


@given(before=st.text(max_size=30), name=NAMES, after=st.binary(max_size=60))
def test_no_file_is_too_broken(before: str, name: str, after: bytes) -> None:
    """Any bytes around the line are survived; before it only a table hides it."""
    head = before.replace("[", "").replace("data_dir", "").encode("utf-8", "replace")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_bytes(head + b"\ndata_dir = " + json.dumps(name).encode() + b"\n[" + after)
        assert data_dir_of(path, {}) == (Path(folder) / name).resolve()
