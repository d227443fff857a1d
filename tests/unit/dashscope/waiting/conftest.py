"""What holds for all tests of waiting."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def same_draws() -> Iterator[None]:
    """Let pauses be drawn alike in every run."""
    state = random.getstate()
    random.seed(1)
    yield
    random.setstate(state)
