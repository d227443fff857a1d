"""A pytest plugin: tests of many examples come last, because most mutants are killed by the first quick one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import is_hypothesis_test

if TYPE_CHECKING:
    import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests, otherwise in the order in which they are written."""
    items.sort(key=lambda item: (is_hypothesis_test(getattr(item, "obj", None)), item.nodeid))
