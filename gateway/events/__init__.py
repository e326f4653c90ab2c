"""The event: its form on the wire and in the queue, and functions that read it.

* `event` holds the event itself.
* `envelope` takes an event from the client's bytes to the form that the queue stores.
* `conditions` evaluates paths and expressions of config.toml on events.
* `timestamps`, `values` and `naming` read single values.
* `consent`, `integrations` and `subjects` decide where an event may go and whose it is.
* `json_diff` compares JSON values, and `ndjson` writes events as lines.

This room imports nothing but `errors`: it knows neither config nor a queue nor a host.
"""
