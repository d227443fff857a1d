"""A DAG that leaves whatever it is given, as somebody may do who may write XComs."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_wanx.jobs.copying.gallery_marks import MARK

with DAG(
    dag_id="hostile",
    schedule=None,
    catchup=False,
    params={
        "entries": Param([], type="array"),
        "mark": Param({}, type="object"),
        "name": Param("", type="string"),
    },
):

    @task(map_index_template="{{ params.name }}")
    def leave(number: int, params: Any = None, ti: Any = None) -> Any:
        ti.xcom_push(key=MARK, value=params["mark"])
        return params["entries"]

    leave.expand(number=[0])
