"""The plugin contract, which knows no host: what a plugin implements, and what it is handed.

`source`, `transform`, `destination` and `store` each hold the class that an author implements and
the spec that registers it. `context` is what every component is built with; `ports` are the small
protocols that the host fulfils. `hookspecs` has the hooks. `chain`, `lifecycle` and `verdict` run
components and judge how they fail; `dry_run` notes down what a destination would send.

Plugins import these names from `gateway`. Rooms above import from the modules.
"""
