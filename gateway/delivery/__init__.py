"""From the queue to the destinations: read, select, batch, send, retry, record the outcome.

`manager` runs one `worker` for each destination and changes them while the gateway runs. The other
modules are the parts of a worker, `replay` for past events, and dry runs that send nothing:
`dry_run`, `shadow` and `mapping` say what a destination would get.
"""
