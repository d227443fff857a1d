"""What a real Airflow really sends, against what is documented and what the dashboard asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from airflow_provider_wanx.dashscope.measures import COST, IMAGES, MEASURES, Kind
from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.stack import ROOT, LocalStack, StatsdListener, wait_until
from tests.stack.dashscope import API_KEY

BUCKET = "metrics"
DASHBOARD = ROOT / "docs" / "grafana" / "dashscope.json"
TYPES = {Kind.COUNTER: "c", Kind.GAUGE: "g", Kind.TIMING: "ms"}
RARE = {
    # What only comes with a fault that this run does not have; tests/unit/metrics/test_sending.py sends each of them.
    "airflow_dashscope_submissions_refused",
    "airflow_dashscope_submissions_unconfirmed",
    "airflow_dashscope_tasks_ended_FAILED",
    "airflow_dashscope_tasks_ended_CANCELED",
    "airflow_dashscope_polls_list_tasks",
}


@pytest.fixture
def simulator(stack: LocalStack) -> Iterator[SimulatorHandle]:
    handle = SimulatorHandle(url=stack.simulator.url, api_key=API_KEY)
    yield handle
    handle.close()


def _asked_for() -> set[str]:
    """Names, or patterns of names, that the dashboard's queries have."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    queries = " ".join(target["expr"] for panel in panels for target in panel["targets"])
    return {
        re.sub(r"_(sum|count)$", "", name) for name in re.findall(r"airflow_dashscope_[A-Za-z_.+]+", queries)
    }


def test_a_run_sends_every_metric_that_is_documented_and_that_the_dashboard_asks_for(
    stack: LocalStack, simulator: SimulatorHandle, statsd: StatsdListener
) -> None:
    api = stack.airflow.api
    stack.s3.put(bucket=BUCKET, key="in.png", body=(ROOT / "tests/data/portraits/astronaut.png").read_bytes())
    before = statsd.received(below="dashscope.")
    for endpoint in ("submit", "get_task"):
        simulator.add_fault(
            endpoint=endpoint, kind="status", status=429, code="Throttling.RateQuota", times=1
        )
    conf = {"image": f"s3://{BUCKET}/in.png", "style": "clay world", "bucket": BUCKET}
    runs = {
        "wanx_style_repaint": (api.trigger(dag_id="wanx_style_repaint", conf=conf), "success"),
        # Its tasks wait for what does not exist.
        "metrics": (api.trigger(dag_id="metrics"), "failed"),
    }
    for dag_id, (run_id, state) in runs.items():
        assert api.wait_for_run(dag_id=dag_id, run_id=run_id).state == state

    def sent() -> bool:
        return not missing()

    def missing() -> set[tuple[str, str]]:
        received = statsd.received(below="dashscope.")
        return {(each.name, TYPES[each.kind]) for each in MEASURES} - set(received)

    try:
        wait_until(sent, what="all metrics")
    finally:
        assert missing() == set()
    received = statsd.received(below="dashscope.")
    names = {f"airflow_{re.sub(r'[^A-Za-z0-9_]', '_', name)}" for name, _ in received}
    unknown = {asked for asked in _asked_for() if not any(re.fullmatch(asked, name) for name in names)}
    assert unknown <= RARE
    # One portrait was paid for.
    for measure, value in ((IMAGES, 1), (COST, 0.12)):
        key = (measure.name, "c")
        assert sum(received[key]) - sum(before.get(key, [])) == pytest.approx(value)
    assert max(received[("dashscope.waits", "g")]) >= 1
