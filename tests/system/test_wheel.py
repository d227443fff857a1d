from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.stack import ROOT
from tests.stack.environment import clean_environment

# Every part of the provider info has an initialiser of its own.
_LOAD_EVERYTHING = """
from airflow.providers_manager import ProvidersManager

manager = ProvidersManager()
assert "airflow-provider-" + "wanx" in manager.providers
for name in [name for name in dir(manager) if name.startswith("initialize_providers_")]:
    getattr(manager, name)()
for hook in manager.hooks.values():
    pass
print("loaded")
"""


def _run(*command: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env=env or clean_environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the built wheel, the Airflow that it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = (sys.executable, "-m", "uv")
    _run(*uv, "build", "--wheel", "--out-dir", folder / "dist")
    (wheel,) = (folder / "dist").glob("*.whl")
    _run(*uv, "venv", "--python", sys.executable, folder / "venv")
    python = folder / "venv" / "bin" / "python"
    _run(*uv, "pip", "install", "--python", python, "--constraint", ROOT / "constraints.txt", wheel)
    return folder


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of an Airflow that nothing was done with yet."""
    return clean_environment() | {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}


def _listed(installed: Path, env: dict[str, str], what: str) -> list[dict[str, str]]:
    airflow = installed / "venv" / "bin" / "airflow"
    done = _run(airflow, "providers", what, "--output", "json", env=env)
    rows: list[dict[str, str]] = json.loads(done.stdout[done.stdout.index("[{") :])
    assert "wanx" not in done.stdout[: done.stdout.index("[{")] + done.stderr
    return [row for row in rows if row["package_name"] == "airflow-provider-wanx"]


def test_airflow_lists_the_built_wheel_among_its_providers(installed: Path, env: dict[str, str]) -> None:
    (provider,) = _listed(installed, env, "list")
    assert provider["version"] == version("airflow-provider-wanx")
    assert "DashScope" in provider["description"]


def test_airflow_knows_the_connection_type_of_the_built_wheel(installed: Path, env: dict[str, str]) -> None:
    (hook,) = _listed(installed, env, "hooks")
    assert hook["connection_type"] == "dashscope"
    assert hook["conn_id_attribute_name"] == "dashscope_conn_id"
    assert hook["class"] == "airflow_provider_wanx.hooks.dashscope.DashScopeHook"


def test_airflow_loads_everything_of_the_built_wheel_without_a_warning(
    installed: Path, env: dict[str, str]
) -> None:
    # The command line suppresses warnings of providers; the manager behind it does not.
    python = installed / "venv" / "bin" / "python"
    done = _run(python, "-W", "always", "-c", _LOAD_EVERYTHING, env=env)
    assert done.stdout.splitlines()[-1] == "loaded"
    assert "wanx" not in (done.stdout + done.stderr).lower()


def test_the_wheel_holds_the_package_its_licence_and_nothing_else(installed: Path) -> None:
    done = _run(sys.executable, "-m", "zipfile", "--list", next((installed / "dist").glob("*.whl")))
    names = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"airflow_provider_wanx"}
    assert "airflow_provider_wanx/py.typed" in names
    assert any(name.endswith("/LICENSE") for name in names)
