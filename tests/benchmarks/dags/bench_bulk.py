"""A batch on an account whose clocks run faster: all intervals that do not depend on this machine are scaled with them."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider_wanx.batch import policy
from airflow_provider_wanx.operators import wanx_batch
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator

SPEED = 16.0
POLL_SPEED = 3.0
"""How much faster than usual the waiting is. The service's answers carry its clock in whole seconds, so with shorter intervals no
list would look fresh."""

vars(wanx_batch)["DEFAULT_POLL_INTERVAL_SECONDS"] = 3 / POLL_SPEED
vars(policy)["RESULTS_WITHIN_SECONDS"] = 300 / SPEED

with DAG(
    dag_id="bench_bulk",
    schedule=None,
    catchup=False,
    params={"images": Param("", type="string"), "destination": Param("", type="string")},
) as dag:
    WanxStyleRepaintBatchOperator(
        task_id="repaint",
        images="{{ params.images }}",
        destination="{{ params.destination }}",
        style="fresh",
    )
