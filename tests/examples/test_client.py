from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from airflow_provider_wanx.dashscope import ClientConfig, DashScopeClient
from airflow_provider_wanx.simulator.server import BackgroundSimulator


def test_the_client_works_without_airflow(
    dashscope_simulator: BackgroundSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    portrait = Path("ada.jpg")
    portrait.write_bytes(httpx.get(dashscope_simulator.portrait_url, trust_env=False).content)
    config = ClientConfig(api_key=dashscope_simulator.api_key, base_url=dashscope_simulator.url)
    # [START client]
    model, service = "wanx-style-repaint-v1", "aigc/image-generation/generation"
    with DashScopeClient(config) as client:
        url = client.upload_file(filename=portrait.name, content=portrait.read_bytes(), model=model)
        new = {"image_url": url, "style_index": 38}
        submission = client.submit_task(service=service, model=model, input=new)
        task = client.wait(submission.task_id, timeout=3600)
        for result in task.results:
            path = Path(f"repainted-{result.index}{result.extension}")
            with client.download(result.url) as (_, chunks), path.open("wb") as file:
                file.writelines(chunks)
    # [END client]
    assert Path("repainted-0.jpg").read_bytes().startswith(b"\xff\xd8\xff")
