"""A hundred sensors that defer, as they do by default with ``deferrable=True``; ten runs of it fill a triggerer."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor

SENSORS = 100

with DAG(
    dag_id="bench_many_waits",
    schedule=None,
    catchup=False,
    max_active_tasks=SENSORS,
    max_active_runs=20,
    params={"ids": Param([], type="array")},
) as dag:
    for number in range(SENSORS):
        DashScopeTaskSensor(
            task_id=f"wait_{number}",
            dashscope_task_id=f"{{{{ params.ids[{number}] }}}}",
            dashscope_conn_id="dashscope_many",
            deferrable=True,
        )
