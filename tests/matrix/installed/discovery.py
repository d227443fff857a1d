"""Run by a row's own interpreter: Airflow finds the provider and loads all that it registers. Whatever is printed counts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from airflow import plugins_manager
from airflow.providers_manager import ProvidersManager

import airflow_provider_wanx
from airflow_provider_wanx.plugins import wanx_gallery

NAME = "airflow-provider-wanx"


def main() -> None:
    """Load everything; fail where the package is not the wheel's, or is not found."""
    place = Path(airflow_provider_wanx.__file__)
    if Path(sys.prefix) not in place.parents:
        raise SystemExit(f"The package is not the wheel's but {place}")
    manager = ProvidersManager()
    if NAME not in manager.providers:
        raise SystemExit("Airflow does not list the provider")
    # Every part of what a provider registers has an initialiser of its own.
    for name in [name for name in dir(manager) if name.startswith("initialize_providers_")]:
        getattr(manager, name)()
    hook = manager.hooks.get("dashscope")
    if hook is None or hook.package_name != NAME:
        raise SystemExit("Airflow does not know the connection type")
    if errors := _plugin_errors(plugins_manager):
        raise SystemExit(f"Plugins that cannot be imported: {errors}")
    names = {each["name"] for each in plugins_manager.get_plugin_info(["name"])}
    if ("wanx_gallery" in names) != (wanx_gallery.plugin is not None):
        raise SystemExit(f"Airflow knows the plugins {sorted(names)}")


def _plugin_errors(plugins: Any) -> dict[str, str]:
    """Load all plugins; return what was wrong with which file."""
    plugins.ensure_plugins_loaded()
    found: dict[str, str]
    # A function from Airflow 3.2 on.
    found = plugins.get_import_errors() if hasattr(plugins, "get_import_errors") else plugins.import_errors
    return found


main()
