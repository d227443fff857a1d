"""``submit``: a task of any asynchronous model, without a DAG; and how every command submits once."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.cli.output import print_record, say
from airflow_provider_wanx.cli.running import DONE, open_client
from airflow_provider_wanx.cli.saving import Sayings, target_of
from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME_SECONDS
from airflow_provider_wanx.dashscope.errors import InvalidInputError, ProviderError, TaskNotSucceededError
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.jobs.record import SubmissionRecord
from airflow_provider_wanx.jobs.records import MachineStore
from airflow_provider_wanx.jobs.submitter import Submitter, TaskRequest, fingerprint_of

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient


def submit(arguments: Namespace) -> int:
    """Check the input, submit, and wait and save if that is wanted."""
    content = _json_object("--input", arguments.input) or {}
    parameters = _json_object("--parameters", arguments.parameters)
    files = dict(map(_field_and_path, arguments.file or ()))
    if not content and not files:
        raise InvalidInputError("There is no input: give --input, a JSON object, or --file.")
    target = target_of(arguments)
    with open_client(arguments) as client:
        if target is not None:
            target.check()

        def build_input() -> dict[str, Any]:
            urls = {
                field: client.upload_file(filename=path.name, content=_read(path), model=arguments.model)
                for field, path in files.items()
            }
            return {**content, **urls}

        request = TaskRequest(
            service=arguments.service,
            model=arguments.model,
            identity={
                **content,
                **{field: hashlib.sha256(_read(path)).hexdigest() for field, path in files.items()},
            },
            build_input=build_input,
            parameters=parameters,
        )
        record = record_of(client, request)
        task_id = submit_once(client, request, record, resubmit=arguments.resubmit)
        row: dict[str, Any] = {"task_id": task_id, "model": arguments.model}
        with ending(record, task_id):
            if arguments.wait or target is not None:
                task = client.wait(task_id, poll_interval=arguments.poll_interval, timeout=arguments.timeout)
                row["status"] = str(task.status)
                row["images_billed"] = task.usage.image_count if task.usage else None
                if target is not None:
                    row["saved"] = [saved["place"] for saved in target.save(client, task)]
                else:
                    row["results"] = [file.safe_url for file in task.results]
    print_record(row, output=arguments.output)
    return DONE


def record_of(client: DashScopeClient, request: TaskRequest, *, number: int = 0) -> SubmissionRecord:
    """Open the record of a submission in a file of this machine, which a command that is called again finds there.

    :param number: of submissions of the same before it in one command.
    """
    name = f"submission-{fingerprint_of(request, client)[:32]}-{number}.json"
    return SubmissionRecord(MachineStore(), name=name)


def submit_once(
    client: DashScopeClient, request: TaskRequest, record: SubmissionRecord, *, resubmit: bool = False
) -> str:
    """Submit, unless a command that was broken off has; print the id before anything else can go wrong.

    With the id, the result can be had for a day.

    :param resubmit: whether to submit again when it cannot be found out whether an earlier submission was accepted.
    """
    submitter = Submitter(
        client=client,
        record=record,
        on_unconfirmed="resubmit" if resubmit else "fail",
        log=Sayings(),
        how_to_resubmit="call the command with --resubmit",
    )
    earlier = record.read()
    if earlier is not None and time.time() - earlier.time > RESULT_LIFETIME_SECONDS:
        # Its result is gone.
        record.forget()
    if (task_id := submitter.earlier_task(request)) is not None:
        say(f"Going on with DashScope task {task_id}, which a command that was broken off has submitted.")
        return task_id
    task_id = submitter.submit(request)
    say(f"Submitted as DashScope task {task_id}.")
    return task_id


@contextmanager
def ending(record: SubmissionRecord, task_id: str, *others: str) -> Iterator[None]:
    """Forget a submission once the block has come to an end, after which the same is a new wish.

    If the block ends before the results were saved, say how they can be had; the same command goes on with the task too.

    :param others: tasks whose turn is after it, and will not come if the user interrupts it.
    """
    try:
        yield
    except KeyboardInterrupt:
        say(f"To have the results later: tasks wait {' '.join([task_id, *others])} --to PLACE")
        raise
    except ProviderError as error:
        if isinstance(error, TaskNotSucceededError):
            _forget(record)
        if not error.final:
            say(f"To have the result later: tasks wait {task_id} --to PLACE")
        raise
    _forget(record)


def _forget(record: SubmissionRecord) -> None:
    try:
        record.forget()
    except ProviderError as error:
        say(f"{error}")


def _json_object(option: str, text: str | None) -> dict[str, Any] | None:
    """Read an option that is a JSON object, a file with one (``@file``), or ``-`` for the standard input."""
    if text is None:
        return None
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).expanduser().read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as error:
        raise InvalidInputError(f"{option} {quoted(text)}: {error.strerror or error}.") from None
    except ValueError as error:
        raise InvalidInputError(f"{option} is no JSON: {error}.") from None
    if not isinstance(found, dict):
        raise InvalidInputError(f"{option} is no JSON object, but {type(found).__name__}.")
    return found


def _field_and_path(text: str) -> tuple[str, Path]:
    field, equals, path = text.partition("=")
    if not (field and equals and path):
        raise InvalidInputError(f"--file {quoted(text)} is not like image_url=portrait.jpg.")
    found = Path(path).expanduser()
    if not found.is_file():
        raise InvalidInputError(f"--file {quoted(text)}: there is no such file.")
    return field, found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror or error}.") from None
