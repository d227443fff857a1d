"""A DAG whose names, manifest and objects are an attack: what a stranger may write who may write XComs."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_wanx.storage.marks import MARK

ATTACK = "<script>window.attacked=1</script><img src=x onerror=window.attacked=1>\"'>\u202egpj.exe"

with DAG(
    dag_id="hostile",
    schedule=None,
    catchup=False,
    params={"entries": Param([], type="array"), "mark": Param({}, type="object")},
):

    @task(map_index_template="{{ attack }}")
    def leave(number: int, params: dict | None = None, **context: object) -> list:
        context["attack"] = ATTACK
        given = params or {}
        context["ti"].xcom_push(key=MARK, value=given["mark"])  # type: ignore[attr-defined]
        return given["entries"]

    leave.expand(number=[0])
