"""An auth manager with a DAG that only administrators see: Airflow's simple one knows roles, but nothing of single DAGs."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

HIDDEN_DAG = "wanx_style_repaint"


class HidingAuthManager(SimpleAuthManager):
    """Hides one DAG, and everything that belongs to it, from all who are no administrators."""

    def is_authorized_dag(self, *, user: Any, details: Any = None, **request: Any) -> bool:
        """Refuse the hidden DAG; leave the rest to Airflow."""
        if details is not None and details.id == HIDDEN_DAG and user.role != "admin":
            return False
        return super().is_authorized_dag(user=user, details=details, **request)
