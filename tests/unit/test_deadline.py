"""When a wait is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine

from airflow_provider_wanx.arguments import check_seconds
from airflow_provider_wanx.deferral import Deadline, deadline

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class TestSeconds:
    """Lengths of time."""

    @pytest.mark.parametrize(("value", "seconds"), [(3, 3.0), (0.5, 0.5), (timedelta(minutes=2), 120.0)])
    def test_numbers_and_timedeltas_are_read(self, value: Any, seconds: float) -> None:
        assert check_seconds("x", value) == seconds

    @pytest.mark.parametrize(
        "value", [0, -1, timedelta(0), timedelta(-1), "3", None, True, float("inf"), float("nan")]
    )
    def test_everything_else_is_refused_by_name(self, value: Any) -> None:
        with pytest.raises(ValueError, match="wait_timeout must be a positive number of seconds, not"):
            check_seconds("wait_timeout", value)


class TestDeadline:
    """When a wait is over."""

    def of(
        self, *, seconds: float, execution_timeout: timedelta | None, started: datetime | None
    ) -> Deadline:
        context: Any = {"ti": SimpleNamespace(start_date=started)}
        with time_machine.travel(NOON, tick=False):
            return deadline(context, seconds=seconds, execution_timeout=execution_timeout)

    def test_it_is_counted_from_now(self) -> None:
        found = self.of(seconds=60, execution_timeout=None, started=NOON - timedelta(hours=1))
        assert found == Deadline(NOON.timestamp() + 60)

    def test_execution_timeout_is_counted_from_the_start_of_the_try(self) -> None:
        found = self.of(
            seconds=3600, execution_timeout=timedelta(minutes=10), started=NOON - timedelta(minutes=4)
        )
        assert found == Deadline(NOON.timestamp() + 360, by_execution_timeout=True)

    def test_the_earlier_of_both_counts(self) -> None:
        found = self.of(seconds=60, execution_timeout=timedelta(minutes=10), started=NOON)
        assert found == Deadline(NOON.timestamp() + 60)

    def test_a_try_without_a_start_begins_now(self) -> None:
        found = self.of(seconds=3600, execution_timeout=timedelta(minutes=10), started=None)
        assert found == Deadline(NOON.timestamp() + 600, by_execution_timeout=True)
