from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.stack import LocalStack, TaskInstance

DAG = "stack_check"


@pytest.fixture
def awaited_file(tmp_path: Path) -> Path:
    return tmp_path / "awaited"


def _only(stack: LocalStack, run_id: str, task_id: str) -> TaskInstance:
    (instance,) = stack.airflow.api.task_instances(dag_id=DAG, run_id=run_id, task_id=task_id)
    return instance


def _start_and_defer(stack: LocalStack, awaited_file: Path) -> str:
    run_id = stack.airflow.api.trigger(dag_id=DAG, conf={"path": str(awaited_file)})
    stack.airflow.api.wait_for_state(dag_id=DAG, run_id=run_id, task_id="wait", state="deferred")
    return run_id


def test_a_run_goes_through_worker_trigger_and_worker_and_its_values_and_logs_can_be_read(
    stack: LocalStack, awaited_file: Path
) -> None:
    run_id = _start_and_defer(stack, awaited_file)
    awaited_file.touch()
    assert stack.airflow.api.wait_for_run(dag_id=DAG, run_id=run_id).state == "success"
    assert stack.airflow.api.xcom(dag_id=DAG, run_id=run_id, task_id="push") == {"try_number": 1}
    assert stack.airflow.api.xcom(dag_id=DAG, run_id=run_id, task_id="wait") == str(awaited_file)
    assert "a line for the log" in stack.airflow.api.log(instance=_only(stack, run_id, "push"))


def test_a_cleared_task_runs_again(stack: LocalStack, awaited_file: Path) -> None:
    awaited_file.touch()
    api = stack.airflow.api
    run_id = api.trigger(dag_id=DAG, conf={"path": str(awaited_file)})
    assert api.wait_for_run(dag_id=DAG, run_id=run_id).state == "success"
    api.clear(dag_id=DAG, run_id=run_id, task_ids=["push"])
    assert api.wait_for_run(dag_id=DAG, run_id=run_id).state == "success"
    assert api.xcom(dag_id=DAG, run_id=run_id, task_id="push") == {"try_number": 2}


def test_a_task_marked_failed_while_it_waits_fails_its_run(stack: LocalStack, awaited_file: Path) -> None:
    run_id = _start_and_defer(stack, awaited_file)
    stack.airflow.api.mark(dag_id=DAG, run_id=run_id, task_id="wait", state="failed")
    assert stack.airflow.api.wait_for_run(dag_id=DAG, run_id=run_id).state == "failed"


def test_a_wait_survives_the_loss_of_all_processes_but_the_scheduler(
    stack: LocalStack, awaited_file: Path
) -> None:
    run_id = _start_and_defer(stack, awaited_file)
    airflow = stack.airflow
    lost = [airflow.triggerer, airflow.api_server, airflow.dag_processor]
    for process in lost:
        process.kill(signal.SIGKILL)
    awaited_file.touch()
    for process in lost:
        process.start()
    airflow.wait_ready()
    assert airflow.api.wait_for_run(dag_id=DAG, run_id=run_id).state == "success"


def test_a_second_triggerer_takes_over_from_one_that_was_lost(stack: LocalStack, awaited_file: Path) -> None:
    run_id = _start_and_defer(stack, awaited_file)
    second = stack.airflow.add_triggerer()
    try:
        stack.airflow.triggerer.kill(signal.SIGKILL)
        awaited_file.touch()
        assert stack.airflow.api.wait_for_run(dag_id=DAG, run_id=run_id).state == "success"
    finally:
        second.stop()
        stack.airflow.triggerer.start()
