"""S3 keys for results: from a template, always the same for the same result, and safe."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.models import Task
from airflow_provider_wanx.dashscope.picture_address import source_name
from airflow_provider_wanx.dashscope.styles import style_name

FIELDS = ("dashscope_task_id", "index", "style", "style_name", "source_name", "extension", "run_id")
"""What may stand in braces in a key."""

DEFAULT_NAME = "{dashscope_task_id}_{index}{extension}"
"""File name for keys that end in a slash."""

MAX_KEY_BYTES = 1024
"""S3's limit."""


LEDGER = "_ledger/"
"""Folder in a batch's destination in which the batch remembers what it has paid for."""


@dataclass(frozen=True)
class KeyTemplate:
    """A key with fields in braces, see :data:`FIELDS`.

    :param template: for example ``portraits/{run_id}/{dashscope_task_id}_{index}{extension}``.
    :param fields: what may stand in braces.
    :param default_name: file name for a template that ends in a slash.
    :raises InvalidInputError: it is empty, climbs out of its prefix, or has an unknown field.
    """

    template: str
    fields: tuple[str, ...] = FIELDS
    default_name: str = DEFAULT_NAME

    def __post_init__(self) -> None:
        template = self.template.lstrip("/")
        if not template:
            raise InvalidInputError("s3_key is empty.")
        if "://" in template:
            raise InvalidInputError(
                f"s3_key is a URL. Give its bucket as s3_bucket, and the key alone: {template!r}."
            )
        if _climbs(template):
            raise InvalidInputError(f"s3_key is no safe key: '.' and '..' are no names in it: {template!r}.")
        check_no_ledger(template)
        object.__setattr__(
            self, "template", template + self.default_name if template.endswith("/") else template
        )
        try:
            parts = list(string.Formatter().parse(self.template))
        except ValueError as error:
            raise InvalidInputError(f"s3_key cannot be read: {error}: {self.template!r}.") from None
        for _, name, spec, conversion in parts:
            if name is not None and (name not in self.fields or spec or conversion):
                known = ", ".join(f"{{{field}}}" for field in self.fields)
                raise InvalidInputError(f"s3_key has {{{name}}}, which is not known. Known are {known}.")

    def render(self, values: Mapping[str, str]) -> str:
        """Make a key.

        :param values: field → its value for this result; anything but plain characters becomes a hyphen.
        :raises InvalidInputError: the key would be none that S3 takes, or would climb out of its prefix.
        """
        key = self.template.format(**{field: _safe(value) for field, value in values.items()})
        is_a_name = key and not key.startswith("/") and not key.endswith("/")
        if not is_a_name or _climbs(key) or len(key.encode()) > MAX_KEY_BYTES:
            raise InvalidInputError(f"s3_key becomes no safe key: {key!r}.")
        check_no_ledger(key)
        return key

    def check_source(self, task_id: str, source: str | None) -> None:
        """Refuse a template that takes the source's name where there is no source.

        :param task_id: DashScope's id of the task.
        :param source: address of the picture that the task was made from.
        :raises InvalidInputError: it does.
        """
        if source is None and "{source_name}" in self.template:
            raise InvalidInputError(
                f"s3_key has {{source_name}}, and nothing tells what DashScope task {task_id} was made from. "
                "Give source, or leave the field out."
            )

    def render_result(
        self, task: Task, index: int, *, extension: str, run_id: str, source: str | None = None
    ) -> str:
        """Make the key of one result of a task, from the fields of :data:`FIELDS`.

        :param index: position among the task's results, from 0.
        :param extension: with its dot, or empty.
        :param source: address of the picture that the task was made from.
        :raises InvalidInputError: the key takes the source's name, and there is no source.
        """
        style = task.style_index
        self.check_source(task.task_id, source)
        return self.render(
            {
                "dashscope_task_id": task.task_id,
                "index": str(index),
                "style": "none" if style is None else str(style),
                "style_name": "no-style" if style is None else style_name(style).lower(),
                "source_name": "" if source is None else source_name(source),
                "extension": extension,
                "run_id": run_id,
            }
        )

    def check_distinct(
        self, tasks: Iterable[Task], *, run_id: str, sources: Mapping[str, str | None] | None = None
    ) -> None:
        """Refuse a template that gives two results the same key, before the first is written.

        :param sources: what each task was made from, by its id.
        :raises InvalidInputError: it does.
        """
        owners: dict[str, str] = {}
        for task in tasks:
            for index in range(len(task.results) or int(task.made_only_data)):
                source = (sources or {}).get(task.task_id)
                key = self.render_result(task, index, extension="", run_id=run_id, source=source)
                here = f"result {index} of task {task.task_id}"
                if key in owners:
                    raise InvalidInputError(
                        f"s3_key gives two results the same key: {owners[key]} and {here}. "
                        f"Put {{dashscope_task_id}} and {{index}} into it: {self.template!r}."
                    )
                owners[key] = here


def check_no_ledger(key: str) -> None:
    """Refuse to write among the objects of a batch's ledger.

    :raises InvalidInputError: the key lies there.
    """
    if f"/{LEDGER}" in f"/{key}":
        raise InvalidInputError(
            f"{key!r} lies in {LEDGER}, where a batch remembers what it has paid for. Choose another place for results."
        )


def _climbs(key: str) -> bool:
    return any(part in (".", "..") for part in key.split("/"))


def _safe(value: str) -> str:
    # Letters of any script stay: S3 takes them, and names of pictures have them.
    return re.sub(r"[^\w.=-]+", "-", value)
