"""The API server with the gallery, and who may see what in it. Needs an Airflow that has both."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI


class StrictManager(SimpleAuthManager):
    """Airflow's simple auth manager, with DAGs and XComs that only admins see: it has no such thing itself."""

    hidden_dags = frozenset({"secret"})
    hidden_xcoms = frozenset({"quiet"})

    def is_authorized_dag(
        self,
        *,
        method: Any,
        user: SimpleAuthManagerUser,
        access_entity: DagAccessEntity | None = None,
        details: DagDetails | None = None,
    ) -> bool:
        hidden = self.hidden_dags
        if access_entity is DagAccessEntity.XCOM:
            hidden |= self.hidden_xcoms
        if user.role != "ADMIN" and details is not None and details.id in hidden:
            return False
        return super().is_authorized_dag(
            method=method, user=user, access_entity=access_entity, details=details
        )


def make_app() -> FastAPI:
    """What Airflow's API server makes of the plugin: an application that is mounted below a path."""
    from airflow_provider_wanx.plugins.wanx_gallery import WanxGalleryPlugin

    app = FastAPI()
    for each in WanxGalleryPlugin.fastapi_apps:
        app.mount(each["url_prefix"], each["app"])
    return app
