"""Computed traits: what a person did, counted while events pass.

`config` is the table ``[traits.NAME]``. `aggregates` has a small state for each kind, which can be
merged. `definition` reads an event into the state of a time bucket. The value of a window is the
merge of its buckets when the trait is read, so it falls by itself as time passes.
"""
