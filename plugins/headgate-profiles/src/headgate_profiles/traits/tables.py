"""The tables beside those of the graph.

===============  ===================================================================================
activity         counts and times of each identifier; see `headgate_profiles.traits.activity`
traits           its traits; see `headgate_profiles.traits.values`
accounts         activity and traits of each account, by its groupId
account_members  which identifier belongs to which account, and since when that is known
audiences        the members of each audience, by profile, and when each was seen to enter
audience_changes who entered and left, in their order
counted          see `headgate_profiles.traits.counted`
===============  ===================================================================================
"""

from __future__ import annotations

__all__ = ["FORGET", "FORGET_PROFILE", "KEPT", "SHARED_MS"]

FORGET = tuple(
    f"DELETE FROM {table} WHERE identifier = :number"
    for table in ("activity", "traits", "account_members")
)
"""SQL: removes what an identifier brought."""

FORGET_PROFILE = tuple(
    f"DELETE FROM {table} WHERE profile = ?" for table in ("audiences", "audience_changes")
)
"""SQL: removes what is known of a profile by its number."""

SHARED_MS = (
    "SELECT min(at_ms) FROM refusals WHERE identifier = number AND reason = 'other_user' "
    "AND identifiers.type <> 'user_id'"
)
"""SQL: since when a row of `identifiers` is known to be shared by two users; NULL if it is not."""

KEPT = (
    """CREATE TABLE activity (
        identifier INTEGER PRIMARY KEY, state BLOB NOT NULL
    )""",
    """CREATE TABLE traits (
        identifier INTEGER PRIMARY KEY, state BLOB NOT NULL
    )""",
    """CREATE TABLE accounts (
        account TEXT PRIMARY KEY, activity BLOB NOT NULL, traits BLOB NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE account_members (
        identifier INTEGER NOT NULL, account TEXT NOT NULL, at_ms INTEGER NOT NULL,
        PRIMARY KEY (identifier, account)
    ) WITHOUT ROWID""",
    "CREATE INDEX account_members_by_account ON account_members (account)",
    """CREATE TABLE audiences (
        audience TEXT NOT NULL, profile INTEGER NOT NULL, entered_ms INTEGER NOT NULL,
        PRIMARY KEY (audience, profile)
    ) WITHOUT ROWID""",
    "CREATE INDEX audiences_by_profile ON audiences (profile)",
    """CREATE TABLE audience_changes (
        id INTEGER PRIMARY KEY, audience TEXT NOT NULL, profile INTEGER NOT NULL,
        at_ms INTEGER NOT NULL, entered INTEGER NOT NULL
    )""",
    "CREATE INDEX audience_changes_by_audience ON audience_changes (audience, id)",
    "CREATE INDEX audience_changes_by_profile ON audience_changes (profile)",
    """CREATE TABLE counted (
        queue_id TEXT NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL,
        PRIMARY KEY (queue_id, first)
    ) WITHOUT ROWID""",
)
