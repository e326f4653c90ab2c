"""One process: builds everything from config and the registry, and runs it.

`gateway` is the running whole; `topology` is all that one config makes, `builder` makes its
components, `plugins` finds their types. `reload` and `switchover` go from one config to the next.
`housekeeping` does what is due once a second. `health`, `status`, `metrics` and `rates` say how it
is, `logs` writes the log. `explain` and `diff` try events out on a config.
"""
