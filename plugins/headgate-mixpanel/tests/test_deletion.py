"""Deletion of users by Mixpanel: tasks are created, and asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway import Erasure, Misconfigured, Permanent, Retryable, Secret, Subjects
from gateway.testing import Answer, FakeVendor, make_context
from headgate_mixpanel import MixpanelConfig
from headgate_mixpanel.destination import Mixpanel

ADA = Subjects(frozenset({"ada"}))


@asynccontextmanager
async def running(vendor: FakeVendor, tmp_path: Path, **keys: Any) -> AsyncIterator[Mixpanel]:
    keys = {"gdpr_token": Secret("the oauth token")} | keys
    config = MixpanelConfig(token=Secret("project-token"), url=vendor.url, **keys)
    destination = Mixpanel(config, make_context(tmp_path))
    await destination.start()
    try:
        yield destination
    finally:
        await destination.stop()


def created(task: str) -> Answer:
    """An answer as in Mixpanel's documentation."""
    task_ = {"status": "PENDING", "tracking_id": task, "compliance_type": "gdpr"}
    return Answer(json={"status": "ok", "results": [task_]})


def standing(status: str) -> Answer:
    return Answer(json={"status": "ok", "results": {"status": status, "distinct_ids": ["ada"]}})


async def test_a_task_is_created(tmp_path: Path) -> None:
    """The header has the OAuth token, the query the project's token, and the body distinct ids."""
    async with FakeVendor(created("77")) as vendor, running(vendor, tmp_path) as destination:
        found = await destination.erase(Subjects(frozenset({"ada"}), frozenset({"dev"})))
        assert (found.status, found.items, found.job) == ("RUNNING", 2, "77")
        (request,) = vendor.requests
        assert request.method == "POST"
        assert request.path == "/api/app/data-deletions/v3.0/?token=project-token"
        assert request.headers["Authorization"] == "Bearer the oauth token"
        assert request.json() == {
            "distinct_ids": ["$device:dev", "ada"],
            "compliance_type": "GDPR",
        }


async def test_many_users_are_several_tasks(tmp_path: Path) -> None:
    """A task has up to 1,999 ids, and all are asked for until all are done."""
    answers = [created("1"), created("2"), created("3"), standing("SUCCESS")]
    answers += [standing("STAGING"), standing("SUCCESS"), standing("SUCCESS")]
    async with FakeVendor(*answers) as vendor, running(vendor, tmp_path) as destination:
        found = await destination.erase(Subjects(frozenset(map(str, range(5000)))))
        assert found.job == "1,2,3"
        sizes = [len(request.json()["distinct_ids"]) for request in vendor.requests]
        assert sizes == [1999, 1999, 1002]
        found = await destination.erase(Subjects(), found.job)
        assert (found.status, found.job) == ("RUNNING", "2")
        found = await destination.erase(Subjects(), found.job)
        assert found == Erasure("FINISHED", detail="deleted by Mixpanel")
        assert vendor.requests[-1].path == "/api/app/data-deletions/v3.0/2?token=project-token"


@pytest.mark.parametrize("status", ["FAILURE", "REVOKED", "NOT_FOUND", "anything"])
async def test_a_task_that_fails(tmp_path: Path, status: str) -> None:
    """A failed task is reported to a person."""
    async with FakeVendor(standing(status)) as vendor, running(vendor, tmp_path) as destination:
        with pytest.raises(Permanent, match=status):
            await destination.erase(Subjects(), "77")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(401, b"ada is not to be deleted"), Misconfigured),
        (Answer(429, b"ada", headers={"Retry-After": "30"}), Retryable),
        (Answer(503, b"ada"), Retryable),
        (Answer(400, b"no such user: ada"), Permanent),
        (Answer(json={"status": "error"}), Misconfigured),
        (Answer(json=[]), Misconfigured),
        (Answer(json={"status": "ok", "results": []}), Permanent),
        (Answer(json={"status": "ok", "results": {"tracking_id": "1,2"}}), Permanent),
    ],
)
async def test_refusals(tmp_path: Path, answer: Answer, error: type[Exception]) -> None:
    """The status decides, and the vendor's text, which may name the user, is not shown."""
    async with FakeVendor(answer) as vendor, running(vendor, tmp_path) as destination:
        with pytest.raises(error) as caught:
            await destination.erase(ADA)
        assert "ada" not in str(caught.value)


async def test_without_a_token_it_is_for_a_person(tmp_path: Path) -> None:
    """Without a token nothing is sent, and the report says what to do."""
    async with FakeVendor() as vendor, running(vendor, tmp_path, gdpr_token=None) as destination:
        found = await destination.erase(ADA)
        assert found.status == "NOT_SUPPORTED"
        assert "gdpr_token" in found.detail
        assert not vendor.requests
