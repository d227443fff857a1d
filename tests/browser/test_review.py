"""The reviewer's way: from the question to the published object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import expect

from tests import demo
from tests.browser.support.chromium import Visit
from tests.stack import LocalStack, TaskInstance, wait_until


def test_a_reviewer_sees_portrait_and_result_in_the_question_and_publishes_by_approving(
    stack: LocalStack, enter: Callable[..., Visit]
) -> None:
    for path in demo.portraits():
        stack.s3.put(bucket=demo.BUCKET, key=f"{demo.PREFIX}{path.name}", body=path.read_bytes())
    stack.s3.client.create_bucket(Bucket=demo.RESULTS)
    api = stack.airflow.api
    for dag_id in ("wanx_new_portraits", "wanx_review"):
        api.set_paused(dag_id=dag_id, paused=False)
    extra = {"keys": [f"{demo.PREFIX}astronaut.png"]}
    api.create_asset_event(uri=f"s3://{demo.BUCKET}/portraits", extra=extra)
    asked = wait_until(lambda: _asked(stack), interval=0.5, what="a question")

    reviewer = enter("admin")
    page = reviewer.page
    reviewer.open("/required_actions?response_received=false")
    page.get_by_role("link", name="Publish astronaut").click()
    for name in ("The portrait", "The result"):
        assert shown(page.get_by_role("img", name=name))
    wait_until(lambda: stack.airflow.worker_has_left(asked), what="the worker that has asked to end")
    page.get_by_role("button", name="Approve").click()

    run = api.wait_for_run(dag_id=asked.dag_id, run_id=asked.dag_run_id)
    assert run.state == "success"
    keys = [each.key for each in stack.s3.list(bucket=demo.RESULTS)]
    assert f"published/{asked.rendered_map_index}" in keys
    reviewer.assert_harmless()


def _asked(stack: LocalStack) -> TaskInstance | None:
    api = stack.airflow.api
    for run in api.runs(dag_id="wanx_review"):
        for each in api.task_instances(dag_id=run.dag_id, run_id=run.dag_run_id, task_id="review.approve"):
            if each.state == "awaiting_input":
                return each
    return None


def shown(picture: Any) -> bool:
    """Whether a picture was loaded, and has more than a pixel."""
    expect(picture).to_be_visible()
    width: int = picture.evaluate("async (image) => { await image.decode(); return image.naturalWidth; }")
    return width > 100
