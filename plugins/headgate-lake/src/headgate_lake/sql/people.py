"""Who is who in queries: events get the persons that a package knows of.

What is known is kept as a Parquet file, one for each state of knowledge, in the folder of the
package that knows it. Each query joins its events with it. The package deletes it with an erasure.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from gateway import ConfigError, KnownPeople, KnownPerson, Scope

__all__ = ["NOBODY_KNOWN", "People", "find_people", "people_join"]

_KEPT = 4
"""Files of earlier states that are kept for queries that run."""

_CHUNK = 5_000
RAW, NOW = "raw", "now"


class People(NamedTuple):
    """Who is who in a query.

    Attributes:
        file: as Parquet; None for the lake's own persons.
        version: in words, or empty for the lake's own.
    """

    file: Path | None
    version: str


NOBODY_KNOWN = People(None, "")


def find_people(scope: Scope, identity: str = NOW) -> People:
    """Returns who is who, as a package knows it.

    Args:
        identity: ``now``; ``raw`` for the lake's own persons; or a time, for what was known then.

    Raises:
        ConfigError: it is none of these.
    """
    if identity == RAW:
        return NOBODY_KNOWN
    at_ms = None if identity == NOW else _moment(identity, scope)
    for spec in scope.identities.values():
        known: KnownPeople | None = spec.people(scope, at_ms)
        if known is not None:
            return People(_kept(known), known.version)
    return NOBODY_KNOWN


def people_join(file: str) -> tuple[str, str]:
    """Returns the SQL of an event's person, and the joins that it needs, over events ``e``.

    A userId decides. An anonymousId alone counts until others were seen to use it, too.
    """
    kept = f"(SELECT id, person, until_ms FROM read_parquet({file}) WHERE kind = '{{}}')"  # noqa: S608
    person = "coalesce(of_user.person, of_device.person, e.person)"
    joins = (
        f" LEFT JOIN {kept.format('user')} AS of_user ON e.user_id = of_user.id"
        f" LEFT JOIN {kept.format('anonymous')} AS of_device ON e.user_id IS NULL"
        " AND e.anonymous_id = of_device.id"
        " AND (of_device.until_ms IS NULL OR epoch_ms(e.received_at) < of_device.until_ms)"
    )
    return person, joins


def _moment(text: str, scope: Scope) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"identity {text!r}: write now, raw, or the time as of which people are counted, such "
            "as 2026-11-01"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=scope.project.zone)
    return round(moment.astimezone(UTC).timestamp() * 1000)


def _kept(known: KnownPeople) -> Path:
    folder = known.folder
    file = folder / f"people-{known.state}.parquet"
    if file.exists():
        with suppress(OSError):
            os.utime(file)
        return file
    folder.mkdir(mode=0o700, exist_ok=True)
    beside = folder / f"people-{known.state}.{os.getpid()}.part"
    lines = beside.with_suffix(".ndjson")
    try:
        with open(lines, "xb", opener=_private) as out:
            out.writelines(_encoded(known.rows()))
        _convert(lines, beside)
        beside.chmod(0o600)
        beside.replace(file)
    finally:
        lines.unlink(missing_ok=True)
        beside.unlink(missing_ok=True)
    ordered = sorted(folder.glob("people-*.parquet"), key=lambda path: path.stat().st_mtime)
    for old in ordered[:-_KEPT]:
        old.unlink(missing_ok=True)
    return file


def _encoded(rows: Iterable[KnownPerson]) -> Iterator[bytes]:
    encoder = msgspec.json.Encoder()
    left = iter(rows)
    while chunk := [row._asdict() for row in islice(left, _CHUNK)]:
        yield encoder.encode_lines(chunk)


def _convert(lines: Path, file: Path) -> None:
    import duckdb

    columns = "{kind: 'VARCHAR', id: 'VARCHAR', person: 'BIGINT', until_ms: 'BIGINT'}"
    with duckdb.connect(":memory:") as engine:
        engine.execute("SET threads = 1")
        engine.execute(
            f"COPY (SELECT * FROM read_json($1, columns = {columns}, format = 'newline_delimited')"  # noqa: S608
            " ORDER BY kind, id) TO $2 (FORMAT parquet, COMPRESSION zstd)",
            [str(lines), str(file)],
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
