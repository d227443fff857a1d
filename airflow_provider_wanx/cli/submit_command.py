"""``submit``: a task of any asynchronous model, without a DAG; and how every command submits once."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.cli.output import print_record, say
from airflow_provider_wanx.cli.running import DONE, open_client
from airflow_provider_wanx.cli.saving import CommandLog, read_target
from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME_SECONDS
from airflow_provider_wanx.dashscope.errors import (
    InvalidInputError,
    NoFileError,
    ProviderError,
    TaskNotSucceededError,
)
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.pacing.machine import remove_old
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.jobs.submitting.record_stores import FileStore
from airflow_provider_wanx.jobs.submitting.submission_record import SubmissionRecord
from airflow_provider_wanx.jobs.submitting.submitter import Submitter, TaskRequest, fingerprint_of

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient


def submit(arguments: Namespace) -> int:
    """Check the input, submit, and wait and save if that is wanted."""
    content = _json_object("--input", arguments.input) or {}
    parameters = _json_object("--parameters", arguments.parameters)
    files = dict(map(_field_and_path, arguments.file or ()))
    if not content and not files:
        raise InvalidInputError("There is no input: give --input, a JSON object, or --file.")
    target = read_target(arguments.to, arguments) if arguments.to else None
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
        order = Order(client, request)
        task_id = order.submit_once(resubmit=arguments.resubmit)
        row: dict[str, Any] = {"task_id": task_id, "model": arguments.model}
        with order.ending():
            if arguments.wait or target is not None:
                task = client.wait(task_id, poll_interval=arguments.poll_interval, timeout=arguments.timeout)
                row["status"] = str(task.status)
                row["images_billed"] = task.usage.image_count if task.usage else None
                if target is not None:
                    row["saved"] = [saved["place"] for saved in target.save(client, task)]
                else:
                    row["results"] = [file.safe_url for file in task.results]
        order.forget()
    print_record(row, output=arguments.output)
    return DONE


class Order:
    """What a command submits once: its record is in a file of this user, where the same command finds it later.

    :param number: of orders of the same before it in one command.
    """

    def __init__(self, client: DashScopeClient, request: TaskRequest, *, number: int = 0) -> None:
        self._client = client
        self._request = request
        name = f"{fingerprint_of(request, client)[:32]}-{number}.json"
        self._record = SubmissionRecord(FileStore(_folder_of_records()), name=name)
        self.task_id = ""

    def submit_once(self, *, resubmit: bool, say_first: str = "") -> str:
        """Submit, unless a command has before; print the id before anything else can go wrong.

        With the id, the result can be had for a day.

        :param resubmit: whether to submit again when it cannot be found out whether an earlier submission was accepted.
        :param say_first: what is printed if it is submitted now.
        """
        submitter = Submitter(
            client=self._client,
            record=self._record,
            on_unconfirmed="resubmit" if resubmit else "fail",
            claimed=_recorded_ids,
            log=CommandLog(),
            how_to_resubmit="call the command with --resubmit",
        )
        # A record is of no use once its result is gone.
        remove_old(_folder_of_records().glob("*.json"))
        earlier = self._record.read()
        if earlier is not None and time.time() - earlier.time > RESULT_LIFETIME_SECONDS:
            self._record.forget()
        if (task_id := submitter.earlier_task(self._request)) is not None:
            say(
                f"Going on with DashScope task {task_id}, which the same command has submitted before. To submit anew, "
                f"delete {self._record.where}."
            )
        else:
            if say_first:
                say(say_first)
            task_id = submitter.submit(self._request)
            say(f"Submitted as DashScope task {task_id}.")
        self.task_id = task_id
        return task_id

    @contextmanager
    def ending(self, *others: str) -> Iterator[None]:
        """Say, if the block ends before the results were saved, how they can be had.

        A task that has certainly brought nothing is forgotten: then the same command is a new order.

        :param others: tasks whose turn is after it, and will not come if the user interrupts it.
        """
        try:
            yield
        except KeyboardInterrupt:
            say(f"To have the results later: tasks wait {' '.join([self.task_id, *others])} --to PLACE")
            raise
        except ProviderError as error:
            if _has_brought_nothing(error):
                self.forget()
            elif not error.final:
                say(f"To have the result later: tasks wait {self.task_id} --to PLACE")
            raise

    def forget(self) -> None:
        """Forget the submission, after which the same command is a new order."""
        try:
            self._record.forget()
        except ProviderError as error:
            say(f"{error}")


def _has_brought_nothing(error: ProviderError) -> bool:
    """Tell whether a task has no result and never will. One that is UNKNOWN may belong to another account, or be too new."""
    if isinstance(error, TaskNotSucceededError):
        return all(task.status is not TaskStatus.UNKNOWN for task in error.tasks)
    return isinstance(error, NoFileError)


def _folder_of_records() -> Path:
    state = os.environ.get("XDG_STATE_HOME", "")
    # The temporary folder may be emptied, and another command may have another one.
    return (
        Path(state) if Path(state).is_absolute() else Path.home() / ".local/state"
    ) / "airflow-provider-wanx"


def _recorded_ids() -> frozenset[str]:
    """Return the ids of all tasks that commands of this user have recorded."""
    folder, ids = _folder_of_records(), set()
    for path in folder.glob("*.json"):
        with suppress(ProviderError):
            record = SubmissionRecord(FileStore(folder), name=path.name).read()
            if record is not None and record.dashscope_task_id:
                ids.add(record.dashscope_task_id)
    return frozenset(ids)


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
