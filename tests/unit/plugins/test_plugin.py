"""How Airflow finds the gallery, and what that costs it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
from airflow import plugins_manager
from airflow._shared.plugins_manager import is_valid_plugin
from airflow.api_fastapi.app import RESERVED_URL_PREFIXES
from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse
from airflow.providers.common.compat.sdk import conf

from airflow_provider_wanx import version_compat
from airflow_provider_wanx.plugins import wanx_gallery


@pytest.fixture
def reloaded() -> Iterator[None]:
    """The module as it was before, after it was loaded under other circumstances."""
    yield
    importlib.reload(wanx_gallery)


def test_airflow_finds_it_by_its_entry_point_and_takes_all_of_it() -> None:
    (found,) = entry_points(group="airflow.plugins", name="wanx_gallery")
    assert found.load() is wanx_gallery.WanxGalleryPlugin
    (loaded,) = [each for each in plugins_manager._get_plugins()[0] if each.name == "wanx_gallery"]
    assert loaded.fastapi_apps == wanx_gallery.WanxGalleryPlugin.fastapi_apps
    views = [view for view in plugins_manager._get_ui_plugins()[0] if "wanx" in view["url_route"]]
    assert views == loaded.external_views
    assert [ExternalViewResponse.model_validate(view).destination for view in views] == [
        "nav",
        "dag",
        "task",
        "dag_run",
        "task_instance",
    ]
    assert not any(wanx_gallery.PREFIX.startswith(prefix) for prefix in RESERVED_URL_PREFIXES)


def test_before_airflow_31_there_is_no_plugin_and_nobody_minds(
    monkeypatch: pytest.MonkeyPatch, reloaded: None
) -> None:
    monkeypatch.setattr(version_compat, "AIRFLOW_V_3_1_PLUS", False)
    assert importlib.reload(wanx_gallery).plugin is None
    assert not is_valid_plugin(None)
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
