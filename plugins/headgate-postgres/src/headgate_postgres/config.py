"""Config of a destination with ``type = "postgres"``."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Meta, Struct

from gateway import Secret

__all__ = ["PostgresConfig", "secrets_of"]

_PositiveSeconds = Annotated[float, Meta(gt=0)]
_MAX_SCHEMA_BYTES = 63
_SECRET_PARAMETERS = {"password", "sslpassword"}


class PostgresConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the destination.

    Attributes:
        dsn: ``postgresql://user:password@host:port/database``; TLS by its parameters ``sslmode``,
            ``sslrootcert``, ``sslcert`` and ``sslkey``, as in libpq. Never shown.
        schema: of the tables; created if it does not exist.
        table_per_event: whether each name of a track event gets a table. Without it, properties go
            to ``tracks.properties``.
        tables_limit: most tables of events; the properties of further events go there, too.
        columns_limit: most columns of a table; further values go to its column ``_extra``.
        flatten_depth: objects nested deeper than this are one value of type jsonb.
        widen_max_bytes: tables up to this size are rewritten when a column of numbers must hold
            larger or finer ones; in larger tables such values go to ``_extra``. 0 never rewrites.
        pool_size: most connections, and so most concurrent sends.
        connect_timeout_seconds: for one connection, with TLS handshake and log-in.
        statement_timeout_seconds: bound on one statement.
        lock_timeout_seconds: bound on a statement's wait for locks.
    """

    dsn: Secret
    schema: Annotated[str, Meta(min_length=1)] = "headgate"
    table_per_event: bool = True
    tables_limit: Annotated[int, Meta(ge=0, le=100_000)] = 1000
    columns_limit: Annotated[int, Meta(ge=20, le=1600)] = 500
    flatten_depth: Annotated[int, Meta(ge=1, le=32)] = 8
    widen_max_bytes: Annotated[int, Meta(ge=0)] = 1_000_000_000
    pool_size: Annotated[int, Meta(ge=1, le=100)] = 4
    connect_timeout_seconds: _PositiveSeconds = 10.0
    statement_timeout_seconds: _PositiveSeconds = 20.0
    lock_timeout_seconds: _PositiveSeconds = 5.0

    def __post_init__(self) -> None:
        """Checks what types cannot express; the messages show no values."""
        wrong = "dsn: must be postgresql://user:password@host:port/database"
        try:
            parts = urlsplit(self.dsn.reveal())
            # Only the driver can read the ports in a list of hosts.
            port = None if "," in parts.netloc else parts.port
        except ValueError:
            raise ValueError(wrong) from None
        if parts.scheme not in ("postgres", "postgresql") or port == 0:
            raise ValueError(wrong)
        if len(self.schema.encode(errors="replace")) > _MAX_SCHEMA_BYTES:
            raise ValueError(f"schema: is longer than {_MAX_SCHEMA_BYTES} bytes")
        if "\0" in self.schema or self.schema.startswith("pg_"):
            raise ValueError("schema: names that begin with pg_ are PostgreSQL's own")


def secrets_of(config: PostgresConfig) -> list[str]:
    """Returns all texts of the config that must not be shown."""
    dsn = config.dsn.reveal()
    parts = urlsplit(dsn)
    found = [dsn, parts.password or "", unquote(parts.password or "")]
    return found + [v for name, v in parse_qsl(parts.query) if name in _SECRET_PARAMETERS]
