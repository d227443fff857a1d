"""What Airflow is told about the provider."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import airflow
import jsonschema  # type: ignore[import-untyped]
import pytest
from airflow.providers.common.compat.sdk import Connection
from airflow.providers_manager import ProvidersManager

from airflow_provider_wanx.dashscope.config import WORKSPACE_HOST_REGIONS
from airflow_provider_wanx.get_provider_info import get_provider_info
from airflow_provider_wanx.hooks.connection import EXTRAS, client_config
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.version_compat import AIRFLOW_V_3_3_PLUS
from tests.unit.support.airflow_names import AIRFLOW

FILES = Path(airflow.__file__).parent


@pytest.fixture
def connection_type() -> dict[str, Any]:
    (found,) = get_provider_info()["connection-types"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def form_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for the form library that Airflow before 3 installs, made of Airflow 3's own."""
    if AIRFLOW < (3, 0):
        return
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    stand_ins: dict[str, dict[str, Any]] = {
        "wtforms": {"StringField": HookMetaService.MockStringField},
        "flask_babel": {"lazy_gettext": str},
        "flask_appbuilder": {},
        "flask_appbuilder.fieldwidgets": {"BS3TextFieldWidget": HookMetaService.MockAnyWidget},
    }
    for name, names in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, name, module)


def test_it_fits_airflows_schema_of_what_a_provider_reports() -> None:
    schema = json.loads((FILES / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


@pytest.mark.needs_airflow("3.2", "connection form from the provider's metadata")
def test_its_connection_form_fits_the_stricter_schema_of_providers_sources(
    connection_type: dict[str, Any],
) -> None:
    schema = json.loads((FILES / "provider.yaml.schema.json").read_text())
    part = schema["properties"]["connection-types"]
    jsonschema.validate([connection_type], {**part, "definitions": schema.get("definitions", {})})


def test_every_field_of_the_form_is_a_schema_of_its_own(connection_type: dict[str, Any]) -> None:
    for field in connection_type["conn-fields"].values():
        jsonschema.Draft7Validator.check_schema(field["schema"])
        assert field["label"]
        assert field["description"]
        jsonschema.validate(None, field["schema"])


def test_the_form_has_a_field_for_every_extra_that_is_read(connection_type: dict[str, Any]) -> None:
    assert set(connection_type["conn-fields"]) == set(EXTRAS)


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("region", list(WORKSPACE_HOST_REGIONS), ["beijing", ""]),
        ("workspace", ["ws-42", "llm_1"], ["a.b", "", "x" * 65]),
        ("retry_for", [0, 2.5], [-1, "5"]),
        ("timeout", [1], [0]),
        ("submissions_per_second", [0.5], [0, -2]),
        ("requests_per_second", [20], [0]),
    ],
)
def test_a_field_of_the_form_takes_what_the_hook_takes(
    connection_type: dict[str, Any], field: str, good: list[Any], bad: list[Any]
) -> None:
    validator = jsonschema.Draft7Validator(connection_type["conn-fields"][field]["schema"])
    assert all(validator.is_valid(value) for value in good)
    assert not any(validator.is_valid(value) for value in bad)
    for value in good:
        extra = json.dumps({"workspace": "ws-1", field: value})
        client_config(Connection(conn_id="c", conn_type="dashscope", password="sk-x", extra=extra))


@pytest.mark.usefixtures("form_library")
def test_the_forms_for_old_and_new_airflow_have_the_same_fields_and_help_texts(
    connection_type: dict[str, Any],
) -> None:
    widgets = DashScopeHook.get_connection_form_widgets()
    old = {name: _texts(widget) for name, widget in widgets.items()}
    assert old == {
        name: (field["label"], field["description"]) for name, field in connection_type["conn-fields"].items()
    }


def _texts(widget: Any) -> tuple[str, str]:
    """Label and help text of a field."""
    if AIRFLOW < (3, 0):
        return str(widget.args[0]), str(widget.kwargs["description"])
    shown = widget.param.dump()
    return shown["schema"]["title"], shown["description"]


def test_the_forms_for_old_and_new_airflow_show_the_standard_fields_alike(
    connection_type: dict[str, Any],
) -> None:
    new = {key.replace("-", "_"): value for key, value in connection_type["ui-field-behaviour"].items()}
    assert DashScopeHook.get_ui_field_behaviour() == new


def test_the_hook_is_what_the_metadata_says(connection_type: dict[str, Any]) -> None:
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(module), name) is DashScopeHook
    assert connection_type["connection-type"] == DashScopeHook.conn_type
    assert connection_type["hook-name"] == DashScopeHook.hook_name


