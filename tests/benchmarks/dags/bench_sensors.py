"""The same few jobs, waited for by this package's sensor."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor

with DAG(
    dag_id="bench_sensors", schedule=None, catchup=False, params={"ids": Param([], type="array")}
) as dag:
    for number in range(5):
        DashScopeTaskSensor(task_id=f"wait_{number}", dashscope_task_id=f"{{{{ params.ids[{number}] }}}}")
