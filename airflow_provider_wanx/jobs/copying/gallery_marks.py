"""The mark that a task leaves in Airflow's XComs when it has put pictures into S3: how the gallery finds them.

A mark is a small XCom under a key of its own. What a list of runs shows stands in the mark itself, so that no other XCom is
read for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_wanx.identity import Identity

MARK = "wanx_gallery"
"""Key of the XCom."""

VERSION = 1

TASK = "airflow-task"
"""Metadata of an object: a digest of DAG and task of the task instance that has written it."""

TASK_INSTANCE = "airflow-task-instance"
"""Metadata of an object: a digest of the whole identity of the task instance that has written it."""


def ownership(identity: Identity) -> dict[str, str]:
    """Make the metadata by which an object says which task instance has written it.

    As digests: ids may have 250 characters of any alphabet, and S3 takes 2 KB of ASCII in all.
    """
    task = (identity.dag_id, identity.task_id)
    # In a region, its index is what tells task instances apart; the one among mapped copies is the same, or -1.
    index = (
        (identity.map_index,) if identity.region_id is None else (identity.region_id, identity.region_index)
    )
    return {TASK: _digest(task), TASK_INSTANCE: _digest((*task, identity.run_id, *index))}


def _digest(ids: tuple[str | int | None, ...]) -> str:
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:32]


def copy_mark(manifest: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make the mark of a copy, whose manifest is its return value."""
    costs = [entry["cost"] for entry in manifest if entry["cost"] is not None]
    return {
        "version": VERSION,
        "kind": "copy",
        "images": len(manifest),
        "cost": round(sum(costs), 2) if costs else None,
    }


def batch_mark(summary: Mapping[str, Any], *, bucket: str, prefix: str) -> dict[str, Any]:
    """Make the mark of a batch, whose manifest and ``status.json`` are in its destination.

    :param summary: the batch's summary as it is now.
    :param bucket: the destination's bucket.
    :param prefix: what all its keys begin with: empty, or ending in a slash.
    """
    return {
        "version": VERSION,
        "kind": "batch",
        "bucket": bucket,
        "prefix": prefix,
        "rows": summary["images"],
        "images": summary.get("succeeded", 0),
        "cost": summary["cost"],
    }
