"""Who may see what: the gallery asks Airflow's auth manager, as Airflow's own pages do."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.configuration import conf
from airflow.models.dag import DagModel

from airflow_provider_wanx.plugins.gallery.owned_objects import Reader
from airflow_provider_wanx.storage.marks import TASK, TASK_INSTANCE, ownership

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

    from airflow_provider_wanx.identity import Identity
    from airflow_provider_wanx.plugins.gallery.entries import Mark

may_read_pictures = requires_access_dag("GET", DagAccessEntity.XCOM)
"""Dependency of every page: the user may read the XComs of the DAG in the path or, without one, of any DAG."""


def readable(dag_ids: Collection[str], user: BaseUser) -> set[str]:
    """Return those DAGs of which a user may read the XComs."""
    teams = _teams(dag_ids)
    manager = get_auth_manager()
    return {
        dag_id
        for dag_id in dag_ids
        if manager.is_authorized_dag(
            method="GET",
            access_entity=DagAccessEntity.XCOM,
            details=DagDetails(id=dag_id, team_name=teams.get(dag_id)),
            user=user,
        )
    }


def reader(identity: Identity, mark: Mark) -> Reader:
    """Return what decides about the objects on a task instance's page.

    A copy's objects are its own. A batch's are those of its task: runs go on with what earlier ones have left.
    """
    name = TASK if mark.kind == "batch" else TASK_INSTANCE
    owner = frozenset({(name, ownership(identity)[name])})
    return Reader(_teams([identity.dag_id]).get(identity.dag_id), owner)


def _teams(dag_ids: Collection[str]) -> dict[str, str | None]:
    if not dag_ids or not conf.getboolean("core", "multi_team", fallback=False):
        return {}
    return {dag_id: DagModel.get_team_name(dag_id) for dag_id in dag_ids}
