"""The few things that Airflow's own compatibility layer does not cover."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow import __version__ as airflow_version
from asgiref.sync import sync_to_async
from packaging.version import Version

if TYPE_CHECKING:
    from airflow.models import TaskInstance
    from airflow.providers.common.compat.sdk import Context

AIRFLOW_V_3_1_PLUS = Version(airflow_version).release >= (3, 1)
AIRFLOW_V_3_3_PLUS = Version(airflow_version).release >= (3, 3)
AIRFLOW_V_3_4_PLUS = Version(airflow_version).release >= (3, 4)

DEFERRED = "deferred"
"""State of a task that waits in a triggerer; the same word in every Airflow."""


async def task_state(ti: TaskInstance) -> str | None:
    """Ask Airflow 3.3 or later, from a trigger, for the present state of its task instance; None if it has none."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    # The call blocks; Airflow's own triggers make it in a thread in the same way.
    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    by_task = states.get(ti.run_id, {})
    mapped = f"{ti.task_id}_{ti.map_index}"
    state = by_task.get(mapped, by_task.get(ti.task_id))
    return None if state is None else str(getattr(state, "value", state))


REPLACED = object()
"""What :func:`own_xcom` returns if another try has taken the place of the one that the trigger waits for."""


def refusal_of(error: Exception) -> int | None:
    """Return the HTTP status with which Airflow 3 has refused what a task asked of it; None if an error is something else."""
    detail = getattr(getattr(error, "error", None), "detail", None) or {}
    return detail.get("status_code")


async def own_xcom(ti: TaskInstance, key: str) -> Any:
    """Read, from a trigger of Airflow 3, what its task instance has pushed; None if it has pushed nothing."""
    from airflow.providers.common.compat.sdk import XCom

    try:
        return await sync_to_async(XCom.get_one)(
            key=key, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index
        )
    except Exception as error:
        # Airflow 3.4 lets nobody read for a try that is over.
        if refusal_of(error) == HTTPStatus.FORBIDDEN:
            return REPLACED
        raise


def first_poke(context: Context) -> float | None:
    """Return when a rescheduled sensor has begun, in seconds since 1970; None if it begins now."""
    ti: Any = context["ti"]
    # Airflow 2 keeps it as the start of the task instance, which later ones set anew.
    find = getattr(ti, "get_first_reschedule_date", None)
    first = ti.start_date if find is None else find(context)
    return None if first is None else float(first.timestamp())


def xcoms_of_previous_iteration(context: Context, key: str) -> list[Any]:
    """Read, in a loop of Airflow 3.4 or later, what this task and its mapped copies have pushed in the iteration before."""
    if getattr(context.get("loop"), "index", 0) == 0:
        return []
    from airflow.sdk.definitions.xcom_arg import PlainXComArg
    from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

    # xcom_pull sees the own iteration only.
    make: Any = LazyXComSequence
    arg = PlainXComArg(context["task"], key)
    return list(make(xcom_arg=arg, ti=context["ti"], previous_iteration=True)[:])


@cache
def airflow_stats(*, in_triggerer: bool) -> Any:
    """Return Airflow's ``Stats``, as this process has it.

    Airflow 3.2 and later have two, of which a worker uses the task SDK's and a triggerer the core's; the other one sends
    nothing there.

    :param in_triggerer: whether this is a triggerer's process.
    """
    of_sdk, of_core = "airflow.sdk.observability.stats", "airflow.observability.stats"
    for name in (of_core, of_sdk) if in_triggerer else (of_sdk, of_core):
        try:
            module = import_module(name)
        except ImportError:
            continue
        # The functions of a module since 3.3; before, the methods of a class in it.
        return module if hasattr(module, "incr") else module.Stats
    return import_module("airflow.stats").Stats
