"""What a newcomer does: an empty folder, an empty environment, ``pip install`` of the wheel, and the DAG of the README."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.stack import ROOT
from tests.stack.dashscope import Simulator
from tests.stack.environment import clean_environment
from tests.stack.ports import free_port
from tests.stack.s3 import LocalS3
from tests.stack.waiting import PATIENCE

PORTRAIT = ROOT / "tests" / "data" / "portraits" / "astronaut.png"

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command in an empty folder, in an environment that knows nothing of the checkout."""
    env = {
        name: value
        for name, value in clean_environment().items()
        if not name.startswith(("PYTHON", "VIRTUAL"))
    }
    env |= {"AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}

    def command(*words: str | Path, **more: str) -> str:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=tmp_path,
            env=env | more,
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout[-5000:]}\n{done.stderr[-5000:]}"
        return done.stdout + done.stderr

    return command


@pytest.fixture
def programs(tmp_path: Path, run: Run, wheel: Path) -> Path:
    """The programs of an environment into which pip has installed the wheel, with the local DashScope."""
    run(sys.executable, "-m", "venv", "venv")
    programs = tmp_path / "venv" / "bin"
    pip = (programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--constraint", ROOT / "constraints.txt", f"{wheel}[simulator]")
    return programs


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[LocalS3]:
    """A local S3 with a portrait in it."""
    s3 = LocalS3(port=free_port(), logs=tmp_path)
    with ExitStack() as stack:
        stack.callback(s3.process.stop)
        s3.process.start()
        s3.process.wait_ready(s3.ready)
        s3.put(bucket="portraits", key="ada.jpg", body=PORTRAIT.read_bytes())
        s3.client.create_bucket(Bucket="results")
        yield s3


@pytest.fixture
def service(tmp_path: Path, programs: Path) -> Iterator[Simulator]:
    """The local DashScope of that environment."""
    service = Simulator(port=free_port(), logs=tmp_path, speed=10, python=programs / "python")
    with ExitStack() as stack:
        stack.callback(service.process.stop)
        service.process.start()
        service.process.wait_ready(service.ready)
        yield service


def test_the_dag_of_the_readme_runs_where_nothing_but_the_wheel_is_installed(
    tmp_path: Path, run: Run, programs: Path, s3: LocalS3, service: Simulator
) -> None:
    where = run(programs / "python", "-c", "import airflow_provider_wanx as it; print(it.__file__)")
    assert os.path.commonpath([where.strip(), tmp_path]) == str(tmp_path)
    (dag,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "airflow" / "dags").mkdir(parents=True)
    (tmp_path / "airflow" / "dags" / "portraits.py").write_text(dag)
    run(programs / "airflow", "db", "migrate")
    log = run(
        programs / "airflow",
        "dags",
        "test",
        "portraits",
        AIRFLOW_CONN_AWS_DEFAULT=json.dumps(s3.connection),
        AIRFLOW_CONN_DASHSCOPE_DEFAULT=json.dumps(service.connection),
    )
    (result,) = s3.list(bucket="results", prefix="repainted/")
    assert s3.get(bucket="results", key=result.key)[:3] == b"\xff\xd8\xff", log[-5000:]
