"""Which visitor a user is: the links between userId and anonymousId.

`visitors` learns the links as events come in; `links` keeps them in the state store.
"""
