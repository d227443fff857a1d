"""Announced ends of models: where they are told, and what is done when they cannot be learned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wanx.cli.definition import make_parser
from airflow_provider_wanx.dashscope.client import retirement
from airflow_provider_wanx.dashscope.models import CHINA_TIME, ListedModel
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.operators.painting import PAINT, paint

ENDS = (f"{PAINT['model']}=2027-03-31", f"{REPAINT_MODEL}=2027-01-31")


@pytest.fixture(autouse=True)
def directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What this machine keeps."""
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setattr(retirement, "private_directory", lambda: kept)
    return kept


@pytest.fixture
def ending(connect_dashscope: Callable[..., BackgroundSimulator]) -> BackgroundSimulator:
    """A service that takes two models away."""
    return connect_dashscope(speed=100, submit_rate=0, task_rate=0, model_ends=ENDS)


def asked(simulator: BackgroundSimulator) -> int:
    return int(simulator.ledger(summary=True)["endpoints"].get("models", {}).get("requests", 0))


def test_a_submission_warns_of_the_end_and_the_service_is_asked_once_a_day(
    ending: BackgroundSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert paint().run_try()
    log = capsys.readouterr().out
    assert log.count(f"announced the end of {PAINT['model']} on 2027-03-31") == 2
    assert asked(ending) == 1


def test_no_word_of_models_that_stay(ending: BackgroundSimulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert paint(model="wanx-v1").run_try()
    assert "announced the end" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "trouble", [{"kind": "status", "status": 404}, {"kind": "garbage"}, {"kind": "reset"}]
)
def test_a_service_that_does_not_tell_keeps_nothing_from_being_submitted_and_is_left_alone(
    ending: BackgroundSimulator, trouble: dict[str, Any]
) -> None:
    ending.add_fault(endpoint="models", **trouble)
    for _ in range(2):
        assert paint().run_try()
    assert asked(ending) == 1


def test_what_this_machine_has_kept_and_cannot_be_read_is_asked_for_again(
    ending: BackgroundSimulator, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert paint().run_try()
    (kept,) = directory.iterdir()
    kept.write_text("{half")
    assert paint().run_try()
    assert capsys.readouterr().out.count("announced the end") == 2
    assert asked(ending) == 2


def test_the_connection_test_tells_of_the_repaint_models_end(ending: BackgroundSimulator) -> None:
    works, words = DashScopeHook().test_connection()
    assert works
    assert f"announced the end of {REPAINT_MODEL} on 2027-01-31" in words


def test_the_connection_test_does_without(ending: BackgroundSimulator) -> None:
    ending.add_fault(endpoint="models", kind="status", status=404)
    works, words = DashScopeHook().test_connection()
    assert works
    assert "announced" not in words


def test_the_command_shows_ends_in_a_column_of_their_own(
    ending: BackgroundSimulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", ending.api_key)
    options = make_parser().parse_args(["limits", "--host", ending.url, "--output", "json"])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        options.func(options)
    ends = {row["model"]: row["ends"] for row in json.loads(capsys.readouterr().out)}
    assert ends[REPAINT_MODEL] == "2027-01-31 00:00"
    assert ends["wanx-v1"] is None


@pytest.mark.parametrize(
    "told",
    [
        {"offline_time": "2026-12-31 00:00:00"},
        {"offlineTime": "2026-12-31 00:00:00", "announceUrl": "https://example.com"},
        {
            "cn-beijing": {"offline_time": "2026-12-31 00:00:00"},
            "us": {"offline_time": "2027-06-30 00:00:00"},
        },
    ],
)
def test_an_end_is_read_in_every_form_that_others_have_met(told: dict[str, Any]) -> None:
    end = ListedModel.model_validate({"model": "m", "inference_offline_info": told}).offline_time
    assert end is not None
    assert end.astimezone(CHINA_TIME).date().isoformat() == "2026-12-31"


@pytest.mark.parametrize("told", [None, {}, [], "soon", {"offline_time": "soon"}, {"offline_time": 7}])
def test_what_is_no_time_is_no_announcement(told: Any) -> None:
    assert ListedModel.model_validate({"model": "m", "inference_offline_info": told}).offline_time is None
