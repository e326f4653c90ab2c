"""The ledger: counts that must add up, and the statement that checks them.

`counts` holds the numbers in memory, `source_ledger` stores those of sources, `statement` compares
all of them with the queue and the retry lanes.
"""
