"""The error about an uploaded file that object storage has lost."""

from __future__ import annotations

from headgate_lake.manifest import LakeError

__all__ = ["LostFile"]


class LostFile(LakeError):
    """An uploaded file is missing in object storage, or was changed there."""
