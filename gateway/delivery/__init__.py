"""From the queue to one destination: read, sift, batch, send, try again, write down the outcome.

`worker` is where it begins; the other modules are what a worker is made of.
"""
