"""Settings of object storage, and its error."""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta, Struct

from gateway import GatewayError, Secret

__all__ = ["SCHEMES", "StorageConfig", "StorageError"]

_ADDRESS = re.compile(r"https?://[A-Za-z0-9._\[\]:-]+/?")

SCHEMES = ("s3", "gs", "az", "file")
"""Schemes of `path` that name object storage; ``file`` is a mounted folder."""


class StorageError(GatewayError):
    """Object storage does not do what it should; the text is for a person.

    Attributes:
        passing: it may work later without a change of the settings.
    """

    def __init__(self, text: str, *, passing: bool) -> None:
        super().__init__(text)
        self.passing = passing


class StorageConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table `storage` of a lake in object storage.

    Without credentials here, the usual variables of the environment hold (``AWS_ACCESS_KEY_ID``,
    ``GOOGLE_APPLICATION_CREDENTIALS``, ``AZURE_STORAGE_ACCOUNT_NAME`` and so on), then the identity
    of the machine.

    Attributes:
        folder: local folder for the manifest, for files that wait for their upload, and for copies.
        cache_max_bytes: bound on the local copies of uploaded files; the least recently read go.
        waiting_max_bytes: bound on the files that wait for their upload; delivery waits beyond it.
        upload_seconds: time between two uploads; a file waits at most so long while storage works.
        endpoint: address of a server that speaks S3, such as ``https://minio.example.com``.
        region: of the bucket.
        access_key_id, secret_access_key, session_token: credentials for ``s3://``.
        account_name, account_key: credentials for ``az://``.
        service_account: path of the key file for ``gs://``.
    """

    folder: Annotated[str, Meta(min_length=1)] = "data/lake"
    cache_max_bytes: Annotated[int, Meta(ge=1_000_000)] = 10_000_000_000
    waiting_max_bytes: Annotated[int, Meta(ge=1_000_000)] = 10_000_000_000
    upload_seconds: Annotated[float, Meta(ge=1, le=3600)] = 30.0
    endpoint: str | None = None
    region: str | None = None
    access_key_id: str | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    account_name: str | None = None
    account_key: Secret | None = None
    service_account: str | None = None

    def __post_init__(self) -> None:
        if self.endpoint is not None and not _ADDRESS.fullmatch(self.endpoint):
            raise ValueError(f"endpoint: {self.endpoint!r} is no address like https://host:port")
