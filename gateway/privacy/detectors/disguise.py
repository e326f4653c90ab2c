"""Disguises personal data that a detector has found, and brings its spellings to one form."""

from __future__ import annotations

import ipaddress
import unicodedata
from urllib.parse import quote

from gateway.privacy.detectors.cards import digits_of
from gateway.privacy.detectors.detect import Kind
from gateway.privacy.detectors.emails import split_email
from gateway.privacy.detectors.encoded import decoded
from gateway.privacy.detectors.ip_addresses import coarse_ip

__all__ = ["MASKED", "canonical", "disguise"]

MASKED = "***"
"""Replaces hidden text, whatever its length."""

_NORTH_AMERICAN_DIGITS = 10


def disguise(kind: Kind, text: str) -> str:
    """Hides most of a text that `Detector.find` found.

    ``j***@example.com``, ``***1111`` (card), ``***67`` (phone), ``DE***3000`` (iban),
    ``***20`` (national_id), ``203.0.113.0``, ``2001:db8:1::``, ``***`` (secret)
    """
    if kind == "email":
        name, sign, domain = split_email(text)
        if "%" in name:
            return f"{_encoded_initial(name)}{MASKED}{sign}{domain}"
        return f"{name[0] if len(name) > 2 else ''}{MASKED}{sign}{domain}"
    text = decoded(text)
    if kind == "ip":
        return coarse_ip(text)
    if kind == "secret":
        return MASKED
    if kind == "iban":
        return f"{text[:2].upper()}{MASKED}{canonical(kind, text)[-4:]}"
    digits = digits_of(text)
    return MASKED + (digits[-4:] if kind == "card" else digits[-2:])


def _encoded_initial(name: str) -> str:
    """Returns the first letter of a percent-encoded name; none of a short one."""
    plain = decoded(name)
    return quote(plain[0]) if len(plain) > 2 else ""


def canonical(kind: Kind, text: str) -> str:
    """Returns one spelling for all spellings of the same value, so that their hashes are equal.

    E-mail in lower case, card as digits, phone as ``+`` and digits, IP address compressed, account
    and identity numbers in capitals without separators. Secrets stay as they are.
    """
    text = decoded(text)
    if kind == "email":
        return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).lower()
    if kind == "ip":
        address = ipaddress.ip_address(text)
        return str(getattr(address, "ipv4_mapped", None) or address)
    if kind == "card":
        return digits_of(text)
    if kind == "secret":
        return text
    if kind == "phone":
        national = digits_of(text.replace("(0)", ""))
        has_country = text[0] == "+" or len(national) > _NORTH_AMERICAN_DIGITS
        return f"+{national}" if has_country else f"+1{national}"
    return "".join(filter(str.isalnum, text)).upper()
