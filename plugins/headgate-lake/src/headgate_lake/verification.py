"""Compares the files of a lake with its manifest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import gettempdir

from msgspec import Struct

from headgate_lake.folder import Folder
from headgate_lake.manifest import DataFile, Manifest
from headgate_lake.parquet import Engine
from headgate_lake.storage import Storage, as_storage
from headgate_lake.storage.lost import LostFile

__all__ = ["Finding", "Verified", "verify_lake"]


class Finding(Struct):
    """A file with a problem; the path is relative to the lake."""

    path: str
    problem: str


class Verified(Struct):
    """The result: files and rows that are as the manifest says, and the others."""

    files: int = 0
    rows: int = 0
    findings: list[Finding] = []


def verify_lake(place: Path | Storage, memory_bytes: int) -> Verified:
    """Reads all files of a lake as a whole, and changes nothing. A gateway may write meanwhile.

    Raises:
        LakeError: there is no lake, or its manifest is damaged.
        StorageError: object storage cannot be used.
    """
    storage = as_storage(place)
    storage.prepare(writes=False)
    folder = Folder(storage.root)
    manifest = Manifest(storage.root)
    engine = Engine(memory_bytes, Path(gettempdir()))
    found = Verified()
    try:
        for file in manifest.files():
            problem = _problem(engine, storage, file)
            if not problem:
                found.files += 1
                found.rows += file.rows
            elif manifest.holds(file.path):  # it was not merged meanwhile
                found.findings.append(Finding(file.path, problem))
        for path in list(folder.on_disk()):
            if not manifest.knows(path) and folder.path(path).exists():
                found.findings.append(Finding(path, "is not in the manifest, so no query sees it"))
        found.findings += [
            Finding(path, f"is in {storage.url}, but not in the manifest, so no query sees it")
            for path in storage.strays()
        ]
        found.findings += [
            Finding(f"aside/{path.name}", "was set aside, as it cannot be read")
            for path in folder.aside()
        ]
    finally:
        engine.close()
        manifest.close()
    return found


def _problem(engine: Engine, storage: Storage, file: DataFile) -> str:
    try:
        with storage.reading([file]) as (path,):
            return _problem_of(engine, path, file)
    except LostFile as error:
        return str(error)


def _problem_of(engine: Engine, path: Path, file: DataFile) -> str:
    try:
        with path.open("rb") as opened:
            checksum = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if path.stat().st_size != file.bytes:
        return f"has {path.stat().st_size} bytes, and the manifest says {file.bytes}"
    if checksum != file.sha256:
        return "has another checksum than in the manifest: it was changed"
    return engine.problem(path, file.rows)
