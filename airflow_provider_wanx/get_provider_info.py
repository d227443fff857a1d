"""What Airflow is told about this provider. Imports nothing, because it is read while Airflow starts."""

from __future__ import annotations

from typing import Any

_INTEGRATION = "DashScope"

_MODULES = {
    "hooks": ("hooks.dashscope",),
    "operators": ("operators.dashscope", "operators.wanx", "operators.wanx_batch"),
    "sensors": ("sensors.dashscope",),
    "triggers": ("triggers.batch", "triggers.dashscope"),
    "retry-policies": ("retry_policies.dashscope",),
}

_REGIONS = ("cn-beijing", "ap-southeast-1", "us-east-1", "cn-hongkong", "eu-central-1", "ap-northeast-1")
"""As in :mod:`airflow_provider_wanx.dashscope.config`, which is not imported while Airflow starts."""


def _number(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["number", "null"], **schema}}


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def _option(description: str, **fields: Any) -> dict[str, Any]:
    return {
        "description": f"{description}\n",
        "type": "string",
        "version_added": None,
        "example": None,
        "default": None,
        **fields,
    }


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
                "tags": ["ai", "generative-ai", "alibaba", "service"],
            }
        ],
        **{
            kind: [
                {
                    "integration-name": _INTEGRATION,
                    "python-modules": [f"airflow_provider_wanx.{name}" for name in names],
                }
            ]
            for kind, names in _MODULES.items()
        },
        "transfers": [
            {
                "source-integration-name": _INTEGRATION,
                "target-integration-name": "Amazon Simple Storage Service (S3)",
                "python-module": "airflow_provider_wanx.transfers.dashscope_to_s3",
            }
        ],
        "cli": ["airflow_provider_wanx.cli.definition.get_cli_commands"],
        "extra-links": [
            f"airflow_provider_wanx.links.dashscope.{name}"
            for name in ("DashScopeConsoleLink", "GalleryLink", "ResultLink", "S3ObjectLink")
        ],
        "config": {
            "dashscope": {
                "description": "Settings of the provider airflow-provider-wanx.",
                "options": {
                    "record_path": _option(
                        "Folder for the records by which a retry goes on with what an earlier try has submitted, "
                        "instead of submitting and paying again: ``s3://bucket/prefix`` or any other URL that Airflow's "
                        "object storage knows. If this is empty, Airflow 3.3 and later keep them in the task state "
                        "store, and earlier versions keep none. In a folder on S3, all machines also share the pace of "
                        "their submissions. ``record_path`` in a connection's extra comes before this one.",
                        example="s3://bucket/dashscope-records",
                    ),
                    "gallery_conn_ids": _option(
                        "AWS connections through which the API server reads pictures for the gallery, separated by "
                        "commas and tried in this order. What XComs and manifests say about connections is not "
                        "believed. Empty: the gallery reads nothing.",
                        example="aws_default, aws_portraits",
                        default="aws_default",
                    ),
                    "gallery_buckets": _option(
                        "Buckets, or folders in them, that the gallery may read: ``bucket`` or ``bucket/prefix``, "
                        "separated by commas. If this is empty, results are shown from every bucket that the "
                        "connections can read, and a portrait only if it lies in the bucket of its result.",
                        example="portraits/2026, repainted",
                        default="",
                    ),
                    "gallery_ambient_credentials": _option(
                        "Whether the gallery may use an AWS connection that has no credentials of its own, and so reads "
                        "with those of the API server's machine, such as an instance role.",
                        type="boolean",
                        default="False",
                    ),
                },
            }
        },
        "connection-types": [
            {
                "connection-type": "dashscope",
                "hook-class-name": "airflow_provider_wanx.hooks.dashscope.DashScopeHook",
                "hook-name": "DashScope",
                "ui-field-behaviour": {
                    # Airflow 3.3.2 tests no stored connection without a port, so that there must be a field for one.
                    "hidden-fields": ["login", "schema"],
                    "relabeling": {"password": "API key", "host": "Base URL"},
                    "placeholders": {
                        "password": "sk-…",
                        "host": "https://dashscope.aliyuncs.com",
                        "port": "443",
                    },
                },
                "conn-fields": {
                    "workspace": _text(
                        "Workspace",
                        "Workspace id, such as ws-42; needed with the key of a sub-account.",
                        pattern="^[A-Za-z0-9_-]{1,64}$",
                    ),
                    "region": _text(
                        "Region",
                        "Region of the key; it chooses the host if the base URL is empty. cn-beijing (default) is the only "
                        "one with the repaint model.",
                        enum=[None, *_REGIONS],
                        values_display={"null": "that of the base URL"},
                    ),
                    "record_path": _text(
                        "Record path",
                        "Folder for the records that keep a retry from paying again, such as s3://bucket/prefix. "
                        "Needed before Airflow 3.3. On S3, all machines also share the pace of their submissions there.",
                    ),
                    "image_transfer": _text(
                        "Pictures in S3",
                        "How the service gets them. link: it fetches a presigned URL. upload: the worker puts them into the "
                        "service's temporary store, for buckets that the service cannot reach in time. Empty: link.",
                        enum=[None, "link", "upload"],
                    ),
                    "submissions_per_second": _number(
                        "Submissions per second",
                        "The account's limit for submissions of one model. Empty: 2, as published.",
                        exclusiveMinimum=0,
                    ),
                    "requests_per_second": _number(
                        "Requests per second",
                        "The account's limit for each task endpoint. Empty: 20, as published.",
                        exclusiveMinimum=0,
                    ),
                    "proxy": _text(
                        "Proxy",
                        "URL of the proxy for all requests, such as http://proxy.example.com:3128. If empty: what HTTPS_PROXY, "
                        "HTTP_PROXY, ALL_PROXY and NO_PROXY say on each worker.",
                        format="password",
                    ),
                    "ca_bundle": _text(
                        "CA bundle",
                        "File with the certificate authorities to trust, on each worker and triggerer. If empty: what "
                        "SSL_CERT_FILE or REQUESTS_CA_BUNDLE say, or those that Python brings.",
                    ),
                    "client_certificate": _text(
                        "Client certificate",
                        "PEM file with the certificate that a gateway asks for, on each worker and triggerer.",
                    ),
                    "client_key": _text(
                        "Client key",
                        "PEM file with the certificate's key, without a password; empty if the certificate's file has it.",
                    ),
                    "secret_headers": _text(
                        "Headers",
                        'Further headers of all requests to the service, as JSON: {"X-Gateway-Key": "…"}. They are not shown.',
                        format="password",
                    ),
                    "result_hosts": _text(
                        "Hosts of results",
                        "The only hosts that results are fetched from, such as *.aliyuncs.com, with commas between them. "
                        "If empty: any public host.",
                    ),
                    "timeout": _number(
                        "Timeout (s)",
                        "Seconds without a byte after which a request is given up. Empty: 60.",
                        exclusiveMinimum=0,
                    ),
                    "retry_for": _number(
                        "Repeat for (s)",
                        "Seconds for which a failed call is repeated where that is safe; 0 for never. Empty: 60.",
                        minimum=0,
                    ),
                },
            }
        ],
    }
