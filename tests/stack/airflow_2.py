"""What is different in Airflow 2: the webserver, its REST API, and one folder for all DAGs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from tests.stack.airflow_api import AirflowApi, TaskInstance
from tests.stack.waiting import PATIENCE, checked

# Everybody is an administrator and need not log in.
_WEBSERVER_CONFIG = 'AUTH_ROLE_PUBLIC = "Admin"\nWTF_CSRF_ENABLED = False\n'


class Airflow2Api(AirflowApi):
    """Version 1 of the REST API, as far as it differs from version 2."""

    root = "/api/v1"

    health_path = "health"
    manual_run: ClassVar[Mapping[str, Any]] = {}
    # Otherwise the scheduler does not look at a run that has ended.
    clearing: ClassVar[Mapping[str, Any]] = {"reset_dag_runs": True}

    def log(self, *, instance: TaskInstance, try_number: int | None = None) -> str:
        """Read the log of one try.

        :param try_number: which try, the last one by default
        """
        path = f"{self._run(instance.dag_id, instance.dag_run_id)}/taskInstances/{instance.task_id}/logs"
        response = self._answer(
            "GET",
            f"{path}/{try_number or instance.try_number}",
            params={"map_index": instance.map_index, "full_content": True},
            headers={"Accept": "text/plain"},
        )
        return checked(response).text

    def _token(self) -> str | None:
        return None


def settings(*, home: Path, host: str, port: int, url: str, secret: str) -> dict[str, str]:
    """Make the settings that only Airflow 2 has.

    :param host: address that the webserver listens on
    :param port: port that it listens on
    :param url: its address for others
    :param secret: signs the sessions
    :return: settings by section and name
    """
    return {
        "CORE__DAGS_FOLDER": str(_dags_folder(home)),
        "API__AUTH_BACKENDS": "airflow.api.auth.backend.default",
        "WEBSERVER__WEB_SERVER_HOST": host,
        "WEBSERVER__WEB_SERVER_PORT": str(port),
        "WEBSERVER__BASE_URL": url,
        "WEBSERVER__SECRET_KEY": secret,
        "WEBSERVER__WORKERS": "1",
        "WEBSERVER__CONFIG_FILE": str(_config_file(home)),
        # As a process of its own, as it always is in Airflow 3.
        "SCHEDULER__STANDALONE_DAG_PROCESSOR": "True",
        "SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
        "CORE__DAG_FILE_PROCESSOR_TIMEOUT": str(int(PATIENCE)),
        "SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "20",
    }


def prepare(*, home: Path, dag_bundles: Mapping[str, Path]) -> None:
    """Lay out what is in files.

    :param dag_bundles: folders with DAGs by their names
    """
    _config_file(home).write_text(_WEBSERVER_CONFIG)
    _dags_folder(home).mkdir()
    for name, folder in dag_bundles.items():
        _dags_folder(home).joinpath(name).symlink_to(folder, target_is_directory=True)


def python_path(dag_bundles: Mapping[str, Path]) -> str:
    """Let the files of a folder import each other, as those of a bundle do in Airflow 3.

    :param dag_bundles: folders with DAGs by their names
    :return: value of PYTHONPATH
    """
    return os.pathsep.join(str(folder) for folder in dag_bundles.values())


def _dags_folder(home: Path) -> Path:
    return home / "dags"


def _config_file(home: Path) -> Path:
    return home / "webserver_config.py"
