from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.stack import ROOT
from tests.stack.environment import clean_environment
from tests.stack.waiting import PATIENCE

_IMPORT = """
import json, sys

def loaded(statement):
    before = set(sys.modules)
    exec(statement)
    return sorted({name.partition(".")[0] for name in set(sys.modules) - before})

package = loaded("import airflow_provider_wanx")
loaded("from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator; from airflow.triggers.base import BaseTrigger")
operators = loaded(
    "import airflow_provider_wanx.operators.dashscope, airflow_provider_wanx.operators.wanx, "
    "airflow_provider_wanx.sensors.dashscope, airflow_provider_wanx.transfers.dashscope_to_s3"
)
from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator as Operator
defers = Operator(task_id="x", service="a/b", model="m", input={"a": 1}).deferrable
print(json.dumps({"package": package, "operators": operators, "defers": defers}))
"""

# Everything that leaves a process for a network or a database raises an audit event first.
_PARSE = """
import json, runpy, sys

FORBIDDEN = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "sqlite3.connect"}
seen = []
sys.addaudithook(lambda event, arguments: seen.append(f"{event} {arguments}") if event in FORBIDDEN else None)
from airflow.sdk import DAG
for file in sys.argv[1:]:
    seen.clear()
    names = runpy.run_path(file)
    dags = sorted({each.dag_id for each in names.values() if isinstance(each, DAG)})
    print(json.dumps({"dags": dags, "seen": seen}))
"""

_CHATTY = """
import contextlib, socket
with contextlib.suppress(OSError):
    socket.create_connection(("127.0.0.1", 9))
"""


# What parsing a DAG and loading the plugin add to the modules that are there, of the gallery and of those that are heavy.
_PLUGIN = """
import json, sys

HEAVY = ("boto3", "botocore", "PIL", "httpx", "jinja2", "fastapi", "starlette", "sqlalchemy")

def added(statement):
    before = set(sys.modules)
    exec(statement)
    new = set(sys.modules) - before
    own = {name for name in new if name.startswith("airflow_provider_wanx.plugins")}
    return sorted(own | ({name.partition(".")[0] for name in new} & set(HEAVY)))

exec("from airflow.providers.common.compat.sdk import AirflowPlugin, BaseOperator, BaseSensorOperator, conf")
parsing = added(
    "import airflow_provider_wanx.operators.wanx, airflow_provider_wanx.sensors.dashscope, "
    "airflow_provider_wanx.transfers.dashscope_to_s3"
)
loading = added("import airflow_provider_wanx.plugins.wanx_gallery")
print(json.dumps({"parsing": parsing, "loading": loading}))
"""


def _python(program: str, *arguments: str, home: Path, **settings: str) -> list[Any]:
    """Run a program in a process of its own; return the JSON of each line that it prints."""
    env = clean_environment() | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        **settings,
    }
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(
        command, env=env, cwd=home, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_nothing_is_imported_that_a_scheduler_would_have_to_wait_for(tmp_path: Path) -> None:
    """What it takes in time, ``make bench`` measures. The process also tells whether Airflow's default of deferring holds."""
    (loaded,) = _python(_IMPORT, home=tmp_path, AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE="True")
    assert loaded["defers"] is True
    assert set(loaded["package"]) <= {"__future__", "airflow_provider_wanx"}
    # Neither HTTP nor S3 nor pictures, before a task runs; asgiref comes with Airflow's own connections.
    assert set(loaded["operators"]) <= {"airflow", "airflow_provider_wanx", "asgiref"}


def test_parsing_the_example_dags_touches_neither_network_nor_database(tmp_path: Path) -> None:
    files = sorted((ROOT / "dags").glob("*.py"))
    chatty = tmp_path / "chatty.py"
    chatty.write_text(_CHATTY)
    *parsed, found_out = _python(_PARSE, *map(str, [*files, chatty]), home=tmp_path)
    assert parsed == [{"dags": [file.stem], "seen": []} for file in files]
    assert any("socket.connect" in line for line in found_out["seen"])


def test_neither_parsing_a_dag_nor_loading_the_plugin_imports_the_gallery(tmp_path: Path) -> None:
    (added,) = _python(_PLUGIN, home=tmp_path)
    assert added == {
        "parsing": [],
        "loading": ["airflow_provider_wanx.plugins", "airflow_provider_wanx.plugins.wanx_gallery"],
    }
