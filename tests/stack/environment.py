"""What the processes of the stack get from the environment, and what they don't."""

from __future__ import annotations

import os

_PREFIXES_LEFT_OUT = ("AIRFLOW", "AWS_", "DASHSCOPE_", "COV_", "PYTEST_")
# Byte code that may not be kept costs each of Airflow's processes some seconds at its start.
# A path to packages would go before those of the interpreter that is started.
_NAMES_LEFT_OUT = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONSTARTUP"}
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}


def clean_environment() -> dict[str, str]:
    """This process's environment without settings and secrets of other Airflows, AWS and DashScope accounts, or proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_PREFIXES_LEFT_OUT)
        and name not in _NAMES_LEFT_OUT
        and name.lower() not in _PROXIES
    }
    return kept | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "AWS_EC2_METADATA_DISABLED": "true"}
