"""A toolkit for talking HTTP, in both directions.

Outwards: `client` sends the requests of a destination, over a `transport`, as `settings` say;
`reply` judges the status of an answer, and `exchange` shows requests and answers to people. `items`
are the contents of requests, and `packing` fits them into requests. `excerpt` keeps secrets out of
whatever is recorded; `gzip_body` compresses; `retry_after` reads a header.

Inwards: `body` reads a request's body within limits, `client_ip` finds the client, `routing` mounts
the paths of sources, `ready_response` prepares answers, `tokens` checks bearer tokens.
"""
