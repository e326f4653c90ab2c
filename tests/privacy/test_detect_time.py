"""The time that detection takes."""

from __future__ import annotations

import time

import pytest

from gateway.privacy.detectors.detect import Detector
from tests.support.sizes import sizes

ALL = Detector()
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


ADVERSARIAL = [
    "a",
    "a@",
    "@a.",
    "a.",
    "%40",
    "a@b.",
    "a@b.co",
    "%2B1",
    "%2",
    "1",
    "4111 ",
    "4111 1111 1111 1111 ",
    "411111111111111 ",
    "+1 ",
    "+",
    "555-",
    "555-234-5678 ",
    "(555) 234-5678+4412345678901 j@k.lm ",
    "1.",
    "1.2.3.4 ",
    "::",
    "1:",
    "1::2:3:4:5 1.2.3.4 ",
    "::1.2.3.4",
    " ",
    "(",
    "-",
    "eyJ",
    "eyJhbGciOiJ.",
    JWT,
    "://",
    "://a:b@",
    "?token=",
    "&token=a",
    "Bearer a",
    "-----BEGIN PRIVATE KEY-----",
    "sk_live_",
    "xoxb-",
    "DE89 ",
    "DE89 3704 0044 0532 0130 00 ",
    "DE89370400440532013000 ",
    "536-22-1234 ",
    "123.456.789-09 ",
    "46 ",
    "%25",
    "%2520",
    "%40%2E",
    "2341 ",
    "1 85 05 78 006 084 91 ",
]


@pytest.mark.parametrize("unit", ADVERSARIAL)
@sizes("characters", small=20_000, full=80_000)
def test_searching_takes_linear_time(unit: str, characters: int) -> None:
    """A text four times as long takes about four times as long."""

    def seconds(length: int) -> float:
        text = (unit * (length // len(unit) + 1))[:length]
        best = 9e9
        for _ in range(4):
            start = time.process_time()
            ALL.find(text)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(characters) < 9 * seconds(characters // 4) + 0.002
