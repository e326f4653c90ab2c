"""The pytest plugin: makes a test of each scene of a contract, and of each golden case.

It is an entry point of the group ``pytest11``, and does nothing unless a test uses its markers.

* ``@pytest.mark.destination_contract(plugin, config, receiver)`` needs an argument
  `contract_scene`. It takes the arguments of `gateway.testing.check_destination_contract`.
* ``@pytest.mark.golden(path, plugin, config)`` needs an argument `golden_case`. It takes the
  arguments of `gateway.testing.golden`; the path is relative to the file of the test.

The test calls `check` of this argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["pytest_configure", "pytest_generate_tests"]

_MARKERS = (
    "destination_contract(plugin, config, receiver): what `contract_scene` puts to the test",
    "golden(path, plugin, config): the file of cases that `golden_case` goes through",
)


def pytest_configure(config: pytest.Config) -> None:
    """Registers the markers."""
    for line in _MARKERS:
        config.addinivalue_line("markers", line)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes a test of each scene, and of each case."""
    if "contract_scene" in metafunc.fixturenames:
        from gateway.testing import contract_scenes

        marker = _marker(metafunc, "destination_contract", "contract_scene")
        scenes = contract_scenes(*marker.args, **marker.kwargs)
        metafunc.parametrize("contract_scene", scenes, ids=str)
    if "golden_case" in metafunc.fixturenames:
        from gateway.testing import golden_cases

        marker = _marker(metafunc, "golden", "golden_case")
        path, *others = marker.args
        cases = golden_cases(metafunc.definition.path.parent / path, *others, **marker.kwargs)
        metafunc.parametrize("golden_case", cases, ids=str)


def _marker(metafunc: pytest.Metafunc, name: str, argument: str) -> pytest.Mark:
    marker = metafunc.definition.get_closest_marker(name)
    if marker is None:
        import pytest

        raise pytest.UsageError(
            f"{metafunc.definition.nodeid} takes {argument!r} and lacks @pytest.mark.{name}(...)"
        )
    return marker
