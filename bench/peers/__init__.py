"""Programs that users write instead of a gateway, one file each.

They share only the payload with the gateway. `bench.cases.rivals` runs them.
"""
