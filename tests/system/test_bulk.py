from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image

from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.stack import LocalStack
from tests.stack.dashscope import API_KEY

IMAGES = 12
DAG_ID = "wanx_bulk"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A bucket with small portraits, and runs of the example DAG on it."""

    stack: LocalStack
    bucket: str

    def run(self, **form: Any) -> dict[str, Any]:
        """Run the DAG to its good end; return what its task has returned."""
        usual = {
            "source": f"s3://{self.bucket}/portraits/",
            "destination": f"s3://{self.bucket}/results/",
            "style": "anime",
            "dry_run": False,
        }
        api = self.stack.airflow.api
        run_id = api.trigger(dag_id=DAG_ID, conf=usual | form)
        run = api.wait_for_run(dag_id=DAG_ID, run_id=run_id)
        (instance,) = api.task_instances(dag_id=DAG_ID, run_id=run_id)
        assert run.state == "success", api.log(instance=instance)
        summary: dict[str, Any] = api.xcom(dag_id=DAG_ID, run_id=run_id, task_id="repaint")
        return summary

    def keys(self) -> list[str]:
        """Keys below the destination."""
        return [each.key for each in self.stack.s3.list(bucket=self.bucket, prefix="results/")]

    def submissions(self) -> Counter[str]:
        """How often each of the portraits was submitted."""
        ledger = SimulatorHandle(url=self.stack.simulator.url, api_key=API_KEY).ledger()
        return Counter(
            task["image_url"].rpartition("/")[2]
            for task in ledger["tasks"]
            if f"/{self.bucket}/" in task["image_url"]
        )

    def manifest(self) -> list[dict[str, Any]]:
        """The rows of the manifest."""
        text = self.stack.s3.get(bucket=self.bucket, key="results/manifest.jsonl").decode()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def folder(stack: LocalStack, request: pytest.FixtureRequest) -> Folder:
    bucket = request.node.name.replace("_", "-")[:50].strip("-")
    for number in range(IMAGES):
        picture = io.BytesIO()
        Image.new("RGB", (256, 256), (20 * number, 90, 160)).save(picture, "PNG")
        stack.s3.put(bucket=bucket, key=f"portraits/face-{number:02d}.png", body=picture.getvalue())
    return Folder(stack=stack, bucket=bucket)


def test_a_folder_is_repainted_by_one_task_and_a_second_run_finds_it_done(folder: Folder) -> None:
    names = [f"face-{number:02d}" for number in range(IMAGES)]
    first = folder.run()
    assert (first["images"], first["succeeded"], first["billed"]) == (IMAGES, IMAGES, IMAGES)
    assert folder.submissions() == dict.fromkeys((f"{name}.png" for name in names), 1)
    rows = folder.manifest()
    assert [(row["image"].rpartition("/")[2], row["status"]) for row in rows] == [
        (f"{name}.png", "succeeded") for name in names
    ]
    for row in rows:
        body = folder.stack.s3.get(bucket=row["bucket"], key=row["key"])
        assert len(body) == row["bytes"]
        assert Image.open(io.BytesIO(body)).format == "JPEG"
    assert first == folder.run()
    assert folder.submissions().total() == IMAGES


def test_a_dry_run_tells_the_cost_and_writes_nothing(folder: Folder) -> None:
    folder.stack.s3.put(bucket=folder.bucket, key="portraits/notes.png", body=b"no picture")
    report = folder.run(dry_run=True)
    assert (report["images"], report["to_submit"], report["refused"]) == (IMAGES + 1, IMAGES, 1)
    assert report["refusals"][0]["image"].endswith("/portraits/notes.png")
    assert report["cost"] == round(IMAGES * 0.12, 2)
    assert folder.keys() == []
    assert not folder.submissions()
