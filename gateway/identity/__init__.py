"""Links users to visitors: maps a userId to the anonymousId it first appeared with.

* `visitors` learns the links as events come in.
* `links` keeps them in a file.
"""
