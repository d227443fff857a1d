from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from tests.stack import ROOT
from tests.stack.environment import clean_environment

_RUNS = 3

_TIME_IMPORTS = """
import json, time

def seconds(statement):
    began = time.perf_counter()
    exec(statement)
    return time.perf_counter() - began

package = seconds("import airflow_provider_wanx")
airflow = seconds(
    "from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator; from airflow.triggers.base import BaseTrigger"
)
ours = seconds(
    "import airflow_provider_wanx.operators.dashscope, airflow_provider_wanx.operators.wanx, "
    "airflow_provider_wanx.sensors.dashscope, airflow_provider_wanx.transfers.dashscope_to_s3"
)
print(json.dumps([package, airflow, ours]))
"""

# Everything that leaves a process for a network or a database raises an audit event first.
_PARSE = """
import json, runpy, sys

FORBIDDEN = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "sqlite3.connect"}
seen = []
sys.addaudithook(lambda event, arguments: seen.append(f"{event} {arguments}") if event in FORBIDDEN else None)
names = runpy.run_path(sys.argv[1])
from airflow.sdk import DAG
dags = sorted({each.dag_id for each in names.values() if isinstance(each, DAG)})
print(json.dumps({"dags": dags, "seen": seen}))
"""


def _python(program: str, *arguments: str, home: Path) -> object:
    env = clean_environment() | {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(
        command, env=env, cwd=home, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def import_seconds(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, float, float]:
    """Medians for the package itself, Airflow's base classes, and this package's classes on top of them."""
    home = tmp_path_factory.mktemp("airflow")
    _python(_TIME_IMPORTS, home=home)
    runs = [_python(_TIME_IMPORTS, home=home) for _ in range(_RUNS)]
    package, airflow, ours = (median(column) for column in zip(*runs, strict=True))
    return package, airflow, ours


def test_importing_the_package_takes_less_than_20_milliseconds(
    import_seconds: tuple[float, float, float],
) -> None:
    package, _, _ = import_seconds
    assert package < 0.020


def test_operators_and_sensors_add_at_most_a_tenth_to_the_import_of_airflows_base_classes(
    import_seconds: tuple[float, float, float],
) -> None:
    _, airflow, ours = import_seconds
    assert ours <= airflow / 10


@pytest.mark.parametrize("file", sorted((ROOT / "dags").glob("*.py")), ids=lambda file: file.stem)
def test_parsing_an_example_dag_touches_neither_network_nor_database(file: Path, tmp_path: Path) -> None:
    assert _python(_PARSE, str(file), home=tmp_path) == {"dags": [file.stem], "seen": []}


def test_a_dag_that_touches_the_network_while_it_is_parsed_would_be_found_out(tmp_path: Path) -> None:
    file = tmp_path / "chatty.py"
    file.write_text(
        "import contextlib, socket\n"
        "with contextlib.suppress(OSError):\n"
        "    socket.create_connection(('127.0.0.1', 9))\n"
    )
    found = _python(_PARSE, str(file), home=tmp_path)
    assert isinstance(found, dict)
    assert any("socket.connect" in line for line in found["seen"])
