"""Unix sockets: who may connect, and who has."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from gateway.server.unix import listen_unix, peer_uid, user_of


def test_the_system_tells_who_is_at_the_other_end() -> None:
    """Both ends of a pair belong to the user of this process."""
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer_uid(one) == os.getuid()


def test_an_unknown_peer_is_the_owner_of_the_socket() -> None:
    """Where the system does not tell, only the own user can have connected."""
    with socket.socket(socket.AF_INET) as unconnected:
        assert peer_uid(unconnected) in (None, os.getuid(), 2**32 - 1)
    assert user_of(None) == pwd.getpwuid(os.getuid()).pw_name


def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run as a user that its system does not list."""

    def unknown(uid: int) -> object:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert user_of(None) == str(os.getuid())


def test_a_leftover_socket_is_replaced(tmp_path: Path) -> None:
    """What a killed process leaves does not stand in the way, and only the owner may connect."""
    path = tmp_path / "s"
    with listen_unix(path):
        pass
    with listen_unix(path):
        assert path.stat().st_mode & 0o777 == 0o600
