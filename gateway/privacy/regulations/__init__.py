"""Regulations: requests of users about their data, carried out place by place.

Kinds, statuses and the limit of 5,000 ids are Segment's,
https://segment.com/docs/privacy/user-deletion-and-suppression/. The gateway writes a regulation
down before it answers, and continues after a crash; each place can be done twice. The report lists
all places.

The ids are deleted as soon as no place needs them: at the latest when everything is done, or when
only the progress of vendors is left to ask for. A regulation that failed keeps them until it is
tried again and succeeds, or is deleted.

`regulations` is what callers use, `runner` does the work. `vendor` makes one call of a destination,
`parts` spreads a regulation over several shards, `report` has its kinds, statuses and report.
"""

from gateway.privacy.regulations.parts import Others, Part
from gateway.privacy.regulations.regulations import Regulations
from gateway.privacy.regulations.report import KINDS, Kind, Report, ReportPlace
from gateway.privacy.regulations.runner import RegulationsContext

__all__ = [
    "KINDS",
    "Kind",
    "Others",
    "Part",
    "Regulations",
    "RegulationsContext",
    "Report",
    "ReportPlace",
]
