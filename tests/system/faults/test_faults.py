"""The fault run: one row of docs/reliability.md after the other."""

from __future__ import annotations

import pytest

from tests.system.faults.scenarios import ALL
from tests.system.faults.support.bench import Bench
from tests.system.faults.support.catalogue import Fault


@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.id) for fault in ALL])
def test_every_image_is_submitted_and_paid_once_whatever_goes_wrong(bench: Bench, fault: Fault) -> None:
    row = bench.row(fault)
    assert row.ok, f"{row.fault}: {'; '.join(row.problems)} [{row.states}]"
