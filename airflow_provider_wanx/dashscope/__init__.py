"""DashScope's asynchronous tasks, for any Python program: nothing in this package imports Airflow.

A program needs a :class:`ClientConfig` and one of the two clients. The clients return what :mod:`models` describes and
raise what :mod:`errors` lists. :mod:`images` and :mod:`styles` check an input before money is spent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.dashscope.config import ClientConfig, Limits
from airflow_provider_wanx.dashscope.errors import DashScopeError
from airflow_provider_wanx.dashscope.models import ResultFile, Submission, Task, TaskPage, TaskStatus
from airflow_provider_wanx.dashscope.styles import WanxStyle

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient, DashScopeClient

__all__ = [
    "AsyncDashScopeClient",
    "ClientConfig",
    "DashScopeClient",
    "DashScopeError",
    "Limits",
    "ResultFile",
    "Submission",
    "Task",
    "TaskPage",
    "TaskStatus",
    "WanxStyle",
]


def __getattr__(name: str) -> Any:
    """Import the clients at their first use: they load httpx, which a process that only parses DAGs does not need."""
    if name in ("AsyncDashScopeClient", "DashScopeClient"):
        from airflow_provider_wanx.dashscope import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
