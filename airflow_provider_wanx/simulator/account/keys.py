"""API keys and workspaces: who may call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from airflow_provider_wanx.simulator.account.account import Account
from airflow_provider_wanx.simulator.errors import ServiceError

_SUB_ACCOUNT_PREFIX = "sk-ws-"


def authorize(headers: Mapping[str, str], account: Account) -> None:
    """Check key and workspace of a request.

    Keys beginning with ``sk-ws-`` belong to sub-accounts: where the simulator was given workspaces, such a key has to
    name one of them; any other key may.

    :param headers: the request's.
    :param account: its keys and workspaces.
    :raises ServiceError: 401 or 403.
    """
    key = _key(headers)
    if not key:
        raise ServiceError.of_status(401, message="No API-key provided.")
    if key not in account.api_keys if account.api_keys else not key.startswith("sk-"):
        raise ServiceError.of_status(401)
    workspaces = account.settings.workspaces
    workspace = headers.get("x-dashscope-workspace", "")
    if not workspaces or workspace in workspaces:
        return
    if workspace:
        raise ServiceError(status=401, code="NOT AUTHORIZED", message="Workspace is not authorized.")
    if key.startswith(_SUB_ACCOUNT_PREFIX):
        raise ServiceError(status=403, code="Workspace.AccessDenied", message="Workspace access denied.")


def api_key_id(headers: Mapping[str, str]) -> str:
    """Return the number by which the task list names a key, which tells nothing about the key itself."""
    return str(int(hashlib.sha256(_key(headers).encode()).hexdigest()[:8], 16) % 1_000_000)


def _key(headers: Mapping[str, str]) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
