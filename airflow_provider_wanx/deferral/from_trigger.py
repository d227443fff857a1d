"""Waiting that begins in the triggerer: what of it works in Airflow 3.3, and clear errors for what does not.

What would leave a task waiting for ever (measured on 3.3.2) is refused here while the DAG is parsed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_wanx.version_compat import AIRFLOW_V_3_3_PLUS

if TYPE_CHECKING:
    from airflow.triggers.base import StartTriggerArgs

TRIGGER = "airflow_provider_wanx.triggers.dashscope.DashScopeTaskTrigger"


def check_start(task_id: str, dashscope_task_id: object) -> None:
    """Refuse what a sensor that starts in the triggerer cannot wait for.

    :param task_id: Airflow's id of the sensor, for messages.
    :param dashscope_task_id: as the sensor was given it.
    :raises AirflowException: it is not one id, or a template that Airflow cannot render there.
    """
    if not AIRFLOW_V_3_3_PLUS:
        raise AirflowException(f"{task_id}: start_from_trigger=True needs Airflow 3.3 or later.")
    advice = "Write \"{{ ti.xcom_pull(task_ids='submit', map_indexes=-1) }}\"."
    if not isinstance(dashscope_task_id, str):
        raise AirflowException(
            f"{task_id}: with start_from_trigger=True, dashscope_task_id must be one id or a template, not "
            f"{type(dashscope_task_id).__name__}: Airflow does not resolve another task's .output there. {advice}"
        )
    if "xcom_pull" in dashscope_task_id and "map_indexes" not in dashscope_task_id:
        raise AirflowException(
            f"{task_id}: with start_from_trigger=True, xcom_pull without map_indexes would leave the task deferred for "
            f"ever. {advice}"
        )


def start_args(*, timeout: float, **trigger_arguments: Any) -> StartTriggerArgs:
    """Make what tells Airflow to start a task in the triggerer.

    :param timeout: seconds after which Airflow ends the wait; counted from the start of the try.
    :param trigger_arguments: of the trigger; templates among them are rendered in the triggerer.
    """
    from airflow.triggers.base import StartTriggerArgs

    return StartTriggerArgs(
        trigger_cls=TRIGGER,
        trigger_kwargs=trigger_arguments,
        next_method="execute_complete",
        timeout=timedelta(seconds=timeout),
    )
