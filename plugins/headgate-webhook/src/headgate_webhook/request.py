"""Requests: the body, and the headers that identify, date and sign it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from gateway import NDJSON_MEDIA_TYPE, Event, encode_ndjson, gzip_body
from headgate_webhook.config import WebhookConfig

__all__ = ["build", "idempotency_key", "sign"]


def idempotency_key(destination_id: str, events: Sequence[Event], offsets: Sequence[int]) -> str:
    """Returns a key for exactly these events: the same on every retry, different for other events.

    It includes message ids, as offsets start over when the gateway's data is deleted.
    """
    digest = hashlib.sha256(destination_id.encode())
    for offset, event in zip(offsets, events, strict=True):
        digest.update(f"\0{offset}\0{event.message_id}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Returns ``X-Headgate-Signature``: HMAC-SHA-256 of the time, a dot, and the body as sent."""
    message = b"%d." % timestamp + body
    mac = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={mac}"


async def build(
    config: WebhookConfig,
    destination_id: str,
    events: Sequence[Event],
    offsets: Sequence[int],
    attempt: int,
    timestamp: int,
) -> tuple[dict[str, str], bytes]:
    """Returns headers and body of a request for at least one event.

    Args:
        timestamp: Unix time in seconds, for the signature.
    """
    if config.format == "ndjson":
        content_type, body = NDJSON_MEDIA_TYPE, encode_ndjson(events)
    else:
        content_type = "application/json"
        opening, closing = (b'{"batch":[', b"]}") if config.format == "json" else (b"[", b"]")
        body = opening + b",".join([event.to_json() for event in events]) + closing
    headers = {name: value.reveal() for name, value in config.headers.items()}
    headers["Content-Type"] = content_type
    if config.compress == "gzip":
        headers["Content-Encoding"] = "gzip"
        body = await gzip_body(body)
    headers["Idempotency-Key"] = idempotency_key(destination_id, events, offsets)
    headers["X-Headgate-Batch"] = f"{destination_id}/{offsets[0]}-{offsets[-1]}"
    headers["X-Headgate-Attempt"] = str(attempt)
    if config.secret is not None:
        headers["X-Headgate-Signature"] = sign(config.secret.reveal(), timestamp, body)
    return headers, body
