"""The two clients of the service: one that blocks, one that awaits."""

from __future__ import annotations

from airflow_provider_wanx.dashscope.client.clients import AsyncDashScopeClient, DashScopeClient

__all__ = ["AsyncDashScopeClient", "DashScopeClient"]
