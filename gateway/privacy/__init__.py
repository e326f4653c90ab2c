"""Personal data: found, kept out, listed and erased.

`detectors` find it in texts, `suppression` keeps a user's events out, `inventory` lists what is
kept, `erasure` forgets users in this process, `regulations` carry a request through all places.
"""
