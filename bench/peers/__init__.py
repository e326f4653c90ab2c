"""What a user would write instead, each a file that its own environment runs.

They share nothing with the gateway but the payload. How each is run: `bench.cases.rivals`.
"""
