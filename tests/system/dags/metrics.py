"""Waits that end in each of the ways that the other DAGs' do not."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor

with DAG(dag_id="metrics", schedule=None, catchup=False) as dag:
    DashScopeTaskSensor(
        task_id="no_such_task", dashscope_task_id="no-such-task", poll_interval=0.5, timeout=60
    )
    # The service finds no task so soon that it might not know it yet.
    DashScopeTaskSensor(
        task_id="no_time", dashscope_task_id="no-such-task-either", poll_interval=0.5, timeout=1
    )
