"""One real Airflow for all system tests of a run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests import demo
from tests.stack import ROOT, LocalStack, StackConfig, StatsdListener
from tests.stack.environment import clean_environment

_HERE = Path(__file__).parent

_LONGEST = ("test_example_dags.py", "test_from_nothing.py", "test_bad_input.py", "test_wheel.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.system)
    # Two processes take one file after the other: at the end neither should have long ones before it.
    items.sort(key=lambda item: (*_LONGEST, item.path.name).index(item.path.name))


@pytest.fixture(scope="session")
def statsd() -> Iterator[StatsdListener]:
    """What gets the metrics of the one Airflow."""
    with StatsdListener() as listener:
        yield listener


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, as ``make dist`` builds them."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "uv", "build", "--quiet", "--build-constraint", "constraints.txt"]
    runs = ROOT / ".test"
    runs.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=runs) as run:
        # As an Airflow 2 of the matrix leaves it.
        (Path(run) / "dags").symlink_to(ROOT / "dags")
        subprocess.run([*command, "--out-dir", str(folder)], cwd=ROOT, env=clean_environment(), check=True)
    return folder


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    """The built wheel."""
    (wheel,) = dist.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def sdist(dist: Path) -> Path:
    """The built sdist."""
    (sdist,) = dist.glob("*.tar.gz")
    return sdist


@pytest.fixture(scope="session")
def stack(worker_id: str, statsd: StatsdListener) -> Iterator[LocalStack]:
    """Airflow with the example DAGs and those of the tests, a local S3 and a local DashScope."""
    folder = "system" if worker_id == "master" else f"system-{worker_id}"
    config = StackConfig(
        data=ROOT / ".test" / folder,
        dag_bundles={"examples": ROOT / "dags", "tests": _HERE / "dags"},
        dag_ids=_dag_ids(),
        speed=10,
        # A lost triggerer's waits are given to another one after that many seconds.
        settings={
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
            **statsd.settings,
            "PYTHONPATH": str(_HERE / "settings"),
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            **demo.GALLERY,
        },
    )
    with LocalStack(config=config) as running:
        yield running


def _dag_ids() -> set[str]:
    """The DAGs' ids: each file of both folders holds one DAG, named after the file."""
    return {file.stem for folder in (ROOT / "dags", _HERE / "dags") for file in folder.glob("[!_]*.py")}
