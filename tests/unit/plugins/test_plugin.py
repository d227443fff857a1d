"""How Airflow finds the gallery, and what that costs it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import conf

from airflow_provider_wanx import version_compat
from airflow_provider_wanx.operators.dashscope import DashScopeSubmitTaskOperator
from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator, WanxStyleRepaintOperator
from airflow_provider_wanx.plugins import wanx_gallery
from airflow_provider_wanx.sensors.dashscope import DashScopeTaskSensor
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator
from tests.unit.support.airflow_names import AIRFLOW

# Its names change from one Airflow to the next.
plugins_manager: Any = importlib.import_module("airflow.plugins_manager")


@pytest.fixture
def reloaded() -> Iterator[None]:
    """The module as it was before, after it was loaded under other circumstances."""
    yield
    importlib.reload(wanx_gallery)


def _loaded() -> list[Any]:
    """Airflow's plugins, loaded by Airflow."""
    plugins_manager.ensure_plugins_loaded()
    plugins: list[Any] = plugins_manager._get_plugins()[0] if AIRFLOW >= (3, 2) else plugins_manager.plugins
    return plugins


def _shown() -> list[Any]:
    """What plugins show in the web interface of Airflow 3.1 and later."""
    if AIRFLOW >= (3, 2):
        shown: list[Any] = plugins_manager._get_ui_plugins()[0]
        return shown
    plugins_manager.initialize_ui_plugins()
    views: list[Any] = plugins_manager.external_views
    return views


def test_airflow_has_it_from_3_1_on_and_complains_of_nothing() -> None:
    assert [each.name for each in _loaded() if "wanx" in str(each.name)] == ["wanx_gallery"] * (
        AIRFLOW >= (3, 1)
    )
    errors = plugins_manager.get_import_errors() if AIRFLOW >= (3, 2) else plugins_manager.import_errors
    assert not errors


@pytest.mark.needs_airflow("3.1", "the gallery")
def test_airflow_finds_it_by_its_entry_point_and_takes_all_of_it() -> None:
    from airflow.api_fastapi.app import RESERVED_URL_PREFIXES
    from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse

    (found,) = entry_points(group="airflow.plugins", name="wanx_gallery")
    assert found.load() is wanx_gallery.WanxGalleryPlugin
    (loaded,) = [each for each in _loaded() if each.name == "wanx_gallery"]
    assert loaded.fastapi_apps == wanx_gallery.WanxGalleryPlugin.fastapi_apps
    views = [view for view in _shown() if "wanx" in view["url_route"]]
    assert views == loaded.external_views
    assert [ExternalViewResponse.model_validate(view).destination for view in views] == [
        "nav",
        "dag",
        "task",
        "dag_run",
        "task_instance",
    ]
    assert not any(wanx_gallery.PREFIX.startswith(prefix) for prefix in RESERVED_URL_PREFIXES)


def test_since_airflow_34_only_tasks_of_our_operators_have_the_tab() -> None:
    places = {
        view["destination"]: view.get("applies_to") for view in wanx_gallery.WanxGalleryPlugin.external_views
    }
    ours = {"task.template_fields": ["dashscope_conn_id"]} if AIRFLOW >= (3, 4) else None
    assert (places["task"], places["task_instance"]) == (ours, ours)
    assert (places["nav"], places["dag"], places["dag_run"]) == (None, None, None)
    for operator in (
        WanxStyleRepaintOperator,
        WanxStyleRepaintBatchOperator,
        DashScopeSubmitTaskOperator,
        DashScopeTaskSensor,
        DashScopeToS3Operator,
    ):
        assert "dashscope_conn_id" in operator.template_fields


def test_before_airflow_31_there_is_no_plugin_and_nobody_minds(
    monkeypatch: pytest.MonkeyPatch, reloaded: None
) -> None:
    monkeypatch.setattr(version_compat, "AIRFLOW_V_3_1_PLUS", False)
    assert importlib.reload(wanx_gallery).plugin is None
    assert not plugins_manager.is_valid_plugin(None)
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("base_url", "root"),
    [
        ("http://localhost:8080", ""),
        ("https://example.org/airflow", "/airflow"),
        ("https://example.org/airflow/", "/airflow"),
        ("", ""),
    ],
)
def test_its_addresses_lie_below_the_path_on_which_airflow_lives(
    monkeypatch: pytest.MonkeyPatch, reloaded: None, base_url: str, root: str
) -> None:
    def get(section: str, key: str, **_: Any) -> str:
        assert (section, key) == ("api", "base_url")
        return base_url

    monkeypatch.setattr(conf, "get", get)
    views = importlib.reload(wanx_gallery).WanxGalleryPlugin.external_views
    assert {view["href"].partition("/wanx/gallery/")[0] for view in views} == {root}
    assert views[0]["icon"] == f"{root}/wanx/gallery/static/icon.svg"
    monkeypatch.undo()
