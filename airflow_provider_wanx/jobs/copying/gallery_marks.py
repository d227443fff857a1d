"""The mark that a task leaves in Airflow's XComs when it has put pictures into S3: how the gallery finds them.

A mark is a small XCom under a key of its own. What a list of runs shows stands in the mark itself, so that no other XCom is
read for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MARK = "wanx_gallery"
"""Key of the XCom."""


def copy_mark(manifest: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make the mark of a copy, whose manifest is its return value."""
    costs = [entry["cost"] for entry in manifest if entry["cost"] is not None]
    return {
        "version": 1,
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
        "version": 1,
        "kind": "batch",
        "bucket": bucket,
        "prefix": prefix,
        "rows": summary["images"],
        "images": summary.get("succeeded", 0),
        "cost": summary["cost"],
    }
