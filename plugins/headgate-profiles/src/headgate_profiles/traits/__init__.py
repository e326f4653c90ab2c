"""What is known of a person: traits with the origin of each value, consent, arms and counts.

`rules` decides between several values of a trait. `values` and `activity` are what one identifier
has brought, `observe` adds events to them, and `config` has the bounds. A profile is the merge over
its identifiers, made when it is read. So a merge or an unmerge of profiles changes nothing here.
"""
