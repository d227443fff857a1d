"""The two clients of the service: one blocks, one awaits."""

from __future__ import annotations

from airflow_provider_wanx.dashscope.client.clients import AsyncDashScopeClient, DashScopeClient

__all__ = ["AsyncDashScopeClient", "DashScopeClient"]
