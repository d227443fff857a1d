"""Run by a row's own interpreter: import the example DAGs, and find out what this Airflow cannot do.

Arguments: the folder with the DAGs, and the file for the findings. A DAG file must make the DAG that it is named after, or say
in one message why not.
"""

from __future__ import annotations

import json
import logging
import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow.cli.cli_parser import get_parser
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowPlugin
from airflow.triggers.base import BaseTrigger

from airflow_provider_wanx.plugins.wanx_gallery import plugin
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor


class _Messages(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def dags(folder: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Ids of the DAGs, and those that are absent with the message that says why."""
    found, absent = [], []
    root = logging.getLogger()
    for file in sorted(folder.glob("[!_]*.py")):
        messages = _Messages()
        root.addHandler(messages)
        made = runpy.run_path(str(file), run_name=file.stem)
        root.removeHandler(messages)
        if any(isinstance(each, DAG) and each.dag_id == file.stem for each in made.values()):
            found.append(file.stem)
            continue
        (message,) = [each for each in messages.texts if file.stem in each]
        absent.append(_absent(f"example DAG {file.stem}", message))
    return found, absent


def absent_features() -> list[dict[str, Any]]:
    """What of the package this Airflow has no place for."""
    found = []
    if plugin is None:
        found.append(_absent("gallery"))
    elif not issubclass(plugin, AirflowPlugin):
        raise SystemExit("The gallery is no plugin")
    if "wanx" not in _commands():
        found.append(_absent("commands airflow wanx (python -m airflow_provider_wanx has them)"))
    if not hasattr(BaseTrigger, "on_kill"):
        found.append(_absent("cancelling when a deferred task is cleared or marked"))
    try:
        import_module("airflow_provider_wanx.retry_policies.dashscope")
    except ImportError as missing:
        found.append(_absent("retry policy", str(missing)))
    try:
        DashScopeTaskSensor(task_id="wait", dashscope_task_id="x", start_from_trigger=True)
    except AirflowException as refused:
        found.append(_absent("start_from_trigger", str(refused)))
    return found


def _commands() -> set[str]:
    (commands,) = [action for action in get_parser()._actions if action.dest == "subcommand"]
    return set(commands.choices or ())


def _absent(what: str, message: str | None = None) -> dict[str, Any]:
    return {"what": what, "message": message}


def main() -> None:
    """Write the findings."""
    found, absent = dags(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps({"dags": found, "absent": absent + absent_features()}))


main()
