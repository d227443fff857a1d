"""
### Repaint thousands of portraits in one task

Repaint every picture below a folder, at the account's pace and without holding a worker, and copy the results to S3 as they
come. What is done stands in a ledger beside the results: another run with the same source, style and destination goes on where
the last one ended, and submits nothing twice.

*When to use:* some hundred pictures or more. The run may take days.
*Needs:* connection `dashscope_default` with an API key; connection `aws_default` that may read the source, and read and write
the destination. The service fetches the pictures through presigned URLs, so it must be able to reach the bucket.
*Costs:* one image for each picture, 0.12 CNY. The form starts with a dry run, which costs nothing and says what the real
one would.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, AssetAlias, Param

from airflow_provider_wanx.dashscope.styles import WanxStyle
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator

STYLES = {
    style.english: f"{style.english} · {style.chinese} · {style.number}"
    for style in WanxStyle
    if style is not WanxStyle.REFERENCE_IMAGE
}

with DAG(
    dag_id="wanx_bulk",
    schedule=None,
    catchup=False,
    tags=["dashscope", "wanx"],
    doc_md=__doc__,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    params={
        "source": Param(
            "s3://wanx-portraits/portraits/",
            type="string",
            # No folders of the worker, and no connection before the bucket: the operator refuses them too.
            pattern=r"^(s3|gs|abfss?)://[^@/]+(/|$)",
            title="Folder of the portraits",
            description="Put your own folder here; this one exists in the demo only. "
            "s3://bucket/prefix/, or a gs:// or abfs:// folder that the worker may read",
        ),
        "glob": Param(
            None,
            type=["string", "null"],
            pattern=r"^$|\*",
            title="Pattern of paths below the folder",
            description="With an asterisk, for example **/*.png; empty: everything with a picture's extension",
        ),
        "style": Param(
            "fresh",
            type="string",
            enum=list(STYLES),
            values_display=STYLES,
            title="Style",
            description="Type a part of the English or Chinese name, or the number, to find one",
        ),
        "destination": Param(
            "s3://wanx-results/bulk/",
            type="string",
            pattern="^s3://[^@/]+/.",
            title="Destination",
            description="s3://bucket/prefix/, one for each batch. The bucket must exist: nothing is submitted otherwise",
        ),
        "dry_run": Param(
            True,
            type="boolean",
            title="Dry run",
            description="Only say what would be refused, what it would cost and how long it would take",
        ),
        "max_cost": Param(
            None,
            type=["number", "null"],
            minimum=0,
            title="Budget in CNY",
            description="Nothing is submitted that could exceed it; empty: no limit",
        ),
        "max_failures": Param(
            0.1,
            type=["number", "null"],
            minimum=0,
            title="Failures that end the batch",
            description="More than this number of images, or than this share of them if it is below 1; empty: only if all fail",
        ),
    },
) as dag:
    # [START howto_bulk]
    repaint = WanxStyleRepaintBatchOperator(
        task_id="repaint",
        images="{{ params.source.rstrip('/') }}/{{ params.glob or '' }}",
        style="{{ params.style }}",
        destination="{{ params.destination }}",
        dry_run="{{ params.dry_run }}",
        max_cost="{{ params.max_cost }}",
        max_failures="{{ params.max_failures }}",
        outlets=[AssetAlias("repainted portraits in bulk")],
    )
    # [END howto_bulk]
