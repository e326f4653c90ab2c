"""The job ``audiences``, which decides about audiences at set times."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE

import msgspec

from gateway import GatewayError, JobSpec, Scope
from headgate_profiles.audiences.config import AudiencesConfig
from headgate_profiles.audiences.members import Change

__all__ = ["AUDIENCE_JOB"]


def _schedule(scope: Scope) -> str | None:
    """Returns the schedule; None without any audience."""
    settings = scope.tables["audience-job"]
    assert isinstance(settings, AudiencesConfig)
    return settings.every if scope.tables["audiences"] and scope.configs("profiles") else None


async def _run(scope: Scope) -> str:
    """Decides in a process for each destination."""
    lines: list[str] = []
    for id_ in scope.configs("profiles"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "headgate_profiles.audiences.work"),
            *(str(scope.file), id_),
            stdout=PIPE,
            stderr=PIPE,
        )
        try:
            out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            told = err.decode(errors="replace").strip().splitlines()
            raise GatewayError(told[-1] if told else f"it ended with {process.returncode}")
        lines += map(_words, msgspec.json.decode(out, type=list[Change]))
    return "; ".join(lines)


def _words(change: Change) -> str:
    figures = f"size {change.size:,}, entered {change.entered:,}, left {change.left:,}"
    return f"{change.audience}: {figures}"


AUDIENCE_JOB = JobSpec("audiences", _schedule, _run)
