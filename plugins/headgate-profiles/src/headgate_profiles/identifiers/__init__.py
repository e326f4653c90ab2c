"""The identifiers of an event: which values name a person, and which never do.

* `kinds` has the types with their rules: priority, limit and window.
* `values` brings the spellings of a value to one, and refuses values that name nobody.
* `reader` reads the identifiers of an event.
"""

from headgate_profiles.identifiers.kinds import Identifier, Kind, Kinds
from headgate_profiles.identifiers.reader import Reader
from headgate_profiles.identifiers.values import clean

__all__ = ["Identifier", "Kind", "Kinds", "Reader", "clean"]
