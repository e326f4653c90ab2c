"""Deletion of users, by the GDPR and CCPA API.

https://docs.mixpanel.com/reference/gdpr-api.md: a task deletes up to 1,999 ids, and is looked up by
its tracking id. It may take Mixpanel 30 days. Until it has started, it can be cancelled there.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gateway import (
    Erasure,
    HttpClient,
    Misconfigured,
    Permanent,
    Request,
    Retryable,
    Subjects,
)
from headgate_mixpanel.config import MixpanelConfig

__all__ = ["Deletion"]

_MOST_IDS = 1999
_ASK_AGAIN_SECONDS = 6 * 3600.0
_UNDER_WAY = {"PENDING", "STAGING", "STARTED"}
_BY_HAND = (
    "set gdpr_token to have users deleted by Mixpanel's API; or delete them there, at Project "
    "Settings, Data & Privacy"
)


class Deletion:
    """Creates deletion tasks, and asks for their progress."""

    def __init__(self, config: MixpanelConfig, client: HttpClient) -> None:
        self._config = config
        self._client = client

    async def erase(self, subjects: Subjects, job: str) -> Erasure:
        """Implements `gateway.Destination.erase`; `job` is tracking ids, separated by commas."""
        if self._config.gdpr_token is None:
            return Erasure("NOT_SUPPORTED", detail=_BY_HAND)
        if job:
            return await self._ask(job.split(","))
        ids = sorted(self._distinct_ids(subjects))
        tasks = [
            await self._create(ids[at : at + _MOST_IDS]) for at in range(0, len(ids), _MOST_IDS)
        ]
        return _accepted(tasks, len(ids))

    def _distinct_ids(self, subjects: Subjects) -> Iterator[str]:
        yield from subjects.users
        for id_ in subjects.anonymous:
            yield f"$device:{id_}" if self._config.identity == "simplified" else id_

    async def _create(self, ids: list[str]) -> str:
        body = {"distinct_ids": ids, "compliance_type": self._config.compliance}
        found = await self._call("POST", "", msgspec.json.encode(body))
        # The documentation shows a list of tasks, and elsewhere an object with another key.
        task = found[0] if isinstance(found, list) and found else found
        if isinstance(task, dict):
            for name in ("tracking_id", "task_id"):
                if isinstance(task.get(name), str) and "," not in task[name]:
                    return str(task[name])
        raise Permanent("Mixpanel's answer to a deletion names no task")

    async def _ask(self, tasks: list[str]) -> Erasure:
        left = []
        for task in tasks:
            found = await self._call("GET", task, b"")
            status = found.get("status") if isinstance(found, dict) else None
            if status in _UNDER_WAY:
                left.append(task)
            elif status == "UNKNOWN":
                raise Retryable("Mixpanel cannot tell how a deletion is doing")
            elif status != "SUCCESS":
                shown = self._client.mask.excerpt(str(status))
                raise Permanent(f"Mixpanel says of the deletion {task}: {shown}")
        return _accepted(left, 0) if left else Erasure("FINISHED", detail="deleted by Mixpanel")

    async def _call(self, method: str, path: str, body: bytes) -> object:
        assert self._config.gdpr_token is not None
        headers = {"Authorization": f"Bearer {self._config.gdpr_token.reveal()}"}
        if body:
            headers["Content-Type"] = "application/json"
        url = self._config.deletions(path)
        params = {"token": self._config.token.reveal()}
        reply = await self._client.send(Request(url, body, headers, method, params))
        # The text of an error may quote the ids to delete.
        self._client.by_status(reply.without_error_text())
        answer = reply.json()
        if not isinstance(answer, dict) or answer.get("status") != "ok":
            raise Misconfigured("Mixpanel's answer to a deletion is not what is documented")
        return answer.get("results")


def _accepted(tasks: list[str], users: int) -> Erasure:
    detail = "accepted by Mixpanel, which takes up to 30 days"
    return Erasure("RUNNING", users, detail, ",".join(tasks), _ASK_AGAIN_SECONDS)
