"""Deletion of users, by the User Privacy API.

https://amplitude.com/docs/apis/analytics/user-privacy: up to 100 user ids are added to the deletion
job of a day, which runs some weeks later. A job is ``staging`` while it can be changed, then
``submitted``, and then ``done``. Jobs are looked up by the days that they run on. The flag is a
text, as https://github.com/Amplitude-Developer-Docs/amplitude-dev-center/issues/696 has found.
The API deletes no devices, except those that Amplitude has joined to a user.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gateway import Erasure, HttpClient, Misconfigured, Request, Subjects, basic_authorization
from headgate_amplitude.config import AmplitudeConfig

__all__ = ["Deletion"]

_MOST_IDS = 100
_ASK_AGAIN_SECONDS = 24 * 3600.0
_BY_HAND = "set secret_key to have users deleted by Amplitude's User Privacy API"
_DEVICES = "Amplitude deletes by userId only; it has no way to delete an anonymousId"


class Deletion:
    """Adds users to deletion jobs, and asks whether the jobs have run."""

    def __init__(self, config: AmplitudeConfig, client: HttpClient) -> None:
        self._config = config
        self._client = client

    async def erase(self, subjects: Subjects, job: str) -> Erasure:
        """Implements `gateway.Destination.erase`; `job` is days, separated by commas."""
        if self._config.secret_key is None:
            return Erasure("NOT_SUPPORTED", detail=_BY_HAND)
        if job:
            return await self._ask(job.split(","))
        ids = sorted(subjects.users)
        if not ids:
            return Erasure("NOT_SUPPORTED", detail=_DEVICES)
        days: set[str] = set()
        for at in range(0, len(ids), _MOST_IDS):
            days |= await self._create(ids[at : at + _MOST_IDS])
        if not days:
            return Erasure("FINISHED", detail="Amplitude knows none of them")
        return _accepted(days, len(ids), " " + _DEVICES if subjects.anonymous else "")

    async def _create(self, ids: list[str]) -> set[str]:
        """Returns the days of deletion; none where Amplitude knows none of the ids."""
        body = {
            "user_ids": ids,
            "requester": self._config.requester,
            "ignore_invalid_id": "True",
        }
        headers = {"Content-Type": "application/json"}
        request = Request(self._config.deletions(), msgspec.json.encode(body), headers)
        return {str(job["day"]) for job in await self._jobs(request)}

    async def _ask(self, days: list[str]) -> Erasure:
        params = {"start_day": min(days), "end_day": _day_after(max(days))}
        request = Request(self._config.deletions(), b"", method="GET", params=params)
        jobs = await self._jobs(request)
        done = {job["day"] for job in jobs if job.get("status") == "done"}
        left = set(days) - done
        if left:
            return _accepted(left, 0, "")
        return Erasure("FINISHED", detail="deleted by Amplitude")

    async def _jobs(self, request: Request) -> list[dict[str, Any]]:
        assert self._config.secret_key is not None
        authorization = basic_authorization(
            self._config.api_key.reveal(), self._config.secret_key.reveal()
        )
        headers = {**request.headers, "Authorization": authorization}
        reply = await self._client.send(
            Request(request.url, request.body, headers, request.method, request.params)
        )
        # The text of an error may quote the ids to delete.
        self._client.by_status(reply.without_error_text())
        found = reply.json()
        jobs = found if isinstance(found, list) else [found]
        if not all(isinstance(job, dict) and _is_day(job.get("day")) for job in jobs):
            raise Misconfigured("Amplitude's answer to a deletion is not what is documented")
        return jobs


def _day_after(day: str) -> str:
    # Amplitude might read a range of one day as empty.
    return (datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)).date().isoformat()


def _is_day(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value) == 10 and bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def _accepted(days: set[str], users: int, more: str) -> Erasure:
    detail = f"accepted by Amplitude, for {', '.join(sorted(days))}.{more}"
    return Erasure("RUNNING", users, detail, ",".join(sorted(days)), _ASK_AGAIN_SECONDS)
