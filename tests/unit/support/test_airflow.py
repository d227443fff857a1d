"""The stand-ins must look like what they stand for."""

from __future__ import annotations

import inspect

import pytest
from airflow.sdk.execution_time.context import TaskStateStoreAccessor
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from tests.unit.support.airflow import StateStore, TaskInstance


@pytest.mark.parametrize(
    ("stand_in", "original", "methods"),
    [
        (TaskInstance, RuntimeTaskInstance, ["xcom_push", "xcom_pull", "get_first_reschedule_date"]),
        (StateStore, TaskStateStoreAccessor, ["get", "set", "delete"]),
    ],
)
def test_a_call_that_the_stand_in_takes_is_one_that_airflow_takes(
    stand_in: type, original: type, methods: list[str]
) -> None:
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


def test_airflows_task_instance_has_the_attributes_that_are_used() -> None:
    fields = RuntimeTaskInstance.model_fields
    assert {"task_id", "map_index", "max_tries", "start_date"} <= set(fields)
