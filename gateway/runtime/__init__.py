"""One process: builds everything from config and the registry, and runs it.

`gateway` is the running gateway. `topology` wires the parts of one config, `builder` builds them,
`plugins` finds their types. `reload` and `switchover` change from one config to the next.
`housekeeping` does the regular work. `health`, `status`, `metrics` and `rates` report, `logs` sets
up the log. `explain` and `diff` run events through a config without sending them.
"""
