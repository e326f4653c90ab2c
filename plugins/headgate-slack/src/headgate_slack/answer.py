"""Answers of Slack: a status, and a word that tells more than the status.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks, section Handling errors.
"""

from __future__ import annotations

from gateway import Misconfigured, Reply

__all__ = ["SETTINGS_WRONG", "check_settings"]

SETTINGS_WRONG = {
    "action_prohibited": "an administrator of the workspace forbids it",
    "channel_is_archived": "the channel is archived",
    "channel_not_found": "the channel is gone",
    "invalid_token": "the webhook has been revoked",
    "no_active_hooks": "the webhook is switched off",
    "no_service": "the webhook has been removed or switched off",
    "no_service_id": "the URL is not a whole one",
    "no_team": "the URL is not a whole one, or the workspace is gone",
    "posting_to_general_channel_denied": "only administrators may write there",
    "team_disabled": "the workspace is switched off",
    "user_not_found": "the person that it writes to is gone",
}
"""Words about the webhook or its channel, not about the message, with their meanings."""

_LONGEST = 200  # bytes; a longer answer is no word


def check_settings(reply: Reply) -> None:
    """Raises if the webhook is at fault; else returns.

    Raises:
        Misconfigured: a word in the answer says so, whatever the status.
    """
    if reply.ok or len(reply.body) > _LONGEST:
        return
    word = reply.body.decode(errors="replace").strip()
    if word in SETTINGS_WRONG:
        raise Misconfigured(f"HTTP {reply.status}: {word}: {SETTINGS_WRONG[word]}")
