"""What holds from one release to the next: one version everywhere, and a changelog that tools and people can read."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from airflow_provider_wanx import __version__
from airflow_provider_wanx.cli.definition import make_parser

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
"""Of changes, in the order of Keep a Changelog."""


def test_the_version_is_the_packages_own_and_all_that_tell_it_read_it_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in project["project"]
    assert str(Version(__version__)) == version("airflow-provider-wanx") == __version__
    with pytest.raises(SystemExit):
        make_parser().parse_args(["--version"])
    assert capsys.readouterr().out == f"airflow-provider-wanx {__version__}\n"


def test_nothing_else_names_the_version() -> None:
    code = [
        *(ROOT / "airflow_provider_wanx").rglob("*.py"),
        *(ROOT / "docs").rglob("*.py"),
        ROOT / "pyproject.toml",
    ]
    found = [path for path in code if f'"{__version__}"' in path.read_text(encoding="utf-8")]
    assert found == [ROOT / "airflow_provider_wanx" / "__init__.py"]


def test_the_changelog_begins_with_what_is_not_released_and_goes_back_version_by_version() -> None:
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in headings[1:]]
    assert all(dated)
    releases = [(Version(each[1]), each[2]) for each in dated if each]
    assert releases == sorted(releases, reverse=True)
    assert all(released <= Version(__version__) for released, _ in releases)


def test_each_part_of_the_changelog_is_of_a_known_kind() -> None:
    for section in re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert kinds == [kind for kind in KINDS if kind in kinds]
        assert kinds
