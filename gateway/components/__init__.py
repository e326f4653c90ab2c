"""The plugin contract: what plugins implement, and what the gateway hands to them.

A plugin registers *specs*. A spec names a type, the frozen `msgspec.Struct` that its table in
config.toml is decoded into, and the function that builds an instance. The gateway owns everything
around the instance: batching, retries, back-off, time-outs, consent, commits and shutdown.

`source`, `transform`, `destination` and `store` each hold the class to implement and its spec;
`component` has the life cycle that they share, `transform_methods` what a transform may do besides.
Every component is built with a `context`; `ports` are the protocols through which it sees the
gateway. `hookspecs` has the hooks, `hookmarkers` their marks. `chain`, `lifecycle` and `verdict`
run components and judge their errors; `dry_run` records what a destination would send.

Plugins import these names from `gateway`; rooms above import from the modules. Nothing here knows
which host runs the components.
"""
