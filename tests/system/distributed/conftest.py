"""One run for all tests of what it leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from tests.stack import ROOT
from tests.system.distributed import report
from tests.system.distributed.fleet import DATA, Fleet, Outcome

USUAL = 200
"""Images of each DAG."""

WORTH_SHOWING = 50
"""Images of each DAG from which on a run is shown on the page; the table says how many it had."""


@pytest.fixture(scope="session")
def images() -> int:
    """Images of each of the two DAGs."""
    return int(os.environ.get("DISTRIBUTED_IMAGES", USUAL))


@pytest.fixture(scope="session")
def outcome(images: int) -> Iterator[Outcome]:
    """What a run leaves in which one of each kind of process is killed."""
    with Fleet(images=images) as fleet:
        found = fleet.play()
        played_on = f"Airflow {version('apache-airflow-core')}, Celery {version('celery')}"
    report.write(found, images=images, folder=DATA, played_on=played_on)
    yield found
    if images >= WORTH_SHOWING:
        report.write(found, images=images, folder=ROOT / "docs", played_on=played_on)
