"""What holds for all tests of waiting."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def same_draws() -> Iterator[None]:
    """Let the watcher draw the same samples in every run: one draw in twenty finds a late list some seconds later."""
    state = random.getstate()
    random.seed(1)
    yield
    random.setstate(state)
