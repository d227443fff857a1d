"""DashScope's asynchronous tasks, for any Python program: nothing in this package imports Airflow.

A program needs a :class:`ClientConfig` and one of the two clients. The clients return what :mod:`models` describes and
raise what :mod:`errors` lists. :mod:`images` and :mod:`styles` check an input before money is spent.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.dashscope.config import ClientConfig, Limits
from airflow_provider_wanx.dashscope.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    DashScopeError,
    DownloadError,
    ForbiddenHostError,
    InvalidInputError,
    InvalidResponseError,
    LostAnswerError,
    NewStatusError,
    ProviderError,
    ResultExpiredError,
    SubmissionQueueError,
    TaskNotSucceededError,
    ThrottledError,
    TransportError,
    WaitTimeoutError,
)
from airflow_provider_wanx.dashscope.models import (
    QuotaPage,
    ResultFailure,
    ResultFile,
    Submission,
    Task,
    TaskPage,
    TaskStatus,
    Usage,
)
from airflow_provider_wanx.dashscope.styles import WanxStyle

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient, DashScopeClient
    from airflow_provider_wanx.dashscope.images import ImageInfo, check_image

__all__ = [
    "ApiError",
    "AsyncDashScopeClient",
    "AuthenticationError",
    "ClientConfig",
    "ConfigurationError",
    "DashScopeClient",
    "DashScopeError",
    "DownloadError",
    "ForbiddenHostError",
    "ImageInfo",
    "InvalidInputError",
    "InvalidResponseError",
    "Limits",
    "LostAnswerError",
    "NewStatusError",
    "ProviderError",
    "QuotaPage",
    "ResultExpiredError",
    "ResultFailure",
    "ResultFile",
    "Submission",
    "SubmissionQueueError",
    "Task",
    "TaskNotSucceededError",
    "TaskPage",
    "TaskStatus",
    "ThrottledError",
    "TransportError",
    "Usage",
    "WaitTimeoutError",
    "WanxStyle",
    "check_image",
]

# Imported at their first use: they load httpx or Pillow, which a process that only parses DAGs does not need.
_LATER = {
    "AsyncDashScopeClient": "client",
    "DashScopeClient": "client",
    "ImageInfo": "images",
    "check_image": "images",
}


def __getattr__(name: str) -> Any:
    """Import what loads much at its first use."""
    if name in _LATER:
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
