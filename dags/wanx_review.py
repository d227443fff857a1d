"""
### Publish no portrait unseen

Run when there are new results, show each of them to a person beside its source, and copy those that were approved to
`s3://wanx-results/published/`. A result that was rejected, or that nobody has looked at for a week, is not published.

The results are those that the events of the asset `s3://wanx-results/repainted` name, as the DAG `wanx_new_portraits` and every
other `DashScopeToS3Operator` with this asset among its outlets leaves them. An object that the event's own task has not written
is passed over, whoever names it. Who is to decide finds the questions under **Browse**, **Required Actions**.

*When to use:* people look at pictures before others see them.
*Needs:* Airflow 3.1 or later; without, there is no such DAG. Connection `aws_default` that may read and write the bucket. The
reviewers may see the DAG that has made the results: the pictures come from the gallery, which checks that.
*Costs:* nothing; no task of this DAG submits.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from inspect import signature
from typing import Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSkipException,
    Asset,
    conf,
    dag,
    task,
    task_group,
)

from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.copying.result_metadata import ownership
from airflow_provider_wanx.s3.objects import user_metadata
from airflow_provider_wanx.version_compat import AIRFLOW_V_3_1_PLUS

# Put your own bucket here; this one exists in the demo only.
RESULT_BUCKET = "wanx-results"
PUBLISHED = "published/"

RESULTS = Asset(f"s3://{RESULT_BUCKET}/repainted")


# [START howto_review_owner]
def version_made_by(event: Any, entry: dict[str, Any]) -> str | None:
    """Return the ETag of a result if the task that has sent the event has written it, as its metadata says; else None."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # heavy: not for DAG parsing

    if event.source_dag_id is None:
        # It came through the API, where anybody who may send events could name any object.
        return None
    sender = Identity(
        dag_id=event.source_dag_id,
        run_id=event.source_run_id,
        task_id=event.source_task_id,
        map_index=event.source_map_index,
    )
    there = S3Hook("aws_default").head_object(entry["key"], entry["bucket"])
    owned = there is not None and ownership(sender).items() <= user_metadata(there).items()
    return there["ETag"] if owned else None


# [END howto_review_owner]


@dag(
    dag_id="wanx_review",
    schedule=[RESULTS],
    catchup=False,
    tags=["dashscope", "wanx"],
    doc_md=__doc__,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
)
def wanx_review() -> None:
    from airflow.providers.standard.operators.hitl import (  # from Airflow 3.1 on
        ApprovalOperator,
        HITLOperator,
    )

    # What limits the wait for an answer is called so since version 1.13 of the standard provider.
    named = "response_timeout" in signature(HITLOperator).parameters
    answer_within = {"response_timeout" if named else "execution_timeout": timedelta(days=7)}

    # [START howto_review]
    @task
    def results(triggering_asset_events: Any = None) -> list[dict[str, str]]:
        # Behind a reverse proxy, Airflow may live below a path of its own.
        gallery = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/") + "/wanx/gallery"
        found = {}
        for event in triggering_asset_events.get(RESULTS, ()) if triggering_asset_events else ():
            place = ("dags", event.source_dag_id, "runs", event.source_run_id, "tasks", event.source_task_id)
            task_page = "/".join([gallery, *(quote(str(part), safe="") for part in place)])
            for number, entry in enumerate(event.extra.get("objects", ())):
                etag = version_made_by(event, entry)
                if etag is None:
                    continue
                page = f"{task_page}/{event.source_map_index}/results/{number}"
                found[entry["bucket"], entry["key"]] = {
                    "subject": f"Publish {entry['key'].rpartition('/')[2]}?",
                    "body": f"![The portrait]({page}/source) ![The result]({page}/result)\n\n"
                    f"[Show them large, with all that is known of them]({page})",
                    "bucket": entry["bucket"],
                    "key": entry["key"],
                    "etag": etag,
                }
        if not found:
            raise AirflowFailException(
                f"No event of the asset {RESULTS.uri} names a result of its task, so there is nothing to review. "
                "Run wanx_new_portraits, which leaves such events."
            )
        return list(found.values())

    name = "{{ ti.xcom_pull(task_ids='results', map_indexes=-1)[ti.map_index]['key'].rpartition('/')[2] }}"

    @task_group(default_args={"map_index_template": name})
    def review(subject: str, body: str, bucket: str, key: str, etag: str) -> None:
        # No answer in time fails the task, and a retry would only ask once more.
        approve = ApprovalOperator(task_id="approve", subject=subject, body=body, retries=0, **answer_within)

        @task
        def publish(answer: dict[str, Any], bucket: str, key: str, etag: str) -> str:
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook  # heavy: not for DAG parsing

            # Not left to the operator: of mapped tasks, Airflow 3.3.2 runs what follows a rejection.
            if answer["chosen_options"] != [ApprovalOperator.APPROVE]:
                raise AirflowSkipException(f"Rejected, so it is not published: s3://{bucket}/{key}.")
            published = PUBLISHED + key.rpartition("/")[2]
            s3 = S3Hook("aws_default")
            there = s3.head_object(key, bucket)
            if there is None or there["ETag"] != etag:
                raise AirflowFailException(
                    f"Not what was approved any more, so not published: s3://{bucket}/{key}."
                )
            s3.copy_object(key, published, bucket, RESULT_BUCKET, CopySourceIfMatch=etag)
            return f"s3://{RESULT_BUCKET}/{published}"

        publish(approve.output, bucket, key, etag)

    review.expand_kwargs(results())
    # [END howto_review]


if AIRFLOW_V_3_1_PLUS:
    review_dag = wanx_review()
else:
    logging.getLogger(__name__).warning(
        "There is no DAG wanx_review: asking a person needs Airflow 3.1 or later."
    )
