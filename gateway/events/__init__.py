"""The event: its form on the wire and in the queue, and what is read from it.

`event` is the event itself, `envelope` its way from bytes to the queue, `conditions` the paths and
expressions that config asks of it. `timestamps`, `values` and `naming` read single values;
`consent`, `integrations` and `subjects` say where an event may go and whose it is; `json_diff` and
`ndjson` compare and write JSON. Nothing here knows config, a queue or a host.
"""
