"""Writes events of a lake to files that other programs read: ``gateway lake export``."""

from headgate_lake.exporting.exporter import Exported, Exporter, Wanted

__all__ = ["Exported", "Exporter", "Wanted"]
