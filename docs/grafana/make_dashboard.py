"""Write ``dashscope.json``, a Grafana dashboard over what Prometheus has read from statsd_exporter.

Run it in the repository's root: ``.venv/bin/python docs/grafana/make_dashboard.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_wanx.dashscope import measures
from airflow_provider_wanx.dashscope.measures import Measure

TARGET = Path(__file__).with_name("dashscope.json")

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 8, 7


class Panel(NamedTuple):
    """A panel: title, unit as Grafana names it, and queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


def name(measure: Measure, *parts: str) -> str:
    """Return a metric's name in Prometheus, as statsd_exporter makes it of the name without tags."""
    return "_".join(["airflow", measure.name, *parts]).replace(".", "_")


def rate(measure: Measure, *parts: str) -> str:
    """Return how much of a counter comes in a second."""
    return f"sum(rate({name(measure, *parts)}[$__rate_interval]))"


def in_range(measure: Measure) -> str:
    """Return how much of a counter has come in the time that is shown."""
    return f"sum(increase({name(measure)}[$__range]))"


def mean(measure: Measure) -> str:
    """Return the mean of a timing."""
    total, count = (f"sum(rate({name(measure)}_{part}[$__rate_interval]))" for part in ("sum", "count"))
    return f"{total} / {count}"


def highest(measure: Measure) -> str:
    """Return what nine in ten values of a timing are below, of whichever exporter has the most."""
    return f'max({name(measure)}{{quantile="0.9"}})'


def both(measure: Measure) -> tuple[tuple[str, str], ...]:
    """Return mean and 90th percentile of a timing."""
    return (mean(measure), "mean"), (highest(measure), "90 %")


PANELS = (
    Panel("Images", "short", ((in_range(measures.IMAGES), "images"),), "stat"),
    Panel("Cost (CNY)", "short", ((in_range(measures.COST), "CNY"),), "stat"),
    Panel("Copied to S3", "bytes", ((in_range(measures.COPIED_BYTES), "bytes"),), "stat"),
    Panel(
        "Submissions per second",
        "reqps",
        tuple(
            (rate(measures.SUBMISSIONS, outcome), outcome)
            for outcome in ("accepted", "throttled", "refused", "unconfirmed")
        ),
    ),
    Panel("A submission takes", "s", both(measures.SUBMISSION_TIME)),
    Panel("A submission is held back", "s", both(measures.HELD_BACK)),
    Panel(
        "Tasks waited for",
        "short",
        ((f'sum({{__name__=~"{name(measures.WAITS)}_.+"}})', "all triggerers"),),
    ),
    Panel(
        "Requests about tasks per second",
        "reqps",
        tuple((rate(measures.POLLS, endpoint), endpoint) for endpoint in ("get_task", "list_tasks")),
    ),
    Panel("Refused for the rate per second", "reqps", ((rate(measures.REFUSED), "all endpoints"),)),
    Panel(
        "Tasks ended per second",
        "short",
        (
            *(
                (rate(measures.TASKS_ENDED, status), status)
                for status in ("SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN")
            ),
            (rate(measures.GIVEN_UP), "given up"),
        ),
    ),
    Panel("In the service's queue", "s", both(measures.QUEUED)),
    Panel("Worked on by the service", "s", both(measures.RAN)),
    Panel("Ended, but not noticed yet", "s", both(measures.LAG)),
    Panel("Copies per second", "short", ((rate(measures.COPIES), "results"),)),
    Panel("A copy takes", "s", both(measures.COPY_TIME)),
)


def make() -> str:
    """Return the dashboard as Grafana imports it."""
    dashboard = {
        "title": "DashScope on Airflow",
        "uid": "airflow-dashscope",
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "tags": ["airflow", "dashscope"],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number + 1,
        "title": panel.title,
        "type": panel.kind,
        "datasource": DATASOURCE,
        "gridPos": {"x": number % 3 * WIDTH, "y": number // 3 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": query, "legendFormat": legend, "datasource": DATASOURCE}
            for index, (query, legend) in enumerate(panel.queries)
        ],
    }


if __name__ == "__main__":
    TARGET.write_text(make(), encoding="utf-8")
