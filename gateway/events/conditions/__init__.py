"""Evaluates paths and conditions of config.toml on events, and assigns ids to shares.

* `path` reads one value of an event.
* `lexer`, `predicates` and `condition` compile a condition.
* `unit` reads the id that a sample or a group goes by, and `bucketing` maps an id to a share.
"""
