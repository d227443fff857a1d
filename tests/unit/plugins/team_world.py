"""An Airflow of two teams, by its own application, its own auth manager and its own API. Needs an Airflow that has teams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow import settings
from airflow.api_fastapi.app import create_app
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.connection import Connection
from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.team import Team
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.db import synchronize_log_template
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.copying.gallery_marks import MARK
from airflow_provider_wanx.jobs.copying.result_metadata import ownership
from airflow_provider_wanx.plugins.wanx_gallery import PREFIX
from tests.unit.support.s3 import REGION

TASKS = ("copy", "repaint")
RUN = "run"


@dataclass(frozen=True)
class Member:
    """Somebody who is logged in.

    :param http: the API server.
    :param token: what the auth manager has given out.
    """

    http: TestClient
    token: str

    def get(self, path: str, **query: Any) -> Any:
        """Load a page of the gallery."""
        return self._ask("GET", PREFIX + path, params=query or None)

    def ask(self, method: str, path: str, **json: Any) -> Any:
        """Ask Airflow's API."""
        return self._ask(method, f"/api/v2{path}", json=json or None)

    def write_xcom(self, dag_id: str, task_id: str, key: str, value: Any) -> Any:
        """Write an XCom as the web interface does, over one that is there."""
        path = f"/dags/{dag_id}/dagRuns/{RUN}/taskInstances/{task_id}/xcomEntries"
        answer = self.ask("POST", path, key=key, value=value, map_index=-1)
        if answer.status_code == 409:
            answer = self.ask("PATCH", f"{path}/{key}", value=value, map_index=-1)
        return answer

    def say_copied(self, dag_id: str, *manifest: dict[str, Any], **mark: Any) -> None:
        """Write the XComs of a copy."""
        for key, value in {
            MARK: {"version": 1, "kind": "copy", "images": len(manifest), **mark},
            "return_value": list(manifest),
        }.items():
            assert self.write_xcom(dag_id, "copy", key, value).is_success

    def say_batch(self, dag_id: str, bucket: str, prefix: str, **mark: Any) -> None:
        """Write the XCom of a batch."""
        value = {"version": 1, "kind": "batch", "bucket": bucket, "prefix": prefix, "rows": 1, "images": 1}
        assert self.write_xcom(dag_id, "repaint", MARK, {**value, **mark}).is_success

    def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        return self.http.request(
            method,
            path,
            headers={"Authorization": f"Bearer {self.token}"},
            follow_redirects=False,
            **arguments,
        )


def make_airflow(*teams: str) -> TestClient:
    """Make the API server over the tests' database, with a DAG ``<team>_dag`` for each team."""
    synchronize_log_template()
    with Session(settings.engine) as session:
        for team in teams:
            bundle = DagBundleModel(name=team)
            bundle.teams = [Team(name=team)]
            session.add(bundle)
            session.flush()
            with DAG(f"{team}_dag", schedule=None) as dag:
                for task_id in TASKS:
                    EmptyOperator(task_id=task_id)
            stored = LazyDeserializedDAG.from_dag(dag)
            SerializedDAG.bulk_write_to_db(team, None, [stored], session=session)
            SerializedDagModel.write_dag(stored, bundle_name=team, session=session)
        session.commit()
    return TestClient(create_app(apps="core"), raise_server_exceptions=False)


def log_in(http: TestClient, manager: SimpleAuthManager, name: str, *, role: str, teams: list[str]) -> Member:
    """Log somebody in."""
    user = SimpleAuthManagerUser(username=name, role=role, teams=teams)
    return Member(http, manager.generate_jwt(user))


def add_connection(conn_id: str, url: str, keys: dict[str, str], *, team: str | None = None) -> None:
    """Store an AWS connection, of a team or of none."""
    extra = {
        "endpoint_url": url,
        "region_name": REGION,
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }
    with Session(settings.engine) as session:
        session.add(Connection(conn_id, "aws", extra=extra, team_name=team, **keys))
        session.commit()


def make_account(number: str) -> dict[str, str]:
    """Make an AWS account of the local S3; return login and password of a user there."""
    from moto.iam.models import iam_backends

    backend = iam_backends[number]["aws"]
    backend.create_user(region_name=REGION, user_name="worker")
    key = backend.create_access_key("worker")
    return {"login": key.access_key_id, "password": key.secret_access_key}


def owner(dag_id: str, task_id: str = "copy") -> dict[str, str]:
    """The metadata by which an object says that a task of the run has written it."""
    return ownership(Identity(dag_id=dag_id, run_id=RUN, task_id=task_id))
