"""What Airflow is told about this provider. Imports nothing, because it is read while Airflow starts."""

from __future__ import annotations

from typing import Any

_INTEGRATION = "DashScope"


def _number_field(label: str, description: str) -> dict[str, Any]:
    return {
        "label": label,
        "description": description,
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
    }


def _text_field(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, in the form of Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-wanx",
        "name": "Tongyi Wanxiang (DashScope)",
        "description": "Repaint portraits with Tongyi Wanxiang, and run any asynchronous DashScope task.",
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://help.aliyun.com/zh/model-studio/",
                "tags": ["service"],
            }
        ],
        "hooks": [
            {"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_wanx.hooks.dashscope"]}
        ],
        "operators": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    "airflow_provider_wanx.operators.dashscope",
                    "airflow_provider_wanx.operators.wanx",
                ],
            }
        ],
        "sensors": [
            {"integration-name": _INTEGRATION, "python-modules": ["airflow_provider_wanx.sensors.dashscope"]}
        ],
        "triggers": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": [
                    "airflow_provider_wanx.triggers.batch",
                    "airflow_provider_wanx.triggers.dashscope",
                ],
            }
        ],
        "transfers": [
            {
                "source-integration-name": _INTEGRATION,
                "target-integration-name": "Amazon Simple Storage Service (S3)",
                "python-module": "airflow_provider_wanx.transfers.dashscope_to_s3",
            }
        ],
        "cli": ["airflow_provider_wanx.cli.definition.get_cli_commands"],
        "extra-links": [
            "airflow_provider_wanx.links.dashscope.DashScopeConsoleLink",
            "airflow_provider_wanx.links.dashscope.GalleryLink",
            "airflow_provider_wanx.links.dashscope.ResultLink",
            "airflow_provider_wanx.links.dashscope.S3ObjectLink",
        ],
        "connection-types": [
            {
                "connection-type": "dashscope",
                "hook-class-name": "airflow_provider_wanx.hooks.dashscope.DashScopeHook",
                "hook-name": "DashScope",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema", "port"],
                    "relabeling": {"password": "API key", "host": "Base URL"},
                    "placeholders": {"password": "sk-…", "host": "https://dashscope.aliyuncs.com"},
                },
                "conn-fields": {
                    "workspace": _text_field(
                        "Workspace", "Workspace id; needed with the key of a sub-account.", maxLength=64
                    ),
                    "region": _text_field(
                        "Region",
                        "Chooses the host where the base URL is empty. The repaint model is in cn-beijing only.",
                    ),
                    "submissions_per_second": _number_field(
                        "Submissions per second", "The account's limit for one model. Published: 2."
                    ),
                    "requests_per_second": _number_field(
                        "Requests per second", "The account's limit for each task endpoint. Published: 20."
                    ),
                    "timeout": _number_field(
                        "Timeout (s)", "Seconds without a byte after which a request fails: 60."
                    ),
                    "retry_for": _number_field(
                        "Repeat for (s)",
                        "Seconds for which a failed call is repeated where that is safe: 60.",
                    ),
                },
            }
        ],
    }
