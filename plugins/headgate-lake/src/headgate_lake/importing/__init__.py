"""Loads files of events into a lake: NDJSON, CSV, and exports of other products."""

from headgate_lake.importing.formats import FORMATS
from headgate_lake.importing.importer import Importer, Summary
from headgate_lake.importing.mapping import Mapping, read_mapping, zone_of

__all__ = ["FORMATS", "Importer", "Mapping", "Summary", "read_mapping", "zone_of"]
