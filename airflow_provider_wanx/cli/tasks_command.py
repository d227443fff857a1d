"""``tasks``: list, show, cancel, wait."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.cli.output import iso, print_record, print_rows, say
from airflow_provider_wanx.cli.running import DONE, REFUSED, failure_code, open_client
from airflow_provider_wanx.cli.saving import Target, read_target
from airflow_provider_wanx.dashscope.errors import ConfigurationError, ProviderError, TaskNotSucceededError
from airflow_provider_wanx.dashscope.models import TaskStatus

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.dashscope.models import Task, TaskRow


def list_tasks(arguments: Namespace) -> int:
    """List tasks, page by page until the limit."""
    rows: list[TaskRow] = []
    page_no = 1
    with open_client(arguments) as client:
        while len(rows) < arguments.limit:
            page = client.list_tasks(
                status=arguments.status,
                model_name=arguments.model,
                page_no=page_no,
                page_size=min(50, arguments.limit),
            )
            rows += page.tasks
            if not page.has_more:
                break
            page_no += 1
    print_rows(
        [
            {
                "task_id": row.task_id,
                "status": str(row.status),
                "model": row.model_name,
                "submitted": iso(row.create_time),
                "ended": iso(row.end_time),
            }
            for row in rows[: arguments.limit]
        ],
        ("task_id", "status", "model", "submitted", "ended"),
        output=arguments.output,
    )
    return DONE


def show_task(arguments: Namespace) -> int:
    """Show all that the service tells of a task; of its results' URLs without the signature."""
    with open_client(arguments) as client:
        task = client.get_task(arguments.task_id)
    print_record(_record(task), output=arguments.output)
    if task.status is TaskStatus.UNKNOWN:
        say(f"Error: {_not_known(task.task_id)}")
        return REFUSED
    if task.results:
        say(f"To save the results: tasks wait {task.task_id} --to PLACE")
    return DONE


def _not_known(task_id: str) -> str:
    return f"The service does not know task {task_id}: the id is wrong, belongs to another account, or is older than 24 hours."


def _record(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "status": str(task.status),
        "code": task.code,
        "message": task.message,
        "submitted": iso(task.submit_time),
        "started": iso(task.start_time or task.scheduled_time),
        "ended": iso(task.end_time),
        "images_billed": task.usage.image_count if task.usage else None,
        "results": [file.safe_url for file in task.results],
        "failures": [f"{failure.path}: {failure.reason}" for failure in task.failures],
    }


def cancel_tasks(arguments: Namespace) -> int:
    """Cancel what is still queued."""
    rows = []
    with open_client(arguments) as client:
        for task_id in arguments.task_ids:
            canceled, why = _cancel(client, task_id)
            rows.append({"task_id": task_id, "canceled": canceled})
            if why:
                say(why)
    print_rows(rows, ("task_id", "canceled"), output=arguments.output)
    return DONE if all(row["canceled"] for row in rows) else REFUSED


def _cancel(client: DashScopeClient, task_id: str) -> tuple[bool, str | None]:
    """Cancel one task; say why it is not. The others are to be canceled whatever is wrong with it."""
    try:
        if client.cancel_task(task_id):
            return True, None
        if client.get_task(task_id).status is TaskStatus.UNKNOWN:
            return False, f"Error: {_not_known(task_id)}"
    except ConfigurationError:
        raise
    except ProviderError as error:
        return False, f"Error: {error}"
    return (
        False,
        f"Task {task_id} is past canceling; only queued tasks can be. It costs money if it succeeds.",
    )


def wait_for_tasks(arguments: Namespace) -> int:
    """Wait for tasks one after the other, and save the results of those that succeed."""
    rows, code = [], DONE
    target = read_target(arguments.to, arguments) if arguments.to else None
    with open_client(arguments) as client:
        if target is not None:
            target.check(several=len(arguments.task_ids) > 1)
        # The service works first in, first out. To watch thirty queued tasks at once took eight times as many requests.
        for task_id in arguments.task_ids:
            row, its_code = _waited(client, task_id, target, arguments)
            rows.append(row)
            code = max(code, its_code)
    print_rows(rows, ("task_id", "status", "saved"), output=arguments.output)
    return code


def _waited(
    client: DashScopeClient, task_id: str, target: Target | None, arguments: Namespace
) -> tuple[dict[str, Any], int]:
    row: dict[str, Any] = {"task_id": task_id, "status": None, "saved": []}
    try:
        task = client.wait(task_id, poll_interval=arguments.poll_interval, timeout=arguments.timeout)
        row["status"] = str(task.status)
        if target is not None:
            row["saved"] = [saved["place"] for saved in target.save(client, task)]
    except ProviderError as error:
        # The other tasks were paid for too.
        say(f"Error: {error}")
        if isinstance(error, TaskNotSucceededError):
            row["status"] = str(error.tasks[0].status)
        return row, failure_code(error)
    return row, DONE
