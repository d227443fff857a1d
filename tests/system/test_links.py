from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator

import pytest

from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.stack import ROOT, LocalStack
from tests.stack.dashscope import API_KEY
from tests.stack.waiting import PATIENCE

BUCKET = "links"
DAG_ID = "wanx_style_repaint"
PORTRAIT = ROOT / "tests" / "data" / "portraits" / "astronaut.png"


@pytest.fixture
def simulator(stack: LocalStack) -> Iterator[SimulatorHandle]:
    handle = SimulatorHandle(url=stack.simulator.url, api_key=API_KEY)
    yield handle
    handle.close()


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        body: bytes = answer.read()
        return body


def test_the_links_of_a_deferred_task_work_and_lead_to_the_same_place_when_it_has_ended(
    stack: LocalStack, simulator: SimulatorHandle
) -> None:
    api = stack.airflow.api
    stack.s3.put(bucket=BUCKET, key="in.png", body=PORTRAIT.read_bytes())
    simulator.add_fault(endpoint="job", kind="outcome", runs_for=900, times=1)
    run_id = api.trigger(
        dag_id=DAG_ID, conf={"image": f"s3://{BUCKET}/in.png", "style": "anime", "bucket": BUCKET}
    )
    api.wait_for_state(dag_id=DAG_ID, run_id=run_id, task_id="wait", state="deferred")
    deferred = api.links(dag_id=DAG_ID, run_id=run_id, task_id="wait")
    task_id = api.xcom(dag_id=DAG_ID, run_id=run_id, task_id="submit")
    assert deferred["DashScope console"] == f"{stack.simulator.url}/#{task_id}"
    assert f'id="{task_id}"'.encode() in _read(deferred["DashScope console"])
    assert re.fullmatch(
        rf".*/wanx/gallery/dags/{DAG_ID}/runs/manual__[^/?]+/tasks/wait\?map_index=-1",
        deferred["Gallery"] or "",
    )
    simulator.advance(900)
    assert api.wait_for_run(dag_id=DAG_ID, run_id=run_id).state == "success"
    assert api.links(dag_id=DAG_ID, run_id=run_id, task_id="wait") == deferred
    submit = api.links(dag_id=DAG_ID, run_id=run_id, task_id="submit")
    assert submit["DashScope console"] == deferred["DashScope console"]
    copy = api.links(dag_id=DAG_ID, run_id=run_id, task_id="copy")
    assert copy.keys() == {"DashScope console", "Gallery", "Result", "S3 object"}
    assert (copy["Result"] or "").endswith("/tasks/copy/-1/results/0")
    # The local S3 is not AWS's, so there is nowhere to lead to.
    assert copy["S3 object"] is None
