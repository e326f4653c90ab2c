"""Finds payment card numbers in text.

The check digit follows ISO/IEC 7812-1 (annex B, the Luhn formula). Ranges and lengths come from
https://en.wikipedia.org/wiki/Payment_card_number, without those that are no longer issued: cards
with 13 digits that begin with 4 ended in the nineties, but many shops have such ids.
"""

from __future__ import annotations

import re

__all__ = ["SPACES", "digits_of", "find_cards", "is_card", "luhn"]

SPACES = " \u00a0\u202f"
"""Characters that separate groups of digits, beside the hyphen and the plus of a query string."""

# First and last prefix, padded to six digits, and the lengths in use.
_CARD_RANGES: tuple[tuple[int, int, frozenset[int]], ...] = tuple(
    (first, last, frozenset(lengths))
    for first, last, lengths in (
        (220000, 220499, range(16, 20)),  # Mir
        (222100, 272099, (16,)),  # Mastercard
        (300000, 305999, (14, 16)),  # Diners Club
        (309500, 309599, (14, 16)),
        (340000, 349999, (15,)),  # American Express
        (352800, 358999, range(16, 20)),  # JCB
        (360000, 369999, (14, 16)),  # Diners Club
        (370000, 379999, (15,)),  # American Express
        (380000, 399999, (14, 16)),  # Diners Club
        (400000, 499999, (16, 19)),  # Visa
        (501800, 501999, range(13, 20)),  # Maestro, Dankort
        (502000, 502099, range(13, 20)),
        (503800, 503899, range(13, 20)),
        (506099, 506198, (16, 18, 19)),  # Verve
        (506699, 506778, (16,)),  # Elo
        (507865, 507964, (16, 18, 19)),  # Verve
        (508000, 508999, (16,)),  # RuPay
        (509000, 509999, (16,)),  # Elo
        (510000, 559999, (16,)),  # Mastercard
        (589300, 589399, range(13, 20)),  # Maestro
        (600000, 609999, (16,)),  # RuPay
        (601100, 601199, range(16, 20)),  # Discover
        (620000, 629999, range(16, 20)),  # UnionPay
        (630400, 630499, range(13, 20)),  # Maestro
        (636000, 639999, (16,)),  # InterPayment, InstaPayment, Elo
        (644000, 659999, range(16, 20)),  # Discover
        (675900, 676399, range(13, 20)),  # Maestro
        (810000, 829999, range(16, 20)),  # UnionPay, RuPay
        (860000, 860099, (16,)),  # UzCard
        (979200, 979299, (16,)),  # Troy
        (986000, 986099, (16,)),  # Humo
    )
)
# The digit comes before the look-behinds, so that `re` can skip to digits fast.
_CARD = re.compile(
    rf"""[0-9](?<!\w.)(?<![0-9][.,].)
    (?: [0-9]{{12,18}}
      | [0-9]{{3}}(?P<s>[{SPACES}+-])[0-9]{{4}}(?P=s)[0-9]{{4}}(?P=s)[0-9]{{1,4}}(?P<fours>)
        (?:(?P=s)[0-9]{{1,3}})?
      | [0-9]{{3}}(?P<t>[{SPACES}+-])[0-9]{{6}}(?P=t)[0-9]{{4,5}}
    )(?!\w)""",
    re.VERBOSE,
)
# No time in milliseconds begins with one of these.
_FIRST_DIGITS = frozenset(str(first)[0] for first, _, _ in _CARD_RANGES)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_LONGEST_GTIN = 14


def is_card(digits: str) -> bool:
    """Tells whether a text of ASCII digits is a card number."""
    length = len(digits)
    if not 13 <= length <= 19 or digits[0] not in _FIRST_DIGITS or not luhn(digits):
        return False
    prefix = int(digits[:6])
    issued = any(
        first <= prefix <= last and length in lengths for first, last, lengths in _CARD_RANGES
    )
    return issued and (length > _LONGEST_GTIN or not _is_gtin(digits))


def luhn(digits: str) -> bool:
    """Tells whether the last digit is the Luhn check digit of the others."""
    numbers = [ord(digit) - 48 for digit in reversed(digits)]
    return (sum(numbers[::2]) + sum(_DOUBLED[number] for number in numbers[1::2])) % 10 == 0


def _is_gtin(digits: str) -> bool:
    """Tells whether the last digit is a barcode's check digit (GS1 General Specifications 7.9)."""
    numbers = [ord(digit) - 48 for digit in reversed(digits)]
    return (sum(numbers[::2]) + 3 * sum(numbers[1::2])) % 10 == 0


def find_cards(text: str) -> list[tuple[int, int]]:
    """Returns the span of each card number in a text."""
    spans = []
    position = 0
    while match := _CARD.search(text, position):
        position = match.start() + 1
        for end in (match.end(), match.end("fours")):
            if end > 0 and is_card(digits_of(text[match.start() : end])):
                spans.append((match.start(), end))
                position = end
                break
    return spans


def digits_of(text: str) -> str:
    """Returns the ASCII digits of a text."""
    return "".join(re.findall("[0-9]+", text))
