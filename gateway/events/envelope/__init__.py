"""Takes events from the client's bytes to the form that the queue stores.

* `heads` and `peek` read only the fields that are needed.
* `normalise` and `validate` check an event and bring its fields into their final form.
* `stamp` and `client` add times, address and user agent.
* `sealed` and `mixed` store events as they were sent; `stored_ids` reads only the ids of those.
* `arrival` holds what sources and intake pass to each other.

The bodies of an event stay the bytes that the client sent until code asks for them.
"""
