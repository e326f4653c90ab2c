"""What another config would make of the same events: compared offline, event by event.

Both configs are built as gateways that rehearse (`gateway.runtime.explain.explainer`), with the
same clock. What cannot differ is not looked at: a destination whose tables, transforms and groups
are the same in both configs gets the same of the same event. Of the others each batch is compared
as a whole, and only where that differs its events one by one; so batches of vendors' requests do
not matter, what is said of each event does.

`plan` finds what may differ, `sides` says what a config makes of events, `compare` compares, `feed`
reads the events, `job` does it in several processes, and `report` is what comes out.
"""

from __future__ import annotations

from gateway.runtime.diff.job import Job, run
from gateway.runtime.diff.report import FAIL_ON, Example, Report, Tally, failures

__all__ = ["FAIL_ON", "Example", "Job", "Report", "Tally", "failures", "run"]
