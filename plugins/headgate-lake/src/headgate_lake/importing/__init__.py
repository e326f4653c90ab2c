"""Loads files of events into a lake: NDJSON, CSV, and exports of other products."""

from headgate_lake.importing.formats import FORMATS
from headgate_lake.importing.importer import Importer, Summary

__all__ = ["FORMATS", "Importer", "Summary"]
