"""What importing the package and parsing its DAGs costs, beside what Airflow itself costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.processes import environment

REPEATS = 5
_DAGS = Path(__file__).resolve().parents[2] / "dags"

# Without Airflow's own start in it, which would hide everything else.
_PARSE = "import airflow.sdk, airflow.providers.amazon.aws.hooks.s3\n"

CASES = {
    "package": ("", "import airflow_provider_wanx"),
    "provider info": (
        "",
        "from airflow_provider_wanx.get_provider_info import get_provider_info; get_provider_info()",
    ),
    "Airflow's base classes": (
        "",
        "from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator",
    ),
    "operators and sensor, after Airflow's base classes": (
        "from airflow.providers.common.compat.sdk import BaseOperator, BaseSensorOperator",
        "import airflow_provider_wanx.operators.wanx, airflow_provider_wanx.sensors.dashscope",
    ),
    "plugin, as every Airflow process loads it, after Airflow's own": (
        "from airflow.providers.common.compat.sdk import AirflowPlugin, conf",
        "import airflow_provider_wanx.plugins.wanx_gallery",
    ),
    "official SDK": ("", "import dashscope"),
}


def measure() -> Iterator[dict[str, Any]]:
    """Measure every case in processes of its own; the median of some runs."""
    for name, (before, timed) in CASES.items():
        yield {"client": name, "n": REPEATS, "milliseconds": milliseconds(before, timed)}
    for path in sorted(_DAGS.glob("*.py")):
        timed = f"import runpy; runpy.run_path({str(path)!r})"
        yield {"client": f"parse {path.name}", "n": REPEATS, "milliseconds": milliseconds(_PARSE, timed)}


def milliseconds(before: str, timed: str) -> float:
    """Time some code in processes of its own.

    :param before: what is run first, untimed
    :return: the median of some runs
    """
    script = f"{before}\nimport time\nbegan = time.perf_counter()\n{timed}\nelapsed = time.perf_counter() - began\n"
    script += "import json\nprint(json.dumps({'elapsed': elapsed}))"
    return median(_elapsed(script) for _ in range(REPEATS)) * 1000


def _elapsed(script: str) -> float:
    output = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True
    ).stdout
    return float(json.loads(output.splitlines()[-1])["elapsed"])
