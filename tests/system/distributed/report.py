"""What the distributed run found: as JSON, and between two marks in the page about reliability."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.reports.marked import replace_part
from tests.system.distributed.fleet import Outcome


def write(outcome: Outcome, *, images: int, folder: Path, played_on: str) -> None:
    """Write the figures.

    :param outcome: what was found
    :param images: images of each of the two DAGs
    :param folder: where ``distributed.json`` goes, and where the table in ``reliability.md`` is replaced, if that is there
    :param played_on: what it was found out with
    """
    figures = _figures(outcome, images, played_on)
    folder.joinpath("distributed.json").write_text(json.dumps(figures, indent=2) + "\n")
    page = folder / "reliability.md"
    if not page.exists():
        return
    replace_part(page, "distributed", _table(figures))


def _figures(outcome: Outcome, images: int, played_on: str) -> dict[str, Any]:
    submit = outcome.endpoints["submit"]
    return {
        "played_on": played_on,
        "images": 2 * images,
        "submitted_once": sum(times == 1 for times in outcome.submissions.values()),
        "submitted_more_often": sum(times > 1 for times in outcome.submissions.values()),
        "objects_equal": sum(body in outcome.objects.values() for body in outcome.results.values()),
        "killed_at": outcome.killed,
        "requests": outcome.requests,
        "refused": outcome.refused,
        "submissions": submit["requests"],
        "submissions_refused": submit["refused"],
        "submissions_per_second": round(outcome.submissions_per_second, 2),
        "seconds": round(outcome.seconds),
    }


def _table(figures: dict[str, Any]) -> str:
    killed = ", ".join(f"{name} at {count}" for name, count in figures["killed_at"].items())
    share = 100 * figures["refused"] / figures["requests"]
    rows = {
        "Images: half in tasks of their own, half in one task": figures["images"],
        "Submitted once": figures["submitted_once"],
        "Objects equal to the service's results": figures["objects_equal"],
        "Killed, at how many accepted submissions": killed,
        "Requests to the service": figures["requests"],
        "Refused for the rate": f"{figures['refused']} ({share:.1f} %)",
        "Of these, submissions": f"{figures['submissions_refused']} of {figures['submissions']}",
        "Submissions a second, of 2 allowed": figures["submissions_per_second"],
        "Seconds": figures["seconds"],
    }
    lines = [f"{figures['played_on']}, PostgreSQL, Redis.", "", "| | |", "|---|---:|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items()), ""])
