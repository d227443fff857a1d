"""What Airflow is told about this provider. Imports nothing, because it is read while Airflow starts."""

from __future__ import annotations

from typing import Any

_INTEGRATION = "DashScope"


_REGIONS = (
    "cn-beijing",
    "ap-southeast-1",
    "us-east-1",
    "cn-hongkong",
    "eu-central-1",
    "ap-northeast-1",
)
"""As in :mod:`airflow_provider_wanx.dashscope.config`, which is not imported while Airflow starts."""


def _number_field(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["number", "null"], **schema}}


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
                "tags": ["ai", "generative-ai", "alibaba", "service"],
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
                    "airflow_provider_wanx.operators.wanx_batch",
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
        "retry-policies": [
            {
                "integration-name": _INTEGRATION,
                "python-modules": ["airflow_provider_wanx.retry_policies.dashscope"],
            }
        ],
        "cli": ["airflow_provider_wanx.cli.definition.get_cli_commands"],
        "extra-links": [
            "airflow_provider_wanx.links.dashscope.DashScopeConsoleLink",
            "airflow_provider_wanx.links.dashscope.GalleryLink",
            "airflow_provider_wanx.links.dashscope.ResultLink",
            "airflow_provider_wanx.links.dashscope.S3ObjectLink",
        ],
        "config": {
            "dashscope": {
                "description": "Settings of the provider airflow-provider-wanx.",
                "options": {
                    "record_path": {
                        "description": (
                            "Folder for the records by which a retry goes on with what an earlier try has submitted, "
                            "instead of submitting and paying again: ``s3://bucket/prefix`` or any other URL that Airflow's "
                            "object storage knows. If this is empty, Airflow 3.3 and later keep them in the task state "
                            "store, and earlier versions keep none. In a folder on S3, all machines also share the pace of "
                            "their submissions. ``record_path`` in a connection's extra comes before this one.\n"
                        ),
                        "type": "string",
                        "version_added": None,
                        "example": "s3://bucket/dashscope-records",
                        "default": None,
                    },
                    "gallery_conn_ids": {
                        "description": (
                            "AWS connections through which the API server reads pictures for the gallery, separated by "
                            "commas and tried in this order. What XComs and manifests say about connections is not "
                            "believed. Empty: the gallery reads nothing.\n"
                        ),
                        "type": "string",
                        "version_added": None,
                        "example": "aws_default, aws_portraits",
                        "default": "aws_default",
                    },
                    "gallery_buckets": {
                        "description": (
                            "Buckets, or folders in them, that the gallery may read: ``bucket`` or ``bucket/prefix``, "
                            "separated by commas. If this is empty, results are shown from every bucket that the "
                            "connections can read, and a portrait only if it lies in the bucket of its result.\n"
                        ),
                        "type": "string",
                        "version_added": None,
                        "example": "portraits/2026, repainted",
                        "default": "",
                    },
                    "gallery_ambient_credentials": {
                        "description": (
                            "Whether the gallery may use an AWS connection that has no credentials of its own, and so reads "
                            "with those of the API server's machine, such as an instance role.\n"
                        ),
                        "type": "boolean",
                        "version_added": None,
                        "example": None,
                        "default": "False",
                    },
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
                    "workspace": _text_field(
                        "Workspace",
                        "Workspace id, such as ws-42; needed with the key of a sub-account.",
                        pattern="^[A-Za-z0-9_-]{1,64}$",
                    ),
                    "region": _text_field(
                        "Region",
                        "Region of the key; it chooses the host if the base URL is empty. cn-beijing (default) is the only "
                        "one with the repaint model.",
                        enum=[None, *_REGIONS],
                        values_display={"null": "that of the base URL"},
                    ),
                    "record_path": _text_field(
                        "Record path",
                        "Folder for the records that keep a retry from paying again, such as s3://bucket/prefix. "
                        "Needed before Airflow 3.3. On S3, all machines also share the pace of their submissions there.",
                    ),
                    "image_transfer": _text_field(
                        "Pictures in S3",
                        "How the service gets them. link: it fetches a presigned URL. upload: the worker puts them into the "
                        "service's temporary store, for buckets that the service cannot reach in time. Empty: link.",
                        enum=[None, "link", "upload"],
                    ),
                    "submissions_per_second": _number_field(
                        "Submissions per second",
                        "The account's limit for submissions of one model. Empty: 2, as published.",
                        exclusiveMinimum=0,
                    ),
                    "requests_per_second": _number_field(
                        "Requests per second",
                        "The account's limit for each task endpoint. Empty: 20, as published.",
                        exclusiveMinimum=0,
                    ),
                    "proxy": _text_field(
                        "Proxy",
                        "URL of the proxy for all requests, such as http://proxy.example.com:3128. If empty: what HTTPS_PROXY, "
                        "HTTP_PROXY, ALL_PROXY and NO_PROXY say on each worker.",
                        format="password",
                    ),
                    "ca_bundle": _text_field(
                        "CA bundle",
                        "File with the certificate authorities to trust, on each worker and triggerer. If empty: what "
                        "SSL_CERT_FILE or REQUESTS_CA_BUNDLE say, or those that Python brings.",
                    ),
                    "client_certificate": _text_field(
                        "Client certificate",
                        "PEM file with the certificate that a gateway asks for, on each worker and triggerer.",
                    ),
                    "client_key": _text_field(
                        "Client key",
                        "PEM file with the certificate's key, without a password; empty if the certificate's file has it.",
                    ),
                    "secret_headers": _text_field(
                        "Headers",
                        'Further headers of all requests to the service, as JSON: {"X-Gateway-Key": "…"}. They are not shown.',
                        format="password",
                    ),
                    "result_hosts": _text_field(
                        "Hosts of results",
                        "The only hosts that results are fetched from, such as *.aliyuncs.com, with commas between them. "
                        "If empty: any public host.",
                    ),
                    "timeout": _number_field(
                        "Timeout (s)",
                        "Seconds without a byte after which a request is given up. Empty: 60.",
                        exclusiveMinimum=0,
                    ),
                    "retry_for": _number_field(
                        "Repeat for (s)",
                        "Seconds for which a failed call is repeated where that is safe; 0 for never. Empty: 60.",
                        minimum=0,
                    ),
                },
            }
        ],
    }
