"""Fixtures that build the transform, and files of countries."""

from __future__ import annotations

import struct
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from headgate_enrich.agents import Agents
from headgate_enrich.countries import Countries
from headgate_enrich.transform import Enrich

_STRING, _UINT16, _UINT32, _MAP, _UINT64, _ARRAY = 2, 5, 6, 7, 9, 11


def _encoded(value: Any, kind: int | None = None) -> bytes:
    """Encodes a value as MaxMind's format does; small ones only."""
    if isinstance(value, str):
        data = value.encode()
        return bytes([_STRING << 5 | len(data)]) + data
    if isinstance(value, dict):
        pairs = b"".join(_encoded(key) + _encoded(item) for key, item in value.items())
        return bytes([_MAP << 5 | len(value)]) + pairs
    if isinstance(value, list):
        return bytes([len(value), _ARRAY - 7]) + b"".join(map(_encoded, value))
    data = value.to_bytes(4, "big").lstrip(b"\0")
    return bytes([_UINT32 << 5 | len(data)]) + data


def _database(records: dict[str, dict[str, Any]]) -> bytes:
    """Returns a database of IPv4 addresses, each with its record."""
    tree: list[list[int | str | None]] = [[None, None]]
    for address in records:
        bits = f"{int(IPv4Address(address)):032b}"
        node = 0
        for bit in bits[:-1]:
            below = tree[node][int(bit)]
            if not isinstance(below, int):
                below = len(tree)
                tree.append([None, None])
                tree[node][int(bit)] = below
            node = below
        tree[node][int(bits[-1])] = address
    data, places = b"", {}
    for address, record in records.items():
        places[address] = len(data)
        data += _encoded(record)
    count = len(tree)

    def pointer(side: int | str | None) -> int:
        if side is None:
            return count
        return side if isinstance(side, int) else count + 16 + places[side]

    nodes = b"".join(struct.pack(">II", *map(pointer, node)) for node in tree)
    metadata = {
        "node_count": count,
        "record_size": 32,
        "ip_version": 4,
        "database_type": "Test",
        "languages": ["en"],
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1,
        "description": {"en": "Test"},
    }
    return nodes + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + _encoded(metadata)


@pytest.fixture
def write_countries(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file in which each address has its record."""

    def written(records: dict[str, dict[str, Any]]) -> Path:
        path = tmp_path / "countries.mmdb"
        beside = tmp_path / "new.mmdb"
        beside.write_bytes(_database(records))
        return beside.replace(path)

    return written


@pytest.fixture(scope="session")
def agents() -> Agents:
    """Reads user agents of at most 512 characters."""
    return Agents(max_chars=512, max_cached=100)


@pytest.fixture
def build(agents: Agents) -> Callable[..., Enrich]:
    """Builds the transform, with countries or without."""

    def built(countries: Countries | None = None) -> Enrich:
        return Enrich(agents, countries)

    return built
