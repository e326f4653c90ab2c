"""The stored graph: an SQLite file for all workers, with the facts and what follows from them.

* `tables` has the tables, and opens the file.
* `session` reads and writes the graph within one transaction.
* `store` opens transactions, and answers questions.
"""

from headgate_profiles.store.session import Move, Session
from headgate_profiles.store.store import Store
from headgate_profiles.store.tables import GraphError

__all__ = ["GraphError", "Move", "Session", "Store"]
