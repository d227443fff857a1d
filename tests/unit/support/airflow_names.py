"""What differs between versions of Airflow, and its compatibility layer does not cover."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow import __version__
from airflow.providers.common.compat.sdk import MappedOperator
from packaging.version import Version

AIRFLOW = Version(__version__).release


def _found(name: str, *modules: str) -> Any:
    for module in modules:
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"No Airflow that is known here has no {name}: looked in {', '.join(modules)}.")


_EXCEPTIONS = ("airflow.sdk.exceptions", "airflow.exceptions")

AirflowRescheduleException = _found("AirflowRescheduleException", *_EXCEPTIONS)
TaskDeferralError = _found("TaskDeferralError", *_EXCEPTIONS)
try:
    from airflow.sdk.bases.operator import TriggerFailureReason

    TaskDeferralTimeout = _found("TaskDeferralTimeout", *_EXCEPTIONS)
    TRIGGER_TIMEOUT, TRIGGER_FAILURE = (
        TriggerFailureReason.TRIGGER_TIMEOUT.value,
        TriggerFailureReason.TRIGGER_FAILURE.value,
    )
except (
    ImportError
):  # Airflow 2 has no names for them; its scheduler and its table of triggers write these words
    TaskDeferralTimeout = TaskDeferralError
    TRIGGER_TIMEOUT, TRIGGER_FAILURE = "Trigger/execution timeout", "Trigger failure"

NOTSET = _found("NOTSET", "airflow.sdk.definitions._internal.types", "airflow.utils.types")
MappedTaskGroup = _found("MappedTaskGroup", "airflow.sdk.definitions.taskgroup", "airflow.utils.task_group")
OutletEventAccessors = _found(
    "OutletEventAccessors", "airflow.sdk.execution_time.context", "airflow.utils.context"
)
HookLineageCollector = _found("HookLineageCollector", "airflow.sdk.lineage", "airflow.lineage.hook")
SafeOtelLogger = _found(
    "SafeOtelLogger", "airflow.sdk._shared.observability.metrics.otel_logger", "airflow.metrics.otel_logger"
)
attach = _found("attach", "airflow.sdk.io", "airflow.io.store")


def alias_events(accessor: Any) -> list[tuple[str, dict[str, Any]]]:
    """The assets, by URI, with their extras that a task has added to an alias."""
    if AIRFLOW >= (3, 0):
        return [(event.dest_asset_key.uri, event.extra) for event in accessor.asset_alias_events]
    return [(event["dest_dataset_uri"], event["extra"]) for event in accessor.dataset_alias_events]


def mark_of_a_worker(operator: Any) -> dict[str, Any]:
    """The argument by which an operator of Airflow 2 knows in any thread that it is run and not called from a DAG."""
    return {} if AIRFLOW >= (3, 0) else {f"{type(operator).__name__}__sentinel": object()}


def is_mapped(task: Any) -> bool:
    """Whether a task of a DAG is one that is mapped."""
    return bool(task.is_mapped) if AIRFLOW >= (3, 0) else isinstance(task, MappedOperator)


def schedule_of(dag: Any) -> list[Any]:
    """The assets on which a DAG is scheduled; empty if it is started by hand."""
    if AIRFLOW >= (3, 0):
        return list(dag.schedule or ())
    return [asset for _, asset in dag.timetable.dataset_condition.iter_datasets()]


def make_tables(prefix: str = "") -> None:
    """Make those tables of Airflow's database that are named so, without the history that migrations replay."""
    from airflow import settings
    from airflow.models import import_all_models
    from airflow.models.base import Base

    import_all_models()
    wanted = [table for name, table in Base.metadata.tables.items() if name.startswith(prefix)]
    Base.metadata.create_all(settings.engine, tables=wanted)


def stored_dag(dag: Any) -> Any:
    """A DAG as the scheduler has it: written by the DAG processor, and read again."""
    from airflow.serialization import serialized_objects

    # One class does both since 3.2; before, the class of what is read.
    forms: Any = serialized_objects
    form = getattr(forms, "DagSerialization", None) or forms.SerializedDAG
    return form.deserialize_dag(form.serialize_dag(dag))
