"""The identity graph: a function of all facts, in their order.

* `facts` says what a fact is.
* `rules` decides which identifiers of a fact are joined, and which are left out and why.
* `whole` makes the graph of all facts from the begin; it is the definition.
* `repair` brings a stored graph up to date with new facts, also with late ones, and touches only
  the profiles that they change.

Nothing here reads a clock or a disk.
"""
