"""Takes events from the request to the queue, in the same way for all sources.

* `intake` accepts events, and `dry_run` tells what `intake` would do. Both are made of the steps in
  `acceptance` and of a `source_directory`, and both are built from a `context`.
* `tally` notes what becomes of the events of one request.
* `write_keys` decides what a write key may send.
* `dedup` remembers message ids; `dedup_warmup` reads those of stored events at start.
"""
