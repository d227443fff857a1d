"""What tells task instances apart."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

from airflow_provider_wanx.identity import Identity, identity_of

REGION = UUID("01930000-0000-7000-8000-000000000001")


def instance(**fields: Any) -> Any:
    return SimpleNamespace(
        **{"dag_id": "dag", "run_id": "run", "task_id": "paint", "map_index": -1, **fields}
    )


def test_without_a_region_it_is_what_earlier_versions_have_stored() -> None:
    stored = {"dag_id": "dag", "run_id": "run", "task_id": "paint", "map_index": -1}
    for before in (
        instance(),
        instance(map_index=None),
        instance(region_id=None, region_index=None),
        # What Airflow 3.4 says of a task that is in no region.
        instance(region_id=UUID(int=0), region_index=-1),
    ):
        assert identity_of(before).to_json() == stored
    assert Identity(**stored) == identity_of(instance())


def test_iterations_of_a_loop_and_copies_in_them_are_told_apart() -> None:
    places = [
        {},
        *({"region_id": REGION, "region_index": index} for index in range(3)),
        *({"region_id": UUID(int=2), "region_index": index, "map_index": index} for index in range(2)),
        *({"region_id": UUID(int=3), "region_index": index, "map_index": index} for index in range(2)),
    ]
    found = [identity_of(instance(**place)) for place in places]
    assert len(set(found)) == len({str(each) for each in found}) == len(places)
    assert [Identity(**each.to_json()) for each in found] == found


def test_a_person_can_tell_which_one_it_is() -> None:
    assert str(identity_of(instance(map_index=3))) == "task paint [3] of run run of DAG dag"
    assert str(identity_of(instance(region_id=REGION, region_index=2))) == (
        f"task paint, iteration 2 in region {REGION} of run run of DAG dag"
    )
    in_a_loop = instance(region_id=REGION, region_index=3, map_index=3)
    assert str(identity_of(in_a_loop)) == f"task paint [3] in region {REGION} of run run of DAG dag"
