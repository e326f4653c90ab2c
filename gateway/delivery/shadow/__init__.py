"""Shadows: destinations that are compared and to which nothing is sent.

`shadow` looks at events, `report` says what was found, `destination` takes the place of the
destination that is not sent to.
"""
