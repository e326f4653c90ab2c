"""A place in object storage: bucket and prefix, through obstore.

Each request has a time limit and is repeated a few times. An object gets its name once it is whole:
stores do not show half an upload. Large objects are read in pieces, so that a slow line does not
have to bring all of one within one time limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headgate_lake.storage.settings import StorageConfig, StorageError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["Bucket", "NoObject", "Taken"]

_REQUEST_SECONDS = 60
_CONNECT_SECONDS = 5
_MOST_RETRIES = 3
_RETRY_SECONDS = 30
_PIECE_BYTES = 8 << 20
_PARTS_AT_ONCE = 2  # of one upload; each takes 5 MB of memory
_SHOWN_CHARACTERS = 300
_CODE = re.compile(r"<Code>(\w+)</Code>")

_FIXES = {
    "NoSuchBucket": "the bucket does not exist; create it, or correct `path`",
    "ContainerNotFound": "the container does not exist; create it, or correct `path`",
    "AccessDenied": (
        "access is denied; the credentials must be allowed to list the bucket, and to read, write "
        "and delete objects in it"
    ),
    "InvalidAccessKeyId": "the access key is unknown there; correct the credentials",
    "SignatureDoesNotMatch": "the secret key is wrong; correct the credentials",
    "ExpiredToken": "the credentials have expired; renew them",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set `region`",
    "PermanentRedirect": "the bucket is in another region; set `region`",
    "RequestTimeTooSkewed": "the clock of this machine is wrong; set it, best by NTP",
}
_PASSING = {"RequestTimeTooSkewed", "ExpiredToken"}
_METADATA_HOSTS = ("169.254.169.254", "metadata.google.internal")
"""Where a client asks for the machine's identity if it was given no credentials."""

_NO_CREDENTIALS = (
    "there are no credentials; set them in `storage`, or in the environment of the gateway"
)


class Taken(Exception):
    """The object exists already."""


class NoObject(Exception):
    """There is no such object."""


class Bucket:
    """Objects below a prefix of a bucket. Any thread may use it.

    Every method raises `StorageError` if storage cannot be used.

    Attributes:
        url: of bucket and prefix.
    """

    def __init__(self, url: str, config: StorageConfig) -> None:
        self.url = url.rstrip("/")
        self._config = config

    def put(self, key: str, source: Path | bytes) -> None:
        """Writes an object.

        Raises:
            FileNotFoundError: there is no such file.
        """
        import obstore

        if isinstance(source, Path) and not source.exists():
            raise FileNotFoundError(str(source))
        with self._explained():
            obstore.put(self._store, key, source, max_concurrency=_PARTS_AT_ONCE)

    def create(self, key: str, data: bytes) -> None:
        """Writes an object that must not exist yet.

        Raises:
            Taken: it exists.
        """
        import obstore

        with self._explained():
            obstore.put(self._store, key, data, mode="create")

    def read(self, key: str) -> bytes:
        """Returns an object.

        Raises:
            NoObject: there is none.
        """
        import obstore

        with self._explained():
            return bytes(obstore.get(self._store, key).bytes())

    def pieces(self, key: str, size: int) -> Iterator[Any]:
        """Yields the bytes of an object of a known size.

        Raises:
            NoObject: there is none.
        """
        import obstore

        for start in range(0, size, _PIECE_BYTES):
            end = min(start + _PIECE_BYTES, size)
            with self._explained():
                piece = obstore.get_range(self._store, key, start=start, end=end)
            yield piece

    def delete(self, key: str) -> None:
        """Deletes an object; a missing one is no error."""
        import obstore

        with suppress(NoObject), self._explained():
            obstore.delete(self._store, key)

    def sizes(self, prefix: str) -> dict[str, int]:
        """Returns the sizes of all objects below a prefix by key."""
        import obstore

        with self._explained():
            pages = obstore.list(self._store, prefix)
            return {str(one["path"]): int(one["size"]) for page in pages for one in page}

    @cached_property
    def _store(self) -> ObjectStore:
        from obstore.store import LocalStore, from_url

        config = self._config
        if self.url.startswith("file:"):
            return LocalStore(self.url.removeprefix("file://"), mkdir=False)
        given: dict[str, Any] = {
            "endpoint": config.endpoint,
            "region": config.region,
            "access_key_id": config.access_key_id,
            "secret_access_key": config.secret_access_key and config.secret_access_key.reveal(),
            "session_token": config.session_token and config.session_token.reveal(),
            "account_name": config.account_name,
            "account_key": config.account_key and config.account_key.reveal(),
            "service_account": config.service_account,
        }
        return from_url(  # type: ignore[call-overload, no-any-return]
            self.url,
            config={name: value for name, value in given.items() if value},
            client_options={
                "allow_http": (config.endpoint or "").startswith("http:"),
                "timeout": timedelta(seconds=_REQUEST_SECONDS),
                "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
            },
            retry_config={
                "max_retries": _MOST_RETRIES,
                "retry_timeout": timedelta(seconds=_RETRY_SECONDS),
            },
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            yield
        except AlreadyExistsError as error:
            raise Taken from error
        except (BaseError, FileNotFoundError, ValueError) as error:
            found = _CODE.search(str(error))
            code = found[1] if found else ""
            if isinstance(error, FileNotFoundError) and code not in _FIXES:
                raise NoObject from error
            raise self._meaning(error, code) from error
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            # A defect in the client's native code, which asks for no less than the process.
            text = f"{self.url}: the client of object storage failed: {error}"
            raise StorageError(text, passing=False) from error

    def _meaning(self, error: Exception, code: str) -> StorageError:
        from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

        text = str(error)
        passing = False
        if code in _FIXES:
            why, passing = f"{_FIXES[code]} ({code})", code in _PASSING
        elif any(host in text for host in _METADATA_HOSTS):
            why = _NO_CREDENTIALS
        elif isinstance(error, PermissionDeniedError | UnauthenticatedError):
            why = _FIXES["AccessDenied"]
        elif isinstance(error, ValueError):
            why = f"cannot be used: {text}"
        elif "canonicalize filesystem root" in text:
            why, passing = "the folder does not exist; mount or create it", True
        elif "error sending request" in text or "timed out" in text:
            why, passing = "cannot be reached", True
        else:
            first = text.partition("\n")[0][:_SHOWN_CHARACTERS]
            why, passing = f"the server answered {code}" if code else first, True
        return StorageError(f"{self.url}: {why}", passing=passing)
