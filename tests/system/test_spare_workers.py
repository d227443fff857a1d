from __future__ import annotations

from tests.stack import ROOT, LocalStack

BUCKET = "spare-workers"
PORTRAIT = ROOT / "tests" / "data" / "portraits" / "astronaut.png"


def test_a_sensor_can_begin_in_the_triggerer(stack: LocalStack) -> None:
    stack.s3.put(bucket=BUCKET, key="in.png", body=PORTRAIT.read_bytes())
    api = stack.airflow.api
    conf = {
        "image": f"s3://{BUCKET}/in.png",
        "bucket": BUCKET,
    }
    run_id = api.trigger(dag_id="spare_workers", conf=conf)
    api.wait_for_run(dag_id="spare_workers", run_id=run_id)
    tasks = {each.task_id: each for each in api.task_instances(dag_id="spare_workers", run_id=run_id)}
    states = {name: each.state for name, each in tasks.items()}
    assert states == {
        "submit": "success",
        "begin": "success",
        "copy": "success",
    }
    assert tasks["begin"].hostname
    submitted = api.xcom(dag_id="spare_workers", run_id=run_id, task_id="submit")
    assert api.xcom(dag_id="spare_workers", run_id=run_id, task_id="begin") == submitted
    (copied,) = api.xcom(dag_id="spare_workers", run_id=run_id, task_id="copy")
    assert copied["dashscope_task_id"] == submitted
    assert copied["bytes"] == len(stack.s3.get(bucket=BUCKET, key=copied["key"]))
