"""Both command lines in processes of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from airflow.cli.cli_config import ActionCommand, GroupCommand

from airflow_provider_wanx.cli.definition import COMMANDS, Command, Group, get_cli_commands
from airflow_provider_wanx.get_provider_info import get_provider_info
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.stack.environment import clean_environment
from tests.stack.waiting import PATIENCE


def _start(*words: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = clean_environment() | {"AIRFLOW_HOME": str(home), "PYTHONPROFILEIMPORTTIME": "1", **variables}
    return subprocess.run(
        [sys.executable, *words],
        env=env,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _names(entries: Any) -> Any:
    """The tree of the commands' names."""
    groups: Any = (Group, GroupCommand)
    return {
        each.name: _names(getattr(each, "commands", None) or each.subcommands)
        if isinstance(each, groups)
        else None
        for each in entries
    }


def test_airflow_has_the_same_commands_as_the_package_itself() -> None:
    (wanx,) = get_cli_commands()
    assert wanx.name == "wanx"
    assert _names(wanx.subcommands) == _names(COMMANDS)


def test_airflow_finds_them_by_the_providers_info() -> None:
    assert get_provider_info()["cli"] == [f"{get_cli_commands.__module__}.{get_cli_commands.__name__}"]


def test_every_option_of_a_command_is_explained() -> None:
    def commands(entries: Any) -> Any:
        for each in entries:
            yield from commands(each.commands) if isinstance(each, Group) else [each]

    for command in commands(COMMANDS):
        assert isinstance(command, Command)
        assert all(option.settings.get("help") for option in command.options), command.name


def test_every_airflow_command_starts_without_what_only_ours_need(tmp_path: Path) -> None:
    """Every start of ``airflow`` asks for the commands; of Airflow, describing them takes what it has loaded by then."""
    program = (
        "import sys; before = set(sys.modules); import airflow_provider_wanx.cli.definition; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names) - {'airflow_provider_wanx'}))"
    )
    done = _start("-c", program, home=tmp_path)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["styles"], ["tasks", "list", "-o", "json"], ["--help"]])
def test_a_command_that_needs_no_airflow_does_not_load_it(
    words: list[str], tmp_path: Path, dashscope_simulator: BackgroundSimulator
) -> None:
    key = {} if words[0] in ("styles", "--help") else {"DASHSCOPE_API_KEY": dashscope_simulator.api_key}
    host = ["--host", dashscope_simulator.url] if key else []
    done = _start("-m", "airflow_provider_wanx", *words, *host, home=tmp_path, **key)
    assert done.returncode == 0
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, re.MULTILINE))
    assert "airflow_provider_wanx.cli.definition" in loaded
    assert not {name for name in loaded if name.split(".")[0] in {"airflow", "boto3", "PIL"}}


def test_wrong_words_are_wrong_use(tmp_path: Path) -> None:
    done = _start("-m", "airflow_provider_wanx", "tasks", "lisst", home=tmp_path)
    assert done.returncode == 2
    assert "invalid choice: 'lisst'" in done.stderr


def test_airflow_itself_runs_a_command(tmp_path: Path) -> None:
    done = _start("-m", "airflow", "wanx", "styles", "--output", "json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["number"] for row in json.loads(done.stdout)][:3] == [-1, 0, 1]


def test_the_simulator_starts_with_its_own_options(tmp_path: Path) -> None:
    words = ["-m", "airflow_provider_wanx", "simulator", "--port", "0", "--until-input-ends"]
    env = clean_environment()
    process = subprocess.run(
        [sys.executable, *words],
        env=env,
        cwd=tmp_path,
        input="",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert process.returncode == 0
    assert process.stdout.startswith("DashScope simulator ready at http://127.0.0.1:")
    refused = subprocess.run(
        [sys.executable, *words, "--host", "0.0.0.0"], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("Error: 0.0.0.0 can be reached from other machines")


def test_commands_are_airflows_own_kinds() -> None:
    (wanx,) = get_cli_commands()
    assert {type(each) for each in wanx.subcommands} == {ActionCommand, GroupCommand}
