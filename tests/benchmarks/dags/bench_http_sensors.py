"""The same few jobs, waited for by Airflow's HttpSensor in reschedule mode."""

from __future__ import annotations

from typing import Any

from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import DAG, Param


def has_ended(response: Any) -> bool:
    """Tell whether a task has ended.

    :param response: the service's answer about it
    """
    return response.json()["output"]["task_status"] not in ("PENDING", "RUNNING")


with DAG(
    dag_id="bench_http_sensors",
    schedule=None,
    catchup=False,
    params={"ids": Param([], type="array"), "key": Param("", type="string")},
) as dag:
    for number in range(5):
        HttpSensor(
            task_id=f"wait_{number}",
            http_conn_id="bench_http",
            endpoint=f"api/v1/tasks/{{{{ params.ids[{number}] }}}}",
            headers={"Authorization": "Bearer {{ params.key }}"},
            response_check=has_ended,
            mode="reschedule",
            poke_interval=3,
        )
