"""Explains what would happen to one event, without sending anything.

`question` is the request, `explainer` answers it, `loopback` asks the sources.
"""
