"""One folder on two accounts: each takes its half, with a ledger and a pace of its own."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator

ACCOUNTS = ["dashscope_default", "dashscope_second"]

with DAG("two_accounts", schedule=None) as dag:
    # [START accounts]
    repaint = WanxStyleRepaintBatchOperator.partial(
        task_id="repaint", images="s3://portraits/", style="fresh"
    ).expand_kwargs(
        [
            {
                "dashscope_conn_id": account,
                "shard": f"{number}/{len(ACCOUNTS)}",
                "destination": f"s3://results/bulk/part-{number}/",
            }
            for number, account in enumerate(ACCOUNTS, start=1)
        ]
    )
    # [END accounts]
