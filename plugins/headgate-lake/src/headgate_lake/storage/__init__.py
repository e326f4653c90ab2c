"""Where the files of a lake are: in its folder alone, or in object storage with copies here.

The manifest, the locks and what is being written are always in a local folder. `Storage` is the
port to the files: it gives the local path of a file that the manifest names, wherever the file is.
"""

from __future__ import annotations

from headgate_lake.storage.local import LocalStorage
from headgate_lake.storage.port import Storage, Synced, as_storage, portions
from headgate_lake.storage.settings import StorageConfig, StorageError

__all__ = [
    "LocalStorage",
    "Storage",
    "StorageConfig",
    "StorageError",
    "Synced",
    "as_storage",
    "portions",
]
