"""Unix sockets: who may connect, and which user has connected."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import struct
import sys
from pathlib import Path

from gateway.config.local_socket import short

__all__ = ["listen_unix", "peer_uid", "user_of"]

_LINUX_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid
_BSD_CREDENTIALS = struct.Struct("II")  # version and uid, at the beginning of struct xucred
_BSD_CREDENTIALS_BYTES = 76
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 1


def listen_unix(path: Path) -> socket.socket:
    """Binds a Unix socket that only the own user can connect to; replaces a leftover one."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        with short(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen()  # at once, so that who finds the socket is not refused
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def user_of(transport: asyncio.BaseTransport | None) -> str:
    """Returns the name of the user at the other end of a Unix socket, or the number of a nameless.

    Looking a name up may take time. Where the system does not tell the user, it is the owner of
    the socket: nobody else can connect.
    """
    end = None if transport is None else transport.get_extra_info("socket")
    uid = None
    if end is not None:
        with socket.socket(fileno=os.dup(end.fileno())) as own:
            uid = peer_uid(own)
    if uid is None:
        uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may have a user without a name
        return str(uid)


def peer_uid(end: socket.socket) -> int | None:
    """Returns the user id of the process at the other end; None if the system does not tell."""
    try:
        if sys.platform == "linux":
            size = _LINUX_CREDENTIALS.size
            found = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
            return int(_LINUX_CREDENTIALS.unpack(found)[1])
        found = end.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _BSD_CREDENTIALS_BYTES)
        return int(_BSD_CREDENTIALS.unpack_from(found)[1])
    except (OSError, struct.error):
        return None
