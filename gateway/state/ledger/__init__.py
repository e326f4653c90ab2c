"""The ledger: counts that must add up, and the statement that proves it.

`counts` holds the numbers, `source_ledger` makes those of sources outlive the process, `statement`
compares them with what the queue and the destinations hold.
"""
