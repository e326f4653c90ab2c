"""A toolkit for talking HTTP, in both directions.

Outwards: `client` sends requests within bounds and judges the answers, `packing` fits events into
requests, `excerpt` keeps secrets out of what is recorded, `retry_after` reads a header. Inwards:
`body` reads a request's body within limits, `client_ip` finds the client, `routing` mounts the
paths of sources, `ready_response` prepares answers, `tokens` checks bearer tokens.
"""
