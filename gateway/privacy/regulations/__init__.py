"""Regulations: what users may ask of who keeps their data, carried out place by place.

As Segment's, https://segment.com/docs/privacy/user-deletion-and-suppression/: their kinds and
statuses, and 5,000 ids at a time. A regulation is written down before it is answered, and goes on
after a crash; each of its places can be done twice. It ends in a report that lists the places.

Ids of users are kept no longer than something needs them: once nothing is left but to ask a vendor
how far it is, or nothing at all, they are forgotten. A regulation that failed keeps them until it
is tried again and succeeds, or is deleted.
"""

from gateway.privacy.regulations.parts import Others, Part
from gateway.privacy.regulations.report import KINDS, Kind, Report, ReportPlace
from gateway.privacy.regulations.runner import Regulations

__all__ = ["KINDS", "Kind", "Others", "Part", "Regulations", "Report", "ReportPlace"]
