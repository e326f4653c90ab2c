"""Audiences: people who fit conditions on traits and behaviour, with when they entered and left.

`config` is the table ``[audiences.NAME]``, `audience` decides about one person, and says why.
`members` decides about all people and stores who is a member; `work` does so in a process of its
own, so that no event waits, and `job` starts it.
"""
