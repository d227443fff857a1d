"""How a task learns what the tasks that it waits for, or copies, were made from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_wanx.jobs.copying.result_metadata import Provenance
from airflow_provider_wanx.provenance import SUBMISSION_KEY, publish_provenance, published_provenance
from tests.unit.support.airflow import DagRun, TaskInstance


class Counting(TaskInstance):
    """A task instance that counts what it is given."""

    values = 0

    def xcom_pull(self, *arguments: Any, **more: Any) -> Any:
        found = super().xcom_pull(*arguments, **more)
        self.values += len(found) if isinstance(found, list) else found is not None
        return found


def submitted(run: DagRun, dashscope_task_id: str, *, task_id: str = "submit", map_index: int = -1) -> None:
    ti = TaskInstance(run=run, task_id=task_id, map_index=map_index)
    origin = Provenance(source=f"s3://faces/{dashscope_task_id}.png", style=3, model="m")
    publish_provenance({"ti": ti}, dashscope_task_id, origin)  # type: ignore[typeddict-item]


def found(
    run: DagRun, *ids: str, map_index: int = -1, submitters: tuple[str, ...] = ("submit",)
) -> tuple[dict[str, str | None], int]:
    """The sources of ids, and how many values were read for them."""
    ti = Counting(run=run, task_id="copy", map_index=map_index)
    origins = published_provenance({"ti": ti}, ids, submitters=submitters)  # type: ignore[typeddict-item]
    return {task_id: origin.source for task_id, origin in origins.items()}, ti.values


@pytest.fixture
def run() -> DagRun:
    run = DagRun()
    for index in range(50):
        submitted(run, f"id-{index}", map_index=index)
    return run


def test_what_is_published_is_one_small_object() -> None:
    run = DagRun()
    submitted(run, "id-1")
    assert run.xcoms["submit", -1] == {
        SUBMISSION_KEY: {
            "dashscope_task_id": "id-1",
            "source": "s3://faces/id-1.png",
            "style": 3,
            "model": "m",
        }
    }


def test_a_mapped_copy_reads_one_value_only(run: DagRun) -> None:
    assert found(run, "id-7", map_index=7) == ({"id-7": "s3://faces/id-7.png"}, 1)


def test_a_mapped_copy_whose_index_is_another_finds_its_picture_all_the_same(run: DagRun) -> None:
    assert found(run, "id-9", map_index=7)[0] == {"id-9": "s3://faces/id-9.png"}


def test_a_copy_of_many_reads_each_value_once(run: DagRun) -> None:
    sources, values = found(run, *(f"id-{number}" for number in range(50)))
    assert len(sources) == values == 50


def test_a_mapped_copy_finds_what_one_task_has_submitted_for_all() -> None:
    run = DagRun()
    submitted(run, "id-1")
    assert found(run, "id-1", map_index=3) == ({"id-1": "s3://faces/id-1.png"}, 1)


def test_every_task_that_submits_is_asked(run: DagRun) -> None:
    submitted(run, "other", task_id="another")
    both = ("another", "submit")
    assert found(run, "other", submitters=both)[0] == {"other": "s3://faces/other.png"}
    assert found(run, "other", "id-3", submitters=both)[0].keys() == {"other", "id-3"}


@pytest.mark.parametrize(
    "value", ["text", 7, [], {}, {"dashscope_task_id": ["id"]}, {"dashscope_task_id": "another"}]
)
def test_what_is_absent_or_somebody_elses_is_missing_and_no_failure(value: Any) -> None:
    run = DagRun()
    assert found(run, "id") == ({}, 0)
    TaskInstance(run=run, task_id="submit").xcom_push(SUBMISSION_KEY, value)
    assert found(run, "id")[0] == {}
    assert found(run, "id", submitters=())[0] == {}


def test_what_has_the_wrong_type_counts_as_unknown() -> None:
    run = DagRun()
    value = {"dashscope_task_id": "id", "source": ["x"], "style": "3"}
    TaskInstance(run=run, task_id="submit").xcom_push(SUBMISSION_KEY, value)
    ti = TaskInstance(run=run, task_id="copy")
    assert published_provenance({"ti": ti}, ["id"], submitters=["submit"]) == {"id": Provenance()}  # type: ignore[typeddict-item]


class Refused(TaskInstance):
    """One whom Airflow refuses a value by its map index, as it does in the words of its API."""

    status: int

    def xcom_pull(self, task_ids: Any = None, **more: Any) -> Any:
        if isinstance(task_ids, str) and "map_indexes" in more:
            error = RuntimeError("API_SERVER_ERROR")
            error.error = SimpleNamespace(detail={"status_code": self.status})  # type: ignore[attr-defined]
            raise error
        return super().xcom_pull(task_ids, **more)


def test_a_copy_outside_of_a_loop_finds_what_its_iterations_have_published(run: DagRun) -> None:
    ti = Refused(run=run, task_id="copy")
    ti.status = 400
    found = published_provenance({"ti": ti}, ["id-2"], submitters=["submit"])  # type: ignore[typeddict-item]
    assert found["id-2"].source == "s3://faces/id-2.png"


def test_any_other_refusal_is_no_sign_of_a_loop(run: DagRun) -> None:
    ti = Refused(run=run, task_id="copy")
    ti.status = 500
    with pytest.raises(RuntimeError, match="API_SERVER_ERROR"):
        published_provenance({"ti": ti}, ["id-2"], submitters=["submit"])  # type: ignore[typeddict-item]
