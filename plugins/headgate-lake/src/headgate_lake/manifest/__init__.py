"""The manifest: an SQLite file that says which Parquet files are the lake.

A file that is not in the manifest is not part of the lake, whatever its name. One transaction adds
the files of a batch and moves the cursor of its queue, so each event is in the lake exactly once.
Every transaction takes the write lock first, so several worker processes take turns.
"""

from headgate_lake.manifest.manifest import Manifest
from headgate_lake.manifest.records import Change, DataFile, Day, Kind, LakeError, Shard, Span
from headgate_lake.manifest.tables import ANEW, MANIFEST, finish_copy

__all__ = [
    "ANEW",
    "MANIFEST",
    "Change",
    "DataFile",
    "Day",
    "Kind",
    "LakeError",
    "Manifest",
    "Shard",
    "Span",
    "finish_copy",
]
