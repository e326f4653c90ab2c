"""Finds bank account numbers (IBAN) and national identity numbers in text.

``iban``
    ISO 13616: the length of its country, valid check digits (mod 97-10, ISO/IEC 7064), in one piece
    or in groups of four, and nine digits in a row somewhere in it.
``national_id``
    Numbers of people that have a form of their own or a check digit: of the US (SSN and ITIN, with
    their hyphens), Canada (SIN), Brazil (CPF), Sweden, Finland, France (NIR), India (Aadhaar),
    China and South Korea. The bare digits of other countries look like order numbers: mask their
    keys by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.privacy.detectors.cards import SPACES, digits_of, luhn
from gateway.privacy.detectors.spans import apart

__all__ = ["find_ibans", "find_national_ids"]

_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU XK MN",
        21: "CH HR LI LV", 22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM TL SO",
        24: "AD CZ ES MD PK RO SA SE SK TN VG", 25: "LY PT ST", 26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV", 29: "BR EG PS QA UA",
        30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN = re.compile(
    rf"(?<!\w)[A-Za-z]{{2}}[0-9]{{2}}(?:[0-9A-Za-z]{{11,30}}|(?:[{SPACES}+][0-9A-Za-z]{{4}}){{2,7}}"
    rf"(?:[{SPACES}+][0-9A-Za-z]{{1,4}})?)(?![0-9A-Za-z])"
)
_NINE_DIGITS = re.compile("[0-9]{9}")
_GROUP = 4


def find_ibans(text: str) -> list[tuple[int, int]]:
    """Returns the span of each account number in a text."""
    spans = []
    for match in _IBAN.finditer(text):
        end = _iban_end(match[0])
        if end:
            spans.append((match.start(), match.start() + end))
    return spans


def _iban_end(text: str) -> int:
    """Returns the length of the account number at the start of a text, or 0."""
    length = _IBAN_LENGTHS.get(text[:2].upper(), 0)
    grouped = not text.isalnum()
    end = length + (length - 1) // _GROUP if grouped else length
    if not length or len(text) < end or (not grouped and len(text) != end):
        return 0
    if text[end : end + 1].isalnum():
        return 0
    bare = re.sub(f"[{SPACES}+]", "", text[:end]).upper()
    if len(bare) != length or not _NINE_DIGITS.search(bare, _GROUP):
        return 0
    number = int("".join(str(int(char, 36)) for char in bare[4:] + bare[:4]))
    return end if number % 97 == 1 else 0


def _ssn(text: str) -> bool:
    area, group, serial = text.split("-")
    if area[0] == "9":  # ITIN
        return 50 <= int(group) <= 65 or (70 <= int(group) <= 99 and int(group) not in (89, 93))
    if text in ("078-05-1120", "219-09-9999"):  # used in advertisements
        return False
    return area not in ("000", "666") and group != "00" and serial != "0000"


def _sin(text: str) -> bool:
    return text[0] not in "08" and luhn(digits_of(text))


def _cpf(text: str) -> bool:
    digits = [int(digit) for digit in digits_of(text)]
    if len(set(digits)) == 1:
        return False
    for size in (9, 10):
        total = sum(digit * (size + 1 - place) for place, digit in enumerate(digits[:size]))
        if total * 10 % 11 % 10 != digits[size]:
            return False
    return True


def _is_date(month: str, day: str) -> bool:
    return 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def _swedish(text: str) -> bool:
    digits = digits_of(text)[-10:]  # the century may stand before the year
    return _is_date(digits[2:4], digits[4:6]) and luhn(digits)


def _finnish(text: str) -> bool:
    number = int(text[:6] + text[7:10])
    check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[number % 31]
    return _is_date(text[2:4], text[:2]) and text[10].upper() == check


def _french(text: str) -> bool:
    digits = digits_of(text)
    return 97 - int(digits[:13]) % 97 == int(digits[13:])


_VERHOEFF = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_PERMUTED = (
    "0123456789", "1576283094", "5803796142", "8916043527",
    "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def _indian(text: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(digits_of(text))):
        check = int(_VERHOEFF[check][int(_PERMUTED[place % 8][int(digit)])])
    return check == 0


def _chinese(text: str) -> bool:
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(text[:17]))
    return _is_date(text[10:12], text[12:14]) and "10X98765432"[total % 11] == text[17].upper()


def _korean(text: str) -> bool:
    if not _is_date(text[2:4], text[4:6]):
        return False
    digits = [int(digit) for digit in digits_of(text)]
    total = sum(d * (place % 8 + 2) for place, d in enumerate(digits[:12]))
    if (11 - total % 11) % 10 == digits[12]:
        return True
    # Numbers since October 2020 have no check digit. The seventh digit tells the century; very few
    # live who were born before 1925, but many order numbers begin with a date of these years.
    return text[7] in "3478" or text[:2] >= "25"


_S = f"[{SPACES}]?"
_LAST_OF_NIR = ("[0-9]{3}", "[0-9]{3}", "[0-9]{2}")
_FORMS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "ssn": (r"[0-9]{3}-[0-9]{2}-[0-9]{4}", _ssn),
    "sin": (r"[0-9]{3}(?:-[0-9]{3}-| [0-9]{3} )[0-9]{3}", _sin),
    "cpf": (r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _cpf),
    "kr": (r"[0-9]{6}-[1-8][0-9]{6}", _korean),
    "se": (r"(?:1[89]|20)?[0-9]{6}[-+][0-9]{4}", _swedish),
    "fi": (r"[0-9]{6}[-+A-FU-Ya-fu-y][0-9]{3}[0-9A-Ya-y]", _finnish),
    "fr": (
        _S.join(["[12]", "[0-9]{2}", "(?:0[1-9]|1[0-2]|[2-9][0-9])", "[0-9]{2}", *_LAST_OF_NIR]),
        _french,
    ),
    "in": (r"[2-9][0-9]{3} [0-9]{4} [0-9]{4}", _indian),
    "cn": (r"[1-9][0-9]{5}(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]{4}[0-9Xx]", _chinese),
}
_PATTERNS = tuple(
    (re.compile(rf"(?<![\w+])(?<![0-9][.,-]){form}(?!\w|[.-][0-9])"), check)
    for form, check in _FORMS.values()
)
_MAYBE = re.compile(r"[0-9]{3}[0-9 .\-+\u00a0\u202f]{7}|[0-9]{6}[A-FU-Ya-fu-y][0-9]{3}[0-9A-Ya-y]")


def find_national_ids(text: str) -> list[tuple[int, int]]:
    """Returns the span of each identity number in a text."""
    if not _MAYBE.search(text):
        return []
    spans = sorted(
        match.span()
        for pattern, check in _PATTERNS
        for match in pattern.finditer(text)
        if check(match[0])
    )
    return apart(spans)
