from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

from airflow_provider_wanx import __version__
from tests.stack import ROOT
from tests.stack.environment import clean_environment
from tests.stack.waiting import PATIENCE

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
        timeout=3 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """A virtual environment with the built wheel, the Airflow that it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = (sys.executable, "-m", "uv")
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
    assert provider["version"] == __version__
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
    # The paths of others' files hold the user's name, which may be anything.
    said = (done.stdout + done.stderr).replace(str(installed), "")
    assert "wanx" not in said.lower()


def test_what_airflow_finds_by_entry_points_can_be_loaded(installed: Path, env: dict[str, str]) -> None:
    code = (
        "from importlib.metadata import distribution\n"
        "points = distribution('airflow-provider-wanx').entry_points\n"
        "print(sorted(f'{each.group} {each.load().__module__}' for each in points if each.group != 'pytest11'))"
    )
    python = installed / "venv" / "bin" / "python"
    assert _run(python, "-c", code, env=env).stdout.splitlines()[-1] == str(
        [
            "airflow.plugins airflow_provider_wanx.plugins.wanx_gallery",
            "apache_airflow_provider airflow_provider_wanx.get_provider_info",
        ]
    )


class TestArchives:
    """What is in the wheel and in the sdist."""

    def test_the_wheel_holds_the_package_its_licence_and_nothing_else(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
            information = f"airflow_provider_wanx-{__version__}.dist-info"
            assert archive.read(f"{information}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        package = _files_of_the_project("airflow_provider_wanx")
        assert "airflow_provider_wanx/py.typed" in package
        assert {name for name in names if not name.startswith(information)} == package

    def test_the_sdist_holds_every_file_of_the_project_and_nothing_else(self, sdist: Path) -> None:
        with tarfile.open(sdist) as archive:
            names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
        assert names - {"PKG-INFO"} == _files_of_the_project()

    def test_the_metadata_tells_what_the_project_is_and_what_it_needs(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(f"airflow_provider_wanx-{__version__}.dist-info/METADATA")
        told = Metadata.from_email(content, validate=True)
        assert (told.name, str(told.version)) == ("airflow-provider-wanx", __version__)
        assert (told.license_expression, told.license_files) == ("Apache-2.0", ["LICENSE"])
        assert str(told.requires_python) == ">=3.11"
        assert told.provides_extra == ["parquet", "simulator", "socks"]
        # An upper bound would keep users from their next Airflow.
        bounds = {part.operator for each in told.requires_dist or () for part in each.specifier}
        assert bounds == {">="}
        assert told.description == (ROOT / "README.md").read_text()

    def test_two_builds_at_different_places_and_times_are_the_same_bytes(self, tmp_path: Path) -> None:
        built = [
            _built(tmp_path / name, age=age, umask=umask)
            for name, age, umask in (("a", 0, 0o022), ("b/c", 9e6, 0o077))
        ]
        assert built[0] == built[1]
        assert [name.rpartition(".")[2] for name in sorted(built[0])] == ["whl", "gz"]


def _files_of_the_project(folder: str = ".") -> set[str]:
    """What git knows, or would know after ``git add``."""
    listed = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder).stdout
    return {name for name in listed.split("\0") if (ROOT / name).is_file()}


def _built(folder: Path, *, age: float, umask: int) -> dict[str, str]:
    """Build the project from a copy; return each archive's digest by its name."""
    then = time.time() - age
    for name in _files_of_the_project():
        copied = folder / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copied)
        copied.chmod(0o666 & ~umask)
        os.utime(copied, (then, then))
    command = (sys.executable, "-m", "uv", "build", "--quiet", "--build-constraint", ROOT / "constraints.txt")
    _run(
        *command,
        "--out-dir",
        folder / "dist",
        folder,
        env=clean_environment() | {"SOURCE_DATE_EPOCH": "1700000000"},
    )
    archives = [path for path in (folder / "dist").iterdir() if path.suffix in (".whl", ".gz")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in archives}
