"""
### Repaint portraits as they arrive

Run when the asset `s3://wanx-portraits/portraits` is updated, and repaint the pictures that its events name. Whoever puts
portraits there says so with an event, whose extra holds their keys: `{"keys": ["portraits/ada.jpg"]}`. It may be a DAG with the
asset among its outlets, a program that calls Airflow's REST API, or a person: **Assets**, the asset, **Create Asset Event**.

The results are then an event of the asset `s3://wanx-results/repainted`, which starts whatever is scheduled on it.

*When to use:* portraits come at any time, some to some hundred at once, and nobody wants to list a folder again and again.
*Needs:* connection `dashscope_default` with an API key; connection `aws_default` that may read the portraits and write the
results. The service fetches the pictures through presigned URLs, so it must be able to reach the bucket.
*Costs:* one image for each key. A key that stands in several events of one run is repainted once; a later event that names it
again has it repainted, and paid for, again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Asset, task, task_group

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator

# Put your own buckets here; these exist in the demo only.
BUCKET = "wanx-portraits"
RESULT_BUCKET = "wanx-results"
STYLE = "fresh"

PORTRAITS = Asset(f"s3://{BUCKET}/portraits")
RESULTS = Asset(f"s3://{RESULT_BUCKET}/repainted")

with DAG(
    dag_id="wanx_new_portraits",
    schedule=[PORTRAITS],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),  # Airflow 2 wants one of whatever has a schedule
    catchup=False,
    tags=["dashscope", "wanx"],
    doc_md=__doc__,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
) as dag:
    # [START howto_new_portraits]
    @task
    def pictures(**context: Any) -> list[str]:
        # Airflow 2 calls assets datasets.
        events = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
        keys = [
            key for of_asset in events.values() for event in of_asset for key in event.extra.get("keys", [])
        ]
        if not keys:
            raise AirflowFailException(
                f"No event of the asset {PORTRAITS.uri} names a portrait, so there is nothing to repaint. "
                'Create one with the extra {"keys": ["portraits/…"]}.'
            )
        return [f"s3://{BUCKET}/{key}" for key in dict.fromkeys(keys)]

    # Copy number n of a task in the group below has the n-th picture; its name is the last part of the URL.
    name = "{{ ti.xcom_pull(task_ids='pictures', map_indexes=-1)[ti.map_index].rpartition('/')[2] }}"

    @task_group(default_args={"map_index_template": name})
    def repaint(image: str) -> Any:
        submit = WanxStyleRepaintOperator(
            task_id="submit", image=image, style=STYLE, result_bucket=RESULT_BUCKET
        )
        wait = DashScopeTaskSensor(task_id="wait", dashscope_task_id=submit.output, timeout=4 * 3600)
        return wait.output

    repainted = repaint.expand(image=pictures())

    # One copy for all that succeeded, and so one event: of events that come within the same second, Airflow may leave all but
    # the first to the next run.
    DashScopeToS3Operator(
        task_id="copy",
        dashscope_task_id=repainted,
        s3_bucket=RESULT_BUCKET,
        s3_key="repainted/{style_name}/{source_name}_{dashscope_task_id}_{index}{extension}",
        outlets=[RESULTS],
        trigger_rule="all_done",
    )

    # The copy ends well without those that failed; the run must not.
    @task(trigger_rule="one_failed", retries=0)
    def failures() -> None:
        raise AirflowFailException(
            "Not every new portrait was repainted. The logs of the tasks that failed say why."
        )

    repainted >> failures()
    # [END howto_new_portraits]
