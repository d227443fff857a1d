"""The stand-ins must look like what they stand for."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from airflow_provider_wanx.version_compat import AIRFLOW_V_3_3_PLUS
from tests.unit.support.airflow import StateStore, TaskInstance
from tests.unit.support.airflow_names import AIRFLOW


def airflows_task_instance() -> Any:
    """Airflow's own class of what a context has as ``ti``."""
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        from airflow.models.taskinstance import TaskInstance as StoredTaskInstance

        return StoredTaskInstance
    return RuntimeTaskInstance


def takes_no_more(stand_in: type, original: type, methods: list[str]) -> None:
    """Check that a call which the stand-in takes is one that Airflow takes."""
    for method in methods:
        ours = inspect.signature(getattr(stand_in, method)).parameters
        theirs = inspect.signature(getattr(original, method)).parameters
        for name, parameter in ours.items():
            assert name in theirs
            if theirs[name].kind is inspect.Parameter.KEYWORD_ONLY:
                assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
            assert (parameter.default is inspect.Parameter.empty) == (
                theirs[name].default is inspect.Parameter.empty
            )


def test_a_call_that_the_task_instance_takes_is_one_that_airflow_takes() -> None:
    # Airflow 2 looks up itself when a sensor was first rescheduled.
    later = ["get_first_reschedule_date"] if AIRFLOW >= (3, 0) else []
    takes_no_more(TaskInstance, airflows_task_instance(), ["xcom_push", "xcom_pull", *later])


@pytest.mark.needs_airflow("3.3", "task state store")
def test_a_call_that_the_state_store_takes_is_one_that_airflow_takes() -> None:
    from airflow.sdk.execution_time.context import TaskStateStoreAccessor

    takes_no_more(StateStore, TaskStateStoreAccessor, ["get", "set", "delete"])


def test_a_context_has_a_state_store_from_airflow_3_3_on() -> None:
    from airflow.providers.common.compat.sdk import Context

    assert ("task_state_store" in Context.__annotations__) is AIRFLOW_V_3_3_PLUS


def test_airflows_task_instance_has_the_attributes_that_are_used() -> None:
    original = airflows_task_instance()
    fields = getattr(original, "model_fields", None) or vars(original)
    assert {"task_id", "map_index", "max_tries", "start_date"} <= set(fields)
