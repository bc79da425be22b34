"""The order in which pytest-xdist gives the modules to its processes.

By itself, xdist begins with the modules of many tests, so that the few long tests with real processes come last. Then
one process runs them, while the others have nothing left to do.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

__all__ = ["pytest_collection_modifyitems", "pytest_xdist_make_scheduler"]

_FLEET = "tests/fleet/"
#: The longest modules, which begin first.
_LONG = (
    "tests/_money/test_pay.py",
    "tests/_money/test_pay_schedules.py",
    "tests/webhooks/test_webhook_fleet.py",
    _FLEET,
    "tests/test_docs.py",
    "tests/cli/test_pay.py",
    "tests/_money/test_pay_fleet.py",
    "tests/stores/test_contract.py",
    "tests/cli/test_killed.py",
    "tests/_money/test_readme_job.py",
    "tests/stores/",
)


def _place(item: pytest.Item) -> int:
    return next((place for place, path in enumerate(_LONG) if item.nodeid.startswith(path)), len(_LONG))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest modules; the others keep their order."""
    items.sort(key=_place)


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives a process one module at a time, and all fleets to the same one: a fleet alone has 32 processes."""

    def _split_scope(self, nodeid: str) -> str:
        return _FLEET if nodeid.startswith(_FLEET) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _Scheduling:
    """Return the scheduler of a run with several processes."""
    return _Scheduling(config, log)
