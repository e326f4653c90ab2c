"""The files by which commands reach a running gateway, and paths that are too long for a socket."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from gateway.config.local_socket import mark_as_passing, read_secret, secret_file, short


@pytest.mark.parametrize("length", [20, 200])
def test_a_socket_may_lie_at_any_depth(tmp_path: Path, length: int) -> None:
    """Both ends use a path that the system accepts, and nothing stays of it."""
    folder = tmp_path / ("d" * length)
    folder.mkdir()
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        with short(path) as address:
            listener.bind(address)
            used = Path(address)
        listener.listen()
        assert path.is_socket()
        with short(path) as address:
            assert len(os.fsencode(address)) < 104 or length == 20
            client.connect(address)
        assert used == path or not used.parent.parent.exists()


def test_an_empty_secret_is_none(tmp_path: Path) -> None:
    """A secret file that is missing or empty, as on a full disk, stands for no secret."""
    assert read_secret(tmp_path) is None
    secret_file(tmp_path).parent.mkdir()
    secret_file(tmp_path).write_text("")
    assert read_secret(tmp_path) is None


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar")
def test_backups_leave_the_folder_out(tmp_path: Path) -> None:
    """A program that looks for the usual mark does not copy what lies beside it."""
    folder = secret_file(tmp_path).parent
    folder.mkdir()
    secret_file(tmp_path).write_text("secret")
    (tmp_path / "state.sqlite").write_text("rows")
    mark_as_passing(folder)
    command = ["tar", "-cf", "-", "--exclude-caches-all", "-C", str(tmp_path), "."]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip("this tar does not know the mark")
    listed = subprocess.run(["tar", "-tf", "-"], input=made.stdout, capture_output=True, check=True)
    assert listed.stdout.decode().split() == ["./", "./state.sqlite"]
