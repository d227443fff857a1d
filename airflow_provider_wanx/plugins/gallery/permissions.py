"""Who may see what: the gallery asks Airflow's auth manager, as Airflow's own pages do."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.configuration import conf
from airflow.models.dag import DagModel

from airflow_provider_wanx.jobs.copying.result_metadata import AIRFLOW_TASK, AIRFLOW_TASK_INSTANCE, ownership
from airflow_provider_wanx.plugins.gallery.owned_objects import Reader

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

    from airflow_provider_wanx.identity import Identity
    from airflow_provider_wanx.plugins.gallery.entries import Mark

may_read_pictures = requires_access_dag("GET", DagAccessEntity.XCOM)
"""Dependency of every page: the user may read the XComs of the DAG in the path or, without one, of any DAG."""


def readable(dag_ids: Collection[str], user: BaseUser) -> set[str]:
    """Return those DAGs of which a user may read the XComs."""
    asked: dict[str, Any] = {"method": "GET", "access_entity": DagAccessEntity.XCOM, "user": user}
    details = [DagDetails(id=dag_id, team_name=_team(dag_id)) for dag_id in dag_ids]
    manager = get_auth_manager()
    return {str(each.id) for each in details if manager.is_authorized_dag(**asked, details=each)}


def reader(identity: Identity, mark: Mark) -> Reader:
    """Return what decides about the objects on a task instance's page.

    A copy's objects are its own. A batch's are those of its task: runs go on with what earlier ones have left.
    """
    name = AIRFLOW_TASK if mark.kind == "batch" else AIRFLOW_TASK_INSTANCE
    return Reader(_team(identity.dag_id), frozenset({(name, ownership(identity)[name])}))


def _team(dag_id: str) -> str | None:
    several = conf.getboolean("core", "multi_team", fallback=False)
    return DagModel.get_team_name(dag_id) if several else None
