"""Shadows: destinations that get events as any other would, and to which nothing is sent.

A shadow shows what a new mapping, a new release of a plugin or another vendor would make of live
events, before anybody else sees it. Its events pass through its consent, transforms, mapping and
checks up to the request. The request is recorded by a dry run (`gateway.delivery.dry_run`), and, if
the shadow is *of* another destination, compared with what that one makes of the same event. Both
sides run dry one event at a time, on instances of their own. So batches, retries and outages of
the live destination make no difference, and the comparison neither slows nor changes it.

In the ledger every event of a shadow is filtered by the rule ``shadow``, also those that it skips
to keep within its rate. Findings are counted, see `gateway.delivery.shadow.report.OUTCOMES`. A few
events are kept in memory as examples, until the gateway stops, its config is read again or a user
is erased.

`shadow` takes the events, `side` runs a destination dry, `findings` counts what differs, `report`
is its form for users, and `destination` stands in for the destination that is not sent to.
"""
