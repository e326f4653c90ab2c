"""Keyed hashes that replace personal data: one for all destinations, or one for each.

``hash``
    HMAC-SHA-256 (RFC 2104) of the value under the secret, in hexadecimal. Without the secret,
    nobody can find the value by hashing guesses. An `epoch` names the secret and stands before the
    hash with a dot, so that hashes under an old and a new secret differ visibly.
``pseudonym``
    The same under a secret of the destination's own, which is HMAC-SHA-256 of
    ``"destination\\n" + id`` under the secret. Two destinations cannot join their data by it.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from gateway.components.dry_run import keyed

__all__ = ["KEY_FILE", "Hasher", "generated_secret"]

KEY_FILE = "mask.key"
"""File in the data directory that holds the secret for ids, where config has none."""

_SECRET_BYTES = 32


class Hasher:
    """Hashes texts.

    Args:
        secret: returns the secret; called for the first hash.
        epoch: name of the secret, or empty.
        destination: id of the destination that the pseudonyms are for.
    """

    def __init__(
        self, secret: Callable[[], bytes], epoch: str = "", destination: str | None = None
    ) -> None:
        self._ask = secret
        self._prefix = f"{epoch}." if epoch else ""
        self._destination = destination

    @cached_property
    def _secret(self) -> bytes:
        return self._ask()

    @cached_property
    def _own_secret(self) -> bytes:
        assert self._destination is not None
        message = f"destination\n{self._destination}".encode()
        return hmac.digest(self._secret, message, "sha256")

    def hash(self, text: str) -> str:
        """Returns the hash of a text that is the same for all destinations."""
        return self._prefix + _digest(self._secret, text)

    def pseudonym(self, text: str) -> str:
        """Returns the hash of a text for this destination."""
        return self._prefix + _digest(self._own_secret, text)


def _digest(secret: bytes, text: str) -> str:
    return keyed(hmac.digest(secret, text.encode("utf-8", "surrogatepass"), "sha256").hex())


def generated_secret(folder: Path) -> bytes:
    """Returns the secret in a folder's `KEY_FILE`; creates the file with a new one if missing.

    Raises:
        OSError: the file can neither be read nor created.
    """
    path = folder / KEY_FILE
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
    own = folder / f"{KEY_FILE}.{secrets.token_hex(8)}"
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(_SECRET_BYTES).encode())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was faster
            os.link(own, path)
    finally:
        own.unlink()
    folder_descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder_descriptor)
    finally:
        os.close(folder_descriptor)
    return path.read_bytes().strip()
