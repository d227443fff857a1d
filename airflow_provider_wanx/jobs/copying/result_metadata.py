"""What a result in S3 says of itself, as metadata of the object: its task, what it was made from, and who has written it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from airflow_provider_wanx.identity import Identity

DASHSCOPE_TASK_ID = "dashscope-task-id"
"""The id of the task that has made it: an object is recognized by it as the result of that task."""

DASHSCOPE_REQUEST_ID = "dashscope-request-id"
"""The id of the request that has read the task, for the service's support."""

SOURCE = "dashscope-source"
"""The address of the picture that it was made from, percent-encoded as a whole."""

STYLE = "dashscope-style"
"""The number of its style."""

AIRFLOW_TASK = "airflow-task"
"""A digest of DAG and task of the task instance that has written it."""

AIRFLOW_TASK_INSTANCE = "airflow-task-instance"
"""A digest of the whole identity of the task instance that has written it."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a result was made from, as far as it is known.

    :param source: address of the picture, as :func:`~airflow_provider_wanx.dashscope.picture_address.source_address` writes it.
    :param style: the service's ``style_index``.
    :param model: the model's name.
    """

    source: str | None = None
    style: int | None = None
    model: str | None = None

    def metadata(self) -> dict[str, str]:
        """Write it as the metadata of an S3 object, which takes ASCII only. :func:`urllib.parse.unquote` reads the source."""
        source = {} if self.source is None else {SOURCE: metadata_text(self.source)}
        return source if self.style is None else {**source, STYLE: str(self.style)}


def ownership(identity: Identity) -> dict[str, str]:
    """Make the metadata by which an object says which task instance has written it.

    As digests: ids may have 250 characters of any alphabet, and S3 takes 2 KB of ASCII in all.
    """
    task = (identity.dag_id, identity.task_id)
    # In a region, its index is what tells task instances apart; the one among mapped copies is the same, or -1.
    index = (
        (identity.map_index,) if identity.region_id is None else (identity.region_id, identity.region_index)
    )
    return {AIRFLOW_TASK: _digest(task), AIRFLOW_TASK_INSTANCE: _digest((*task, identity.run_id, *index))}


def _digest(ids: tuple[str | int | None, ...]) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:32]


def metadata_text(text: str, *, limit: int = 1024) -> str:
    """Write a text as S3's metadata takes it: percent-encoded where it is not ASCII, and not endless.

    :param limit: its longest form, in characters; S3 takes 2 KB for an object, and the user may add some.
    """
    text = text[:limit]
    while len(encoded := quote(text, safe="/:@!$&'()*+,;=", errors="replace")) > limit:
        text = text[:-1]
    return encoded
