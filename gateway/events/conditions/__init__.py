"""Questions that config asks of events: paths, expressions, and which share an id belongs to.

`path` reads one place of an event. `lexer`, `predicates` and `condition` compile an expression.
`unit` says whose id counts and `bucketing` maps an id to a share.
"""
