"""Submitting and waiting with the generic operator, run as Airflow runs it, against a local DashScope."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
)

from airflow_provider_wanx.deferral import TRIGGER_TIMEOUT_MARGIN_SECONDS
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.jobs.submitting.submitter import TaskRequest
from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator
from airflow_provider_wanx.provenance import SUBMISSION_KEY
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.dashscope import SUBMITTED_KEY, DashScopeTaskTrigger
from tests.unit.operators.painting import PAINT, paint
from tests.unit.support.airflow import TaskRunner, deferral
from tests.unit.support.airflow_names import is_mapped, stored_dag
from tests.unit.support.service import totals


@pytest.mark.parametrize("deferrable", [True, False])
def test_it_submits_once_and_returns_the_id_without_waiting(
    at_rest: BackgroundSimulator, deferrable: bool
) -> None:
    runner = paint(deferrable=deferrable, parameters={"n": 2})
    task_id = runner.run_try()
    (task,) = at_rest.ledger()["tasks"]
    assert (task["task_id"], task["model"], task["service"]) == (task_id, PAINT["model"], PAINT["service"])
    assert task["polls"] == 0
    assert runner.events == []


@pytest.mark.parametrize("deferrable", [True, False])
def test_it_waits_until_the_task_has_succeeded(dashscope: BackgroundSimulator, deferrable: bool) -> None:
    runner = paint(wait_for_completion=True, deferrable=deferrable)
    task_id = runner.run_try()
    (task,) = dashscope.ledger()["tasks"]
    assert (task["task_id"], task["status"]) == (task_id, "SUCCEEDED")
    assert len(runner.events) == int(deferrable)


def test_the_id_is_published_before_the_wait(at_rest: BackgroundSimulator) -> None:
    runner = paint(wait_for_completion=True, deferrable=True)
    deferred = deferral(runner.start)
    assert isinstance(deferred.trigger, DashScopeTaskTrigger)
    (task_id,) = deferred.trigger.dashscope_task_ids
    told = {"dashscope_task_id": task_id, "source": None, "style": None, "model": PAINT["model"]}
    assert (runner.xcoms[SUBMITTED_KEY], runner.xcoms[SUBMISSION_KEY]) == (task_id, told)


@pytest.mark.parametrize("name", ["image_url", "base_image_url", "img_url", "person_image_url"])
def test_the_picture_in_the_input_is_published_as_the_source(at_rest: BackgroundSimulator, name: str) -> None:
    given = {"mask_image_url": "https://h.example/m.png", name: f"{at_rest.portrait_url}?secret"}
    runner = paint(input={"prompt": "A lighthouse", **given})
    runner.run_try()
    assert runner.xcoms[SUBMISSION_KEY]["source"] == at_rest.portrait_url


def test_a_deferral_carries_ids_and_numbers_and_a_deadline_with_a_backstop(
    at_rest: BackgroundSimulator,
) -> None:
    runner = paint(
        wait_for_completion=True, deferrable=True, wait_timeout=timedelta(minutes=5), cancel_on_kill=False
    )
    before = time.time()
    deferred = deferral(runner.start)
    after = time.time()
    _, kwargs = deferred.trigger.serialize()
    end_time = kwargs.pop("end_time")
    assert before <= end_time - 300 <= after
    assert deferred.timeout is not None
    assert (
        end_time - after - 0.001 <= deferred.timeout.total_seconds() - TRIGGER_TIMEOUT_MARGIN_SECONDS <= 300
    )
    assert kwargs["dashscope_task_ids"] == [runner.xcoms[SUBMITTED_KEY]]
    assert kwargs["dashscope_conn_id"] == "dashscope_default"
    assert kwargs["poll_interval"] == 0.05
    assert kwargs["cancel_on_kill"] is False


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_task_that_cannot_succeed_fails_without_retries_and_with_its_reason(
    dashscope: BackgroundSimulator, deferrable: bool
) -> None:
    dashscope.add_fault(
        endpoint="job", kind="outcome", outcome="FAILED", code="DataInspectionFailed", message="Input is bad."
    )
    runner = paint(wait_for_completion=True, deferrable=deferrable)
    with pytest.raises(AirflowFailException) as caught:
        runner.run_try()
    message = str(caught.value)
    assert "is FAILED (DataInspectionFailed: Input is bad.)" in message
    assert "A failed task is not billed." in message
    assert runner.xcoms[SUBMITTED_KEY] in message


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"service": "https://example.com/x"}, "is not a path like"),
        ({"service": "../tasks"}, "is not a path like"),
        ({"model": " "}, "model is empty"),
        ({"input": {}}, "input is empty"),
        ({"input": {"size": float("nan")}}, "cannot be written as JSON"),
        ({"input": {"when": timedelta(1)}}, "cannot be written as JSON"),
    ],
)
def test_a_bad_request_is_refused_before_anything_is_sent(
    at_rest: BackgroundSimulator, arguments: dict[str, Any], problem: str
) -> None:
    runner = paint(**arguments)
    with pytest.raises(AirflowFailException, match=problem):
        runner.run_try()
    assert totals(at_rest)["submissions"] == 0
    assert runner.store is not None
    assert runner.store.values == {}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"poll_interval": 0}, "poll_interval must be a positive number of seconds, not 0"),
        ({"wait_timeout": -1}, "wait_timeout must be a positive number of seconds, not -1"),
        ({"wait_timeout": timedelta(0)}, "wait_timeout must be a positive number"),
        ({"wait_timeout": float("inf")}, "wait_timeout must be a positive number"),
        ({"poll_interval": "3"}, "poll_interval must be a positive number"),
        (
            {"on_unconfirmed_submit": "maybe"},
            "on_unconfirmed_submit must be 'fail' or 'resubmit', not 'maybe'",
        ),
    ],
)
def test_a_bad_argument_is_found_out_when_the_dag_is_parsed(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        DashScopeSubmitTaskOperator(task_id="paint", **PAINT, input={"prompt": "x"}, **arguments)


def test_every_argument_that_matters_is_a_template(at_rest: BackgroundSimulator) -> None:
    runner = paint(
        model="{{ ['wanx2.1', 't2i', 'turbo'] | join('-') }}",
        service="aigc/{{ 'text2image' }}/image-synthesis",
        input={"prompt": "Run {{ run_id }}", "list": ["{{ 1 + 1 }}"]},
        parameters={"size": "{{ 1024 }}*1024"},
        dashscope_conn_id="dashscope_{{ 'default' }}",
    )
    operator = runner.build()
    operator.render_template_fields(runner.context())
    assert operator.input == {"prompt": f"Run {runner.run.run_id}", "list": [2]}
    assert operator.parameters == {"size": "1024*1024"}
    assert runner.run_try()


def test_it_can_be_mapped_and_survives_airflows_serialization() -> None:
    with DAG("mapped") as dag:
        DashScopeSubmitTaskOperator.partial(task_id="paint", **PAINT, wait_for_completion=True).expand(
            input=[{"prompt": "A lighthouse"}, {"prompt": "A windmill"}]
        )
    stored = stored_dag(dag)
    task = stored.get_task("paint")
    assert is_mapped(task)
    unmapped = dag.get_task("paint").unmap({"input": {"prompt": "A windmill"}})
    assert isinstance(unmapped, DashScopeSubmitTaskOperator)
    assert (unmapped.input, unmapped.model) == ({"prompt": "A windmill"}, PAINT["model"])


def test_it_waits_on_its_worker_unless_airflow_is_set_to_defer() -> None:
    """That the setting counts, ``test_import_cost`` shows: only a new process reads it."""
    assert paint().build().deferrable is False


class Cheaper(DashScopeSubmitTaskOperator):
    """A user's own operator."""

    def build_request(self, hook: DashScopeHook) -> TaskRequest:
        return replace(super().build_request(hook), model="wan2.2-t2i-flash")


def test_a_users_own_operator_may_change_what_is_submitted(dashscope: BackgroundSimulator) -> None:
    TaskRunner(lambda: Cheaper(task_id="paint", **PAINT, input={"prompt": "x"})).start()
    (task,) = dashscope.ledger()["tasks"]
    assert task["model"] == "wan2.2-t2i-flash"
