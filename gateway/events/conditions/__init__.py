"""Evaluates paths and conditions of config.toml on events, and assigns ids to shares.

* `path` reads one value of an event.
* `lexer` and `condition` parse a condition into a `condition_tree`, which is compiled into
  `predicates`.
* `unit` reads the id that a sample or a group goes by, and `bucketing` maps an id to a share.
"""
