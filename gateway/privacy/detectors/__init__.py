"""Finds personal data in texts, and hints of it in the bytes of events.

`detect` finds it; `emails`, `phones`, `ip_addresses`, `cards`, `idnumbers` and `credentials` know
one kind each, `encoded` undoes percent-encoding. `disguise` hides most of a finding. `prescan`
tells from the bytes of events which of them need a look, with the regular expressions of `wording`.
"""
