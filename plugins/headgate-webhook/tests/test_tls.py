"""Certificates that the destination trusts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway import Misconfigured, Secret
from gateway.testing import FakeVendor, make_batch, make_context
from headgate_webhook import WebhookConfig
from headgate_webhook.destination import Webhook


async def test_an_unknown_certificate_is_refused(make: Any, secure: FakeVendor) -> None:
    """Nothing is sent to a server with an unknown certificate; the events are kept."""
    destination = await make(secure.url)
    with pytest.raises(Misconfigured, match="certificate"):
        await destination.send(make_batch())
    with pytest.raises(Misconfigured, match="certificate"):
        await destination.check()
    assert secure.requests == []


async def test_a_certificate_of_our_own(make: Any, secure: FakeVendor) -> None:
    """With ``ca_file``, relative to the config file, a private certificate is trusted."""
    destination = await make(secure.url, ca_file="ca.pem")
    await destination.check()
    assert secure.requests == []
    await destination.send(make_batch())
    assert len(secure.requests) == 1


async def test_verification_can_be_switched_off(make: Any, secure: FakeVendor) -> None:
    """With ``verify_tls = false`` any certificate works, and the log warns."""
    with capture_logs() as logs:
        destination = await make(secure.url, verify_tls=False)
    await destination.check()
    await destination.send(make_batch())
    assert len(secure.requests) == 1
    assert [entry["log_level"] for entry in logs] == ["warning"]


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    """A missing or empty ``ca_file`` stops the start with its name."""
    if content is not None:
        (tmp_path / "mine.pem").write_text(content)
    config = WebhookConfig(url=Secret("https://localhost/"), ca_file="mine.pem")
    destination = Webhook(config, make_context(tmp_path))
    with pytest.raises(Misconfigured, match="ca_file"):
        await destination.start()
    await destination.stop()
