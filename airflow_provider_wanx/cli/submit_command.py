"""``submit``: a task of any asynchronous model, without a DAG."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.cli.output import print_record, say
from airflow_provider_wanx.cli.running import DONE, open_client
from airflow_provider_wanx.cli.saving import target_of
from airflow_provider_wanx.dashscope.errors import InvalidInputError, ProviderError
from airflow_provider_wanx.dashscope.redaction import quoted

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient


def submit(arguments: Namespace) -> int:
    """Check the input, submit, and wait and save if that is wanted."""
    content = _json_object("--input", arguments.input) or {}
    parameters = _json_object("--parameters", arguments.parameters)
    files = [_field_and_path(each) for each in arguments.file or ()]
    target = target_of(arguments)
    with open_client(arguments) as client:
        if target is not None:
            target.check(client)
        for field, path in files:
            content[field] = client.upload_file(
                filename=path.name, content=_read(path), model=arguments.model
            )
        if not content:
            raise InvalidInputError("There is no input: give --input, a JSON object, or --file.")
        task_id = submit_once(
            client, service=arguments.service, model=arguments.model, input=content, parameters=parameters
        )
        record: dict[str, Any] = {"task_id": task_id, "model": arguments.model}
        if arguments.wait or target is not None:
            with to_be_had_later(task_id):
                task = client.wait(task_id, poll_interval=arguments.poll_interval, timeout=arguments.timeout)
                record["status"] = str(task.status)
                record["images_billed"] = task.usage.image_count if task.usage else None
                if target is not None:
                    record["saved"] = [saved["place"] for saved in target.save(client, task)]
                else:
                    record["results"] = [file.safe_url for file in task.results]
    print_record(record, output=arguments.output)
    return DONE


def submit_once(client: DashScopeClient, **new_task: Any) -> str:
    """Submit, and print the id before anything else can go wrong: with it, the result can be had for a day."""
    try:
        submission = client.submit_task(**new_task)
    except ProviderError as error:
        if not error.certainly_refused:
            say(
                "It is not known whether the service has accepted it. Look at tasks list before you try again."
            )
        raise
    say(f"Submitted as DashScope task {submission.task_id}.")
    return submission.task_id


@contextmanager
def to_be_had_later(task_id: str, *others: str) -> Iterator[None]:
    """Say, if the block ends before the results of a task were saved, how they can be had.

    :param others: tasks whose turn is after it, and will not come if the user interrupts it.
    """
    try:
        yield
    except KeyboardInterrupt:
        say(f"To have the results later: tasks wait {' '.join([task_id, *others])} --to PLACE")
        raise
    except ProviderError as error:
        if not error.final:
            say(f"To have the result later: tasks wait {task_id} --to PLACE")
        raise


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
