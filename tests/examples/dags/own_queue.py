"""A bulk task whose worker is one of a queue of its own, next to the bucket."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator

with DAG("own_queue", schedule=None) as dag:
    # [START queue]
    repaint = WanxStyleRepaintBatchOperator(
        task_id="repaint",
        images="s3://portraits/",
        destination="s3://results/bulk/",
        style="fresh",
        deferrable=True,
        queue="pictures",
        retries=5,
    )
    # [END queue]
