"""A check that cannot fail is none: each is shown a service for which its fact does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.simulator.settings import Settings
from tests.conformance.core import Fact, Finding, Verdict, judge
from tests.conformance.facts import FACTS
from tests.conformance.local import KEY, WORKSPACE
from tests.conformance.otherwise.spoiling import Edit, for_a_clock_that_jumps, quick_target
from tests.conformance.otherwise.spoils import SPOILS
from tests.conformance.service.visit import Visit

_VISITS = 20
_USUAL: dict[str, Any] = {"api_keys": (KEY,), "workspaces": (WORKSPACE,)}


@contextmanager
def _visit(edit: Edit | None = None, **settings: Any) -> Iterator[Visit]:
    with BackgroundSimulator(settings=Settings(**{**_USUAL, **settings})) as simulator:
        visit = Visit(quick_target(simulator, edit))
        try:
            yield visit
        finally:
            visit.close()


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_a_check_notices_a_service_that_behaves_otherwise(fact: Fact) -> None:
    spoil = SPOILS[fact.name]
    with _visit(spoil.edit, **spoil.settings) as visit:
        found = judge(fact, visit)
    assert found.verdict is Verdict.DIFFERS, found.seen


def test_every_fact_is_spoiled_and_nothing_else() -> None:
    assert set(SPOILS) == {fact.name for fact in FACTS}


def test_no_check_differs_where_nothing_is_spoiled() -> None:
    """Or they would notice anything."""
    facts = for_a_clock_that_jumps(FACTS)
    for _ in range(_VISITS):
        with _visit() as visit:
            found: list[Finding] = [judge(fact, visit) for fact in facts]
        assert {each.fact.name: each.seen for each in found if each.verdict is Verdict.DIFFERS} == {}
        # On a busy machine a burst may take longer than the second that it is about.
        if not (facts := [each.fact for each in found if each.verdict is not Verdict.HOLDS]):
            return
    pytest.fail(f"never observed: {[fact.name for fact in facts]}")
