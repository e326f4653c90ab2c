"""From a request to the queue: one road for the events of all sources.

`intake` is the road, `dry_run` the same road without storing anything. `write_keys` says what a key
may send, `dedup` which ids were seen, and `dedup_warmup` reads those from the queue at start.
"""
