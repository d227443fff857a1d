from __future__ import annotations

import time
from pathlib import Path

import httpx

from airflow_provider_wanx.dashscope import ClientConfig, DashScopeClient
from airflow_provider_wanx.simulator.server import BackgroundSimulator


def test_the_client_works_without_airflow(dashscope_simulator: BackgroundSimulator, tmp_path: Path) -> None:
    picture = tmp_path / "ada.jpg"
    picture.write_bytes(httpx.get(dashscope_simulator.portrait_url, trust_env=False).content)
    key, base_url = dashscope_simulator.api_key, dashscope_simulator.url
    target = tmp_path / "repainted.jpg"
    # [START client]
    with DashScopeClient(ClientConfig(api_key=key, base_url=base_url)) as client:
        model = "wanx-style-repaint-v1"
        url = client.upload_file(filename=picture.name, content=picture.read_bytes(), model=model)
        submission = client.submit_task(
            service="aigc/image-generation/generation",
            model=model,
            input={"image_url": url, "style_index": 38},
        )
        while not (task := client.get_task(submission.task_id)).status.is_terminal:
            time.sleep(3)
        for result in task.results:
            with client.download(result.url) as (_, chunks), target.open("wb") as file:
                file.writelines(chunks)
    # [END client]
    assert target.read_bytes().startswith(b"\xff\xd8\xff")
