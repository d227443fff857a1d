from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from tests.stack import ROOT, LocalStack, TaskInstance

PORTRAITS = ROOT / "tests" / "data" / "portraits"
BUCKET = "examples"


@pytest.fixture
def portraits(stack: LocalStack) -> list[str]:
    """Keys of the sample portraits in the bucket."""
    files = [file for file in sorted(PORTRAITS.iterdir()) if file.suffix != ".md"]
    for file in files:
        stack.s3.put(bucket=BUCKET, key=f"portraits/{file.name}", body=file.read_bytes())
    return [f"portraits/{file.name}" for file in files]


def _run(stack: LocalStack, dag_id: str, conf: dict[str, Any]) -> list[TaskInstance]:
    """Run a DAG to its good end; return its task instances."""
    api = stack.airflow.api
    run_id = api.trigger(dag_id=dag_id, conf=conf)
    run = api.wait_for_run(dag_id=dag_id, run_id=run_id, timeout=120)
    instances = api.task_instances(dag_id=dag_id, run_id=run_id)
    logs = [api.log(instance=each) for each in instances if each.state == "failed"]
    assert run.state == "success", "\n".join(logs)
    return instances


def _pictures(stack: LocalStack, instances: list[TaskInstance]) -> list[Image.Image]:
    """The pictures that a run left in the bucket: its id is part of their keys, in a form that is safe there."""
    (run_id,) = {each.dag_run_id for each in instances}
    safe = run_id.replace(":", "-").replace("+", "-")
    keys = [each.key for each in stack.s3.list(bucket=BUCKET) if safe in each.key]
    return [Image.open(io.BytesIO(stack.s3.get(bucket=BUCKET, key=key))) for key in keys]


def test_one_portrait_is_repainted_and_waited_for_without_a_worker(
    stack: LocalStack, portraits: list[str]
) -> None:
    conf = {"image": f"s3://{BUCKET}/{portraits[0]}", "style": "clay world", "bucket": BUCKET}
    instances = _run(stack, "wanx_style_repaint", conf)
    assert {each.task_id: each.state for each in instances} == dict.fromkeys(
        ("submit", "wait", "copy"), "success"
    )
    (picture,) = _pictures(stack, instances)
    assert picture.format in {"JPEG", "PNG"}
    assert min(picture.size) == 1536
    (wait,) = [each for each in instances if each.task_id == "wait"]
    assert "Pausing task as DEFERRED" in stack.airflow.api.log(instance=wait)


def test_a_portrait_on_the_workers_disk_is_uploaded_and_repainted(stack: LocalStack) -> None:
    conf = {"image": str(PORTRAITS / "astronaut.png"), "style": "anime", "bucket": BUCKET}
    stack.s3.client.create_bucket(Bucket=BUCKET)
    assert len(_pictures(stack, _run(stack, "wanx_style_repaint", conf))) == 1


def test_every_portrait_under_a_prefix_is_repainted_by_mapped_tasks(
    stack: LocalStack, portraits: list[str]
) -> None:
    conf = {"bucket": BUCKET, "prefix": "portraits/", "style": "anime", "result_bucket": BUCKET}
    instances = _run(stack, "wanx_repaint_folder", conf)
    copies = {each.map_index for each in instances if each.task_id == "repaint.copy"}
    assert copies == set(range(len(portraits)))
    assert len(_pictures(stack, instances)) == len(portraits)


def test_the_generic_operator_runs_text_to_image(stack: LocalStack) -> None:
    stack.s3.client.create_bucket(Bucket=BUCKET)
    conf = {"prompt": "A lighthouse on a cliff", "n": 3, "bucket": BUCKET}
    assert len(_pictures(stack, _run(stack, "dashscope_any_model", conf))) == 3
