from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import httpx
import pytest

# [START imports]
from airflow_provider_wanx.dashscope import ClientConfig, DashScopeClient
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL
from airflow_provider_wanx.jobs.copying.copier import ResultCopier
from airflow_provider_wanx.jobs.copying.destinations import FolderDestination
from airflow_provider_wanx.jobs.pictures.image_source import ImageSource
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE
from airflow_provider_wanx.jobs.submitting.record_stores import FileStore
from airflow_provider_wanx.jobs.submitting.repaint_request import repaint_request
from airflow_provider_wanx.jobs.submitting.submission_record import SubmissionRecord
from airflow_provider_wanx.jobs.submitting.submitter import Submitter

# [END imports]
from airflow_provider_wanx.simulator.server import BackgroundSimulator


@pytest.fixture
def config(
    dashscope_simulator: BackgroundSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ClientConfig:
    """How to reach the service, in a folder with a portrait."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    Path("ada.jpg").write_bytes(httpx.get(dashscope_simulator.portrait_url, trust_env=False).content)
    return ClientConfig(api_key=dashscope_simulator.api_key, base_url=dashscope_simulator.url)


def test_a_portrait_is_submitted_once_waited_for_and_copied_without_airflow(config: ClientConfig) -> None:
    # [START jobs]
    log = logging.getLogger("portraits")
    record = SubmissionRecord(FileStore(Path("records")), name="ada.json")
    with DashScopeClient(config) as client:
        pictures = ImageSource(upload=client.upload_file, model=REPAINT_MODEL, rule=ANYWHERE)
        request = repaint_request(pictures, image="ada.jpg", style=38, log=log)
        task_id = Submitter(client=client, record=record, log=log).submit_once(request)
        task = client.wait(task_id, timeout=3600)
        destination = FolderDestination(folder=Path("repainted"))
        copier = ResultCopier(client=client, destination=destination, log=log)
        for copied in copier.copy_all(task, key_for=lambda index, extension: f"ada-{index}{extension}"):
            log.info("%s: %s bytes, SHA-256 %s", copied.url, copied.bytes, copied.sha256)
    record.forget()
    # [END jobs]
    assert Path("repainted/ada-0.jpg").read_bytes().startswith(b"\xff\xd8\xff")


def test_a_program_that_is_started_again_does_not_pay_again(
    config: ClientConfig, dashscope_simulator: BackgroundSimulator
) -> None:
    for _ in range(2):
        record = SubmissionRecord(FileStore(Path("records")), name="again.json")
        with DashScopeClient(config) as client:
            pictures = ImageSource(upload=client.upload_file, model=REPAINT_MODEL, rule=ANYWHERE)
            request = repaint_request(pictures, image="ada.jpg", style=38, log=logging.getLogger())
            Submitter(client=client, record=record, log=logging.getLogger()).submit_once(request)
    record.forget()
    assert dashscope_simulator.ledger()["totals"]["accepted"] == 1


def test_the_client_works_without_airflow(config: ClientConfig) -> None:
    portrait = Path("ada.jpg")
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
