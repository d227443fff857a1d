"""The bench, and the rows that were asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import ROOT
from tests.system.faults.scenarios import ALL
from tests.system.faults.support import report
from tests.system.faults.support.bench import DATA, Bench


@pytest.fixture(scope="session")
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Airflow with PostgreSQL, and every row that was asked for being played on it."""
    asked = {item.callspec.params["fault"].id for item in request.session.items if hasattr(item, "callspec")}
    faults = [fault for fault in ALL if fault.id in asked]
    with Bench(faults=faults, scratch=tmp_path_factory.mktemp("faults")) as running:
        yield running
        rows, played_on = running.rows(), running.describe()
        report.write(rows, folder=DATA, played_on=played_on)
        if len(rows) == len(ALL):
            report.write(rows, folder=ROOT / "docs", played_on=played_on)
