"""Detection of personal data in texts."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.builtin.transforms.mask.rules import DEFAULT_DETECT
from gateway.privacy.detectors import detect
from gateway.privacy.detectors.cards import is_card
from gateway.privacy.detectors.detect import KINDS, Detector, Kind
from gateway.privacy.detectors.disguise import canonical, disguise

ALL = Detector()
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
DEFAULT = Detector(DEFAULT_DETECT)


def found(text: str, detector: Detector = ALL) -> list[tuple[str, str]]:
    """Returns kind and text of each finding."""
    return [(item.kind, text[item.start : item.end]) for item in detector.find(text)]


def masked(text: str, detector: Detector = ALL) -> str:
    """Returns the text with each finding disguised."""
    for item in reversed(detector.find(text)):
        piece = text[item.start : item.end]
        text = text[: item.start] + disguise(item.kind, piece) + text[item.end :]
    return text


@pytest.mark.parametrize(
    ("kind", "text", "disguised", "spelling"),
    [
        ("email", "jane.doe@example.com", "j***@example.com", "jane.doe@example.com"),
        ("email", "Jane@Example.CO.uk", "J***@Example.CO.uk", "jane@example.co.uk"),
        ("email", "jo@example.com", "***@example.com", "jo@example.com"),
        ("email", "jane%40example.com", "j***%40example.com", "jane@example.com"),
        ("email", "jane%2540example.com", "j***%2540example.com", "jane@example.com"),
        ("email", "jane%2Btag@example.com", "j***@example.com", "jane+tag@example.com"),
        ("email", "jörg@exämple.de", "j***@exämple.de", "jörg@exämple.de"),
        ("email", "%6Aane%40x.org", "j***%40x.org", "jane@x.org"),
        ("email", "j%C3%B6rg%40ex%C3%A4mple.de", "j***%40ex%C3%A4mple.de", "jörg@exämple.de"),
        ("email", "%D0%B8%D0%B2%D0%B0%40x.org", "%D0%B8***%40x.org", "ива@x.org"),
        ("email", "jo\u0308rg@exa\u0308mple.de", "j***@exa\u0308mple.de", "jörg@exämple.de"),
        ("email", "用户@例子.公司", "***@例子.公司", "用户@例子.公司"),
        ("card", "%34111%C2%A01111%C2%A01111%C2%A01111", "***1111", "4111111111111111"),
        ("phone", "1-555-234-5678", "***78", "+15552345678"),
        ("phone", "1 (555) 234-5678", "***78", "+15552345678"),
        ("national_id", "131052A308T", "***08", "131052A308T"),
        ("national_id", "010594Y9032", "***32", "010594Y9032"),
        ("national_id", "19811228-9874", "***74", "198112289874"),
        ("national_id", "900101-1234567", "***67", "9001011234567"),
        ("email", "x_1@a.xn--p1ai", "x***@a.xn--p1ai", "x_1@a.xn--p1ai"),
        ("email", "a@b.org@c.org", "a***@c.org", "a@b.org@c.org"),
        ("card", "4111111111111111", "***1111", "4111111111111111"),
        ("card", "5555 5555 5555 4444", "***4444", "5555555555554444"),
        ("card", "5555\u00a05555\u00a05555\u00a04444", "***4444", "5555555555554444"),
        ("card", "3782-822463-10005", "***0005", "378282246310005"),
        ("card", "3056 930902 5904", "***5904", "30569309025904"),
        ("card", "5018 0000 0009 8", "***0098", "5018000000098"),
        ("card", "6205500000000000004", "***0004", "6205500000000000004"),
        ("phone", "+49 30 1234567", "***67", "+49301234567"),
        ("phone", "+44 (0) 20 7946 0958", "***58", "+442079460958"),
        ("phone", "+1 (555) 234-5678", "***78", "+15552345678"),
        ("phone", "(555) 234-5678", "***78", "+15552345678"),
        ("phone", "555-234-5678", "***78", "+15552345678"),
        ("phone", "+33.6.12.34.56.78", "***78", "+33612345678"),
        ("phone", "%2B33612345678", "***78", "+33612345678"),
        ("ip", "203.0.113.77", "203.0.113.0", "203.0.113.77"),
        ("iban", "DE89370400440532013000", "DE***3000", "DE89370400440532013000"),
        ("iban", "gb29 nwbk 6016 1331 9268 19", "GB***6819", "GB29NWBK60161331926819"),
        ("iban", "NO9386011117947", "NO***7947", "NO9386011117947"),
        ("national_id", "536-22-1234", "***34", "536221234"),
        ("national_id", "912-70-1234", "***34", "912701234"),
        ("national_id", "130 692 544", "***44", "130692544"),
        ("national_id", "529.982.247-25", "***25", "52998224725"),
        ("national_id", "811218-9876", "***76", "8112189876"),
        ("national_id", "131052-308T", "***08", "131052308T"),
        ("national_id", "1 85 05 78 006 084 91", "***91", "185057800608491"),
        ("national_id", "2341 2341 2346", "***46", "234123412346"),
        ("national_id", "11010519491231002X", "***02", "11010519491231002X"),
        ("national_id", "820701-2409181", "***81", "8207012409181"),
        ("secret", JWT, "***", JWT),
        ("secret", "AKIAIOSFODNN7EXAMPLE", "***", "AKIAIOSFODNN7EXAMPLE"),
        ("secret", "sk_live_" + "a1" * 12, "***", "sk_live_" + "a1" * 12),
        ("secret", "ghp_" + "a1" * 18, "***", "ghp_" + "a1" * 18),
        ("ip", "2001:DB8:1:2::7", "2001:db8:1::", "2001:db8:1:2::7"),
        ("ip", "::ffff:203.0.113.77", "::ffff:203.0.113.0", "203.0.113.77"),
    ],
)
def test_forms_of_each_kind(kind: Kind, text: str, disguised: str, spelling: str) -> None:
    """Each form is found as a whole, disguised as documented, and has one spelling for hashes."""
    assert ALL.classify(text) == kind
    assert Detector([kind]).classify(text) == kind
    assert disguise(kind, text) == disguised
    assert canonical(kind, text) == spelling


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mail <jane@example.com>, please.", "Mail <j***@example.com>, please."),
        ("'jane@example.com'", "'j***@example.com'"),
        ("https://x.org/?email=jane%40x.org&a=1", "https://x.org/?email=j***%40x.org&a=1"),
        ("q=mail%20jane%40x.org", "q=mail%20j***%40x.org"),
        ("https://u:secret@x.org/", "https://***@x.org/"),
        ("请联系jane@x.org谢谢", "请联系j***@x.org谢谢"),
        ("jane@x.org,joe.b@y.org", "j***@x.org,j***@y.org"),
        ("pay 4111 1111 1111 1111 123 now", "pay ***1111 123 now"),
        ("1234 5678 4111 1111 1111 1111", "1234 5678 ***1111"),
        ("4111111111111111.0", "***1111.0"),
        ("call +1 555 234 5678 or 555-234-5679.", "call ***78 or ***79."),
        ("1.2.3.4, 5.6.7.8:80", "1.2.3.0, 5.6.7.0:80"),
        ("http://[2001:db8:1:2::7]:443/", "http://[2001:db8:1::]:443/"),
        ("from 9.8.7.6.", "from 9.8.7.0."),
        ("https://x.org/?a=1&access_token=abc#x", "https://x.org/?a=1&access_token=***#x"),
        ("/r?to=https%3A%2F%2Fu%3Ap%40x.org%2F", "/r?to=https%3A%2F%2F***%40x.org%2F"),
        ("/r?to=%2Fa%3Fpassword%3Dhunter2%26b", "/r?to=%2Fa%3Fpassword%3D***%26b"),
        ("?n=4111%201111%201111%201111&x", "?n=***1111&x"),
        ("?n=4111+1111+1111+1111", "?n=***1111"),
        ("Authorization: Bearer abcdefghijklmnopqrstuv", "Authorization: Bearer ***"),
        ("authorization: bearer abcdefghijklmnopqrstuv", "authorization: bearer ***"),
        ("password=hunter22&user=jane", "password=***&user=jane"),
        ("sent token=abc, id=7", "sent token=*** id=7"),
        ("call 1-555-234-5678 or 1 555 234 5679.", "call ***78 or ***79."),
        ("%E8%AF%B7jane%40x.org", "%E8%AF%B7j***%40x.org"),
        ("to DE89 3704 0044 0532 0130 00 today", "to DE***3000 today"),
        ("a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----", "a ***"),
        ("fe80:1:2:3::1%eth0", "fe80:1:2::%eth0"),
    ],
)
def test_findings_within_a_text(text: str, expected: str) -> None:
    """Personal data is found within other text, which stays as it is."""
    assert masked(text) == expected


HARMLESS = [
    "logo@2x.png",
    "https://cdn.example/icons/cart@3x.webp?v=2",
    "@segment/analytics-react-native",
    "react@18.2.0",
    "https://example.com/@jane.doe",
    "user@localhost",
    "a@b.c",
    "@",
    "%40",
    "100% @ 5.99",
    "4111111111111112",
    "1111111111111117",
    "x4111111111111111",
    "4111111111111111x",
    "0.4111111111111111",
    "41111111111111111111111",
    "4111 1111 11111111",
    "4111-1111 1111-1111",
    "4006381333931",
    "4222222222222",
    "9400 1118 9922 3385 2345 67",
    "112-1234567-1234567",
    "2024-01-15T10:30:00.000+05:30",
    "2024-01-15 10:30:00",
    "+12 345",
    "+12345678",
    "+40.68941234",
    "+40.6894-074.0447/",
    "+1 055 234 5678",
    "155-234-5678",
    "1-055-234-5678",
    "2-1-555-234-5678",
    "1.555.234.5678",
    "131052A308U",
    "19811228-9875",
    "901301-1234567",
    "reset_token_count=3",
    "%FFjane%C3%40",
    "100%25",
    "555-234-56789",
    "555-1234",
    "555.234.5678",
    "0171 1234567",
    "078-05-1120",
    "000-12-3456",
    "900-12-3456",
    "12345-6789",
    "DE89370400440532013001",
    "DE8937040044053201300",
    "046 454 287",
    "529.982.247-26",
    "811218-9875",
    "sk-cast-iron-skillet-with-wooden-handle",
    "Bearer of bad news",
    "https://x.org/?code=SUMMER&tokens=3",
    "eyJ",
    "+1234567890123",
    "1:2:3:4:5:6:7:8",
    "10:30:00",
    "00:1A:2B:3C:4D:5E",
    "std::vector<a::b>",
    "::1",
    "127.0.0.1",
    "0.0.0.0",
    "v1.2.3.4",
    "1.2.3.4.5",
    "1.2.3",
    "256.1.1.1",
    "Chrome/120.0.0.0 Safari/537.36",
    "fb.1.1596403881668.1116446470",
    "GA1.2.1033501218.1368477899",
]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_similar_is_left_alone(text: str) -> None:
    """Versions, times, barcodes, ids and pictures are not personal data."""
    assert found(text) == []


def test_overlapping_kinds_are_found_once() -> None:
    """An e-mail address made of digits is found as an address only."""
    assert found("4111111111111111@example.com") == [("email", "4111111111111111@example.com")]
    assert found("555-234-5678@example.com, 555-234-5678") == [
        ("email", "555-234-5678@example.com"),
        ("phone", "555-234-5678"),
    ]


def _iso(rng: random.Random) -> str:
    moment = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(milliseconds=rng.randrange(2 * 10**11))
    return moment.isoformat(sep=rng.choice("T "), timespec="milliseconds")


def _day(rng: random.Random) -> datetime:
    return datetime(2018, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(9 * 365))


def _four(rng: random.Random) -> str:
    return f"{rng.randrange(10**4):04}"


SAMPLES: dict[str, tuple[Callable[[random.Random], str], float]] = {
    # Kind of value: how to make one, and the share that may be taken for something personal.
    "order number": (lambda r: f"{r.randrange(10 ** r.randrange(4, 12))}", 0),
    "order id with letters": (lambda r: f"ORD-{r.randrange(10**10):010}-{r.choice('ABC')}", 0),
    "Amazon order id": (lambda r: f"{r.randrange(999):03}-{r.randrange(10**7):07}-1234567", 0),
    "ISO time": (_iso, 0),
    "epoch seconds": (lambda r: str(1_500_000_000 + r.randrange(5 * 10**8)), 0),
    "epoch milliseconds": (lambda r: str(1_500_000_000_000 + r.randrange(5 * 10**11)), 0),
    "epoch microseconds": (lambda r: str(1_500_000_000_000_000 + r.randrange(5 * 10**14)), 0),
    "price": (lambda r: f"{r.randrange(10**7) / 100:.2f}", 0),
    "float": (lambda r: repr(r.random() * 10 ** r.randrange(-3, 6)), 0),
    "coordinates": (lambda r: f"{r.uniform(-90, 90):+.7f},{r.uniform(-180, 180):+.7f}", 0),
    "UUID": (lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)), 0),
    "hash": (lambda r: f"{r.getrandbits(256):064x}", 0),
    "object id": (lambda r: f"{r.getrandbits(96):024x}", 0),
    "SKU": (lambda r: f"{r.choice('ABCDEF')}{r.randrange(99999):05}-{r.randrange(99):02}-XL", 0),
    "EAN": (lambda r: _with_gtin_digit(f"{r.randrange(10**12):012}"), 0),
    "version": (lambda r: f"{r.randrange(20)}.{r.randrange(30)}.{r.randrange(99)}", 0),
    "US ZIP+4": (lambda r: f"{r.randrange(10**5):05}-{r.randrange(10**4):04}", 0),
    "13-digit id": (lambda r: str(r.randrange(10**12, 10**13)), 0.001),
    "16-digit id": (lambda r: str(r.randrange(10**15, 10**16)), 0.04),
    "NNNNNN-NNNN": (lambda r: f"{r.randrange(10**6):06}-{r.randrange(10**4):04}", 0.01),
    "YYMMDD-NNNN": (lambda r: f"{_day(r):%y%m%d}-{r.randrange(10**4):04}", 0.14),
    "YYYYMMDD-NNNN": (lambda r: f"{_day(r):%Y%m%d}-{r.randrange(10**4):04}", 0.12),
    "YYMMDD-NNNNNNN": (lambda r: f"{_day(r):%y%m%d}-{r.randrange(10**7):07}", 0.53),
    "NNN-NN-NNNN": (lambda r: f"{r.randrange(1000):03}-{r.randrange(100):02}-{_four(r)}", 0.95),
    "NNN-NNN-NNN": (lambda r: "-".join(f"{r.randrange(1000):03}" for _ in range(3)), 0.1),
    "NNN-NNN-NNNN": (lambda r: f"{r.randrange(1000):03}-{r.randrange(1000):03}-{_four(r)}", 0.66),
    "NNNN NNNN NNNN": (lambda r: " ".join(_four(r) for _ in range(3)), 0.1),
    "NNNNNNANNNA": (lambda r: f"{r.randrange(10**6):06}A{r.randrange(1000):03}X", 0.002),
    "version of four parts": (lambda r: ".".join(str(r.randrange(99)) for _ in range(4)), 1),
    "15-digit id": (lambda r: str(r.randrange(10**14, 10**15)), 0.007),
    "18-digit id": (lambda r: str(r.randrange(10**17, 10**18)), 0.007),
    "19-digit id": (lambda r: str(r.randrange(10**18, 10**19)), 0.025),
}


def _with_gtin_digit(digits: str) -> str:
    total = sum(int(d) * (3 if i % 2 == 0 else 1) for i, d in enumerate(reversed(digits)))
    return digits + str(-total % 10)


@pytest.mark.parametrize("sample", SAMPLES)
def test_how_often_harmless_values_are_mistaken(sample: str) -> None:
    """Of 5000 values of each kind, no more are mistaken for personal data than the guide says."""
    make, allowed = SAMPLES[sample]
    rng = random.Random(sample)
    values = [make(rng) for _ in range(5000)]

    mistaken = [value for value in values if DEFAULT.find(value)]

    assert len(mistaken) <= allowed * len(values), mistaken[:5]


def _with_luhn_digit(digits: str) -> str:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        doubled = int(digit) * 2 if index % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)


@given(
    st.sampled_from([("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("6011", 16), ("3528", 16)]),
    st.data(),
)
def test_every_number_of_a_scheme_with_its_check_digit_is_a_card(
    scheme: tuple[str, int], data: st.DataObject
) -> None:
    """Every number of a card scheme is a card with its check digit, and with no other."""
    prefix, length = scheme
    rest = data.draw(st.text("0123456789", min_size=length, max_size=length))
    number = _with_luhn_digit((prefix + rest)[: length - 1])
    others = [number[:-1] + digit for digit in "0123456789" if digit != number[-1]]

    assert is_card(number)
    assert not any(map(is_card, others))
    assert found(f"no. {number}!") == [("card", number)]


_name = st.from_regex(r"[a-z0-9]([a-z0-9._+-]{0,20}[a-z0-9])?", fullmatch=True)
_domain = st.from_regex(r"([a-z0-9]{1,10}\.){1,3}[a-z]{2,6}", fullmatch=True)


@given(_name, _domain, st.sampled_from(["@", "%40", "%2540"]))
def test_every_usual_address_is_found(name: str, domain: str, sign: str) -> None:
    """An address of letters, digits and usual signs is found, alone and within text."""
    address = f"{name}{sign}{domain}"
    assume(domain[1:3] != "x.")  # may be the name of a picture

    assert found(address) == [("email", address)]
    assert found(f"To: {address} (work)") == [("email", address)]


_pieces = st.sampled_from(
    [
        *("jane@example.com", "@", "%40", "%2540", "a.b", ".", "x", "%20", "%2B", "'", "-"),
        *("4111111111111111", "4111 1111 1111 1111", "4", " ", "1111", "\u00a0", "5555"),
        *("+1 555 234 5678", "(555) 234-5678", "555-234-", "+", "(", ")", "+49301234567"),
        *(JWT, "AKIAIOSFODNN7EXAMPLE", "Bearer ", "?token=", "://", "u:p", "=", "-----BEGIN "),
        *("DE89370400440532013000", "DE89", "3704", "0044", "536-22-1234", "529.982.247-25"),
        *("2a02:8109:9c40:1a2b:3c4d:5e6f:aaaa:9c0d", "a:", "abcd:", "131052-308T"),
        *("1.2.3.4", "::ffff:", "2001:db8::1", ":", "::", "beef", "255", "\n", "é", "谢", "\0"),
    ]
)
_texts = st.lists(_pieces, max_size=10).map("".join) | st.text()


@given(_texts)
def test_findings_are_in_order_and_apart(text: str) -> None:
    """Findings are not empty, lie within the text, are sorted, and do not overlap."""
    position = 0
    for item in ALL.find(text):
        assert position <= item.start < item.end <= len(text)
        position = item.end


@given(_texts)
def test_what_is_looked_for_first_is_in_every_finding(text: str) -> None:
    """The quick check passes every text with a finding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detect, "_MAYBE", re.compile(""))
        thorough = ALL.find(text)

    assert list(ALL.find(text)) == list(thorough)


@given(st.lists(_pieces | st.text(), max_size=8).map(" ".join))
def test_masking_twice_is_masking_once(text: str) -> None:
    """A text that was masked at intake is masked again at delivery without a change."""
    once = masked(text)

    assert masked(once) == once


@given(_texts)
def test_what_is_found_can_be_spelled(text: str) -> None:
    """The canonical spelling of a finding is of the same kind or, for an IP address, equal."""
    for item in ALL.find(text):
        assert canonical(item.kind, text[item.start : item.end])


def test_kinds_are_those_that_a_config_can_name() -> None:
    """Only the requested kinds are found."""
    text = (
        "jane@example.com 4111111111111111 +1 555 234 5678 9.8.7.6 DE89370400440532013000 "
        "536-22-1234 AKIAIOSFODNN7EXAMPLE"
    )

    assert {item.kind for item in ALL.find(text)} == KINDS
    for kind in KINDS:
        assert {item.kind for item in Detector([kind]).find(text)} == {kind}
    assert not Detector([]).find(text)