def test_every_module_that_is_named_exists_and_none_is_forgotten() -> None:
    info = get_provider_info()
    named = {
        module
        for kind in ("hooks", "operators", "sensors", "triggers", "retry-policies")
        for entry in info[kind]
        for module in entry["python-modules"]
    } | {entry["python-module"] for entry in info["transfers"]}
    package = Path(importlib.import_module("airflow_provider_wanx").__file__ or "").parent
    shared = {
        "airflow_provider_wanx.hooks.connection_test",
        "airflow_provider_wanx.hooks.connection",
        "airflow_provider_wanx.hooks.shared_place",
        "airflow_provider_wanx.hooks.storage",
        "airflow_provider_wanx.operators.source_arguments",
    }
    there = {
        f"airflow_provider_wanx.{folder}.{file.stem}"
        for folder in ("hooks", "operators", "sensors", "triggers", "transfers", "retry_policies")
        for file in (package / folder).glob("[!_]*.py")
    }
    assert named == there - shared
    for module in named:
        # What it needs Airflow 3.3 for is tested where it is.
        if AIRFLOW_V_3_3_PLUS or "retry_policies" not in module:
            importlib.import_module(module)


def test_integrations_are_named_the_same_everywhere() -> None:
    info = get_provider_info()
    names = {entry["integration-name"] for entry in info["integrations"]}
    used = {
        entry["integration-name"]
        for kind in ("hooks", "operators", "sensors", "triggers", "retry-policies")
        for entry in info[kind]
    }
    assert used == names


def test_airflow_knows_provider_and_connection_type_without_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        providers = ProvidersManager().providers
        hook = _manager_of_hooks().hooks["dashscope"]
    assert "airflow-provider-wanx" in providers
    assert hook is not None
    assert hook.hook_class_name.endswith(".DashScopeHook")
    assert hook.connection_id_attribute_name == "dashscope_conn_id"
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "wanx" not in str(logged)
    told = [f"{each.filename}: {each.message}" for each in caught]
    assert not [each for each in told if "airflow_provider_wanx" in each]


def _manager_of_hooks() -> Any:
    """What a worker asks for hooks; before Airflow 3.2, the same as all others ask."""
    if AIRFLOW < (3, 2):
        return ProvidersManager()
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    return ProvidersManagerTaskRuntime()


def test_airflows_connection_form_shows_the_fields(connection_type: dict[str, Any]) -> None:
    fields, label, hidden = _form()
    if AIRFLOW[:2] == (3, 0) and importlib.util.find_spec("flask_appbuilder") is None:
        # It shows no provider's fields without the FAB provider.
        assert not fields
        return
    assert fields == set(connection_type["conn-fields"])
    assert label == "API key"
    assert "login" in hidden
    assert "password" not in hidden


def _form() -> tuple[set[str], str, set[str]]:
    """The connection form, as Airflow has made it: its own fields, the password's label, and what is hidden."""
    if AIRFLOW < (3, 0):
        manager = ProvidersManager()
        prefix = "extra__dashscope__"
        names = {name.removeprefix(prefix) for name in manager.connection_form_widgets if prefix in name}
        standard = manager.field_behaviours["dashscope"]
        return names, standard["relabeling"]["password"], set(standard["hidden_fields"])
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    if AIRFLOW < (3, 2):
        # What was read without a form library has no form; an API server reads it with one.
        ProvidersManager()._cleanup()
        HookMetaService.hook_meta_data.cache_clear()
    (shown,) = [each for each in HookMetaService.hook_meta_data() if each.connection_type == "dashscope"]
    behaviours = shown.standard_fields.model_dump() if shown.standard_fields else {}
    hidden = {name for name, behaviour in behaviours.items() if behaviour and behaviour["hidden"]}
    return set(shown.extra_fields or ()), (behaviours.get("password") or {}).get("title", ""), hidden


def test_airflow_lists_the_settings_among_its_own() -> None:
    settings = dict(ProvidersManager().provider_configs)["airflow-provider-wanx"]
    assert settings["dashscope"]["options"]["record_path"]["default"] is None


def test_it_is_read_without_importing_anything_of_airflow() -> None:
    program = (
        "import sys; from airflow_provider_wanx.get_provider_info import get_provider_info; "
        "get_provider_info(); print([name for name in sys.modules if name.split('.')[0] in ('airflow', 'httpx')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
