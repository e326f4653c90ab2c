"""Config of a destination with ``type = "lake"``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headgate_lake.storage.settings import SCHEMES, StorageConfig

__all__ = ["LakeConfig"]


class LakeConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of the lake.

    Attributes:
        path: its folder, created if it does not exist; or object storage, as in
            ``s3://bucket/prefix``, ``gs://...``, ``az://account/container/prefix``, or
            ``file:///mnt/share/lake`` for a mounted folder.
        late_hours: a day is closed once all events received so long after its end are in the lake.
            Events that come later are added to the closed day, and the change is recorded.
        retention_days: days whose events are kept; 0 keeps them for ever.
        max_bytes: bound on the size; over it the oldest days are deleted. 0 is no bound.
        merge_files: number of small files of a day that are merged into one.
        most_files: bound on the files of a day; delivery waits for a merge before it adds one more.
        memory_bytes: bound on DuckDB's memory for writing a batch.
        upkeep_memory_bytes: the same for merging and sorting files, in a process of its own.
        storage: for a lake in object storage: its local folder, bounds and credentials.
    """

    path: Annotated[str, Meta(min_length=1)] = "data/lake"
    late_hours: Annotated[float, Meta(ge=0)] = 48.0
    retention_days: Annotated[int, Meta(ge=0)] = 730
    max_bytes: Annotated[int, Meta(ge=0)] = 100_000_000_000
    merge_files: Annotated[int, Meta(ge=2, le=100)] = 32
    most_files: Annotated[int, Meta(ge=10)] = 200
    memory_bytes: Annotated[int, Meta(ge=64_000_000)] = 128_000_000
    upkeep_memory_bytes: Annotated[int, Meta(ge=128_000_000)] = 256_000_000
    storage: StorageConfig = StorageConfig()

    def __post_init__(self) -> None:
        scheme, separator, rest = self.path.partition("://")
        if not separator:
            if self.storage != StorageConfig():
                raise ValueError("storage: is only for a `path` such as s3://bucket/prefix")
        elif scheme not in SCHEMES or not rest.strip("/"):
            raise ValueError(
                f"path: {self.path!r} is no object storage; it is like s3://bucket/prefix, with "
                f"one of {', '.join(SCHEMES)}"
            )

    @property
    def url(self) -> str:
        """The object storage of the lake; empty without."""
        return self.path if "://" in self.path else ""

    @property
    def folder(self) -> str:
        """The local folder of the lake, as configured."""
        return self.storage.folder if self.url else self.path
