"""What this package's clients get from the service."""

from __future__ import annotations

import dataclasses

from airflow_provider_wanx.dashscope import (
    AuthenticationError,
    DashScopeClient,
    InvalidInputError,
    TaskNotSucceededError,
    TaskStatus,
    check_image,
)
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL, REPAINT_PRICE, repaint_cost
from tests.conformance.core import DOCUMENTED, RECORDED, Facts, NotObservedError, Observation
from tests.conformance.service import pictures
from tests.conformance.service.tracks import Track
from tests.conformance.service.visit import Visit

FACTS = Facts()


@FACTS.add(
    "client-submits", "the client submits, and the task that it names exists", DOCUMENTED, "model page"
)
def _(visit: Visit) -> Observation:
    first = visit.queue.second.first.output
    return Observation(
        first["task_id"] == visit.queue.second.task_id and first["task_status"] != "UNKNOWN",
        f"{first['task_status']} at the first look",
    )


@FACTS.add(
    "client-reads-task",
    "the client reads a portrait: one file, its style, its price, times with a zone",
    RECORDED,
    "cnblogs/dashscope-sdk, get-task-image-generation-success",
)
def _(visit: Visit) -> Observation:
    visit.success  # noqa: B018 - the task has to have ended
    task = visit.client.get_task(visit.queue.first.task_id)
    times = (task.submit_time, task.scheduled_time, task.start_time, task.end_time)
    zones = sum(each is not None and each.tzinfo is not None for each in times)
    return Observation(
        task.status is TaskStatus.SUCCEEDED
        and len(task.results) == 1
        and task.style_index == 3
        and repaint_cost(task) == REPAINT_PRICE
        and zones == 4,
        f"{task.status}, {len(task.results)} file, style {task.style_index}, {repaint_cost(task)} CNY, {zones} times",
    )


@FACTS.add("client-reads-failure", "the client tells a failed task's code", DOCUMENTED, "model page")
def _(visit: Visit) -> Observation:
    task = visit.client.get_task(visit.failed.output["task_id"])
    return Observation(task.status is TaskStatus.FAILED and bool(task.code), f"{task.status} {task.code}")


@FACTS.add(
    "client-wait", "the client's wait returns a task that has succeeded", DOCUMENTED, "task-management page"
)
def _(visit: Visit) -> Observation:
    visit.success  # noqa: B018 - the task has to have ended
    task = visit.client.wait(visit.queue.first.task_id, timeout=10)
    return Observation(bool(task.results), f"{task.status} with {len(task.results)} file")


@FACTS.add(
    "client-wait-canceled",
    "the client's wait ends with an error when a task was canceled",
    DOCUMENTED,
    "task-management page",
)
def _(visit: Visit) -> Observation:
    visit.queue.third.look("CANCELED")
    try:
        task = visit.client.wait(visit.queue.third.task_id, timeout=10)
    except TaskNotSucceededError as error:
        return Observation(error.tasks[0].status is TaskStatus.CANCELED, f"{error.tasks[0].status}")
    return Observation(False, f"returned {task.status}")


@FACTS.add(
    "client-download",
    "the client downloads a result whole: as long as the store says, and a picture",
    DOCUMENTED,
    "model page",
)
def _(visit: Visit) -> Observation:
    with visit.client.download(visit.result_url) as (received, chunks):
        size = sum(len(chunk) for chunk in chunks)
    return Observation(
        size == received.expected_size == len(visit.result.content),
        f"{size:,} bytes, {received.content_type}",
    )


@FACTS.add(
    "client-lists",
    "the client reads the list: rows with a state, a time and a model, and the service's clock",
    RECORDED,
    "cnblogs/dashscope-sdk, list-task",
)
def _(visit: Visit) -> Observation:
    wanted = visit.queue.first.task_id
    page = visit.client.list_tasks(task_id=wanted)
    row = next((each for each in page.tasks if each.task_id == wanted), None)
    good = row is not None and row.create_time is not None and row.model_name == REPAINT_MODEL
    return Observation(
        good and page.answered_at is not None, f"{len(page.tasks)} row, Date {page.answered_at is not None}"
    )


@FACTS.add(
    "client-cancel-ended",
    "the client takes the refusal to cancel an ended task for “no”, not for an error",
    RECORDED,
    "cnblogs/dashscope-sdk, cancel-completed-task",
)
def _(visit: Visit) -> Observation:
    visit.success  # noqa: B018 - the task has to have ended
    canceled = visit.client.cancel_task(visit.queue.first.task_id)
    return Observation(canceled is False, f"{canceled}")


@FACTS.add(
    "client-wrong-key",
    "the client raises AuthenticationError for a wrong key",
    RECORDED,
    "cnblogs/dashscope-sdk, auth-error",
)
def _(visit: Visit) -> Observation:
    target = visit.target
    config = dataclasses.replace(target.config, api_key="sk-conformance-no-such-key")
    transport = target.transport() if target.transport else None
    with DashScopeClient(config, transport=transport) as client:
        try:
            client.list_tasks(page_size=1)
        except AuthenticationError as error:
            return Observation(True, f"AuthenticationError, code {error.code}")
    return Observation(False, "no error")


@FACTS.add(
    "client-uploads", "the client puts a file into the temporary store", DOCUMENTED, "temporary-storage page"
)
def _(visit: Visit) -> Observation:
    url = visit.client.upload_file(filename="note.txt", content=b"conformance", model=REPAINT_MODEL)
    return Observation(url.startswith("oss://dashscope-instant/"), f"{url.partition('/')[0]}//…")


@FACTS.add("client-limits", "the client reads the model's limits", DOCUMENTED, "quota page")
def _(visit: Visit) -> Observation:
    page = visit.client.get_quotas(model=REPAINT_MODEL)
    found = [quota for quota in page.quotas if quota.model == REPAINT_MODEL and quota.model_limit is not None]
    return Observation(len(found) == 1, f"{len(found)} of {len(page.quotas)} entries")


@FACTS.add(
    "client-checks-pictures",
    "what the client refuses before money is spent, the service refuses as well: a picture of 128 × 128 pixels",
    DOCUMENTED,
    "model page",
)
def _(visit: Visit) -> Observation:
    try:
        check_image(pictures.small(visit.target.portrait), what="a small picture")
    except InvalidInputError:
        small = visit.small
        state = small.status if isinstance(small, Track) else f"HTTP {small.status}"
        return Observation(state != "SUCCEEDED", f"the client refuses, the service: {state}")
    raise NotObservedError("the client does not refuse it")
