"""As many sensors as there are ids in a file; none of them ever needs a worker."""

from __future__ import annotations

import os
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor

with DAG(dag_id="bench_many_waits", schedule=None, catchup=False, max_active_tasks=2000) as dag:
    for number, task_id in enumerate(Path(os.environ["BENCH_IDS"]).read_text().split()):
        DashScopeTaskSensor(
            task_id=f"wait_{number}",
            dashscope_task_id=task_id,
            dashscope_conn_id="dashscope_many",
            start_from_trigger=True,
            end_from_trigger=True,
        )
