"""Events as they come in: read no further than needed, checked, completed, sealed for the queue.

The bodies of an event stay the bytes that a client sent for as long as nobody asks for them.
"""
