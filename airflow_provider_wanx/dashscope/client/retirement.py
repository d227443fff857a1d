"""Which models are announced to end: learned from the service, and kept for a day by each machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from airflow_provider_wanx.dashscope.client.clients import DashScopeClient
from airflow_provider_wanx.dashscope.errors import ProviderError
from airflow_provider_wanx.dashscope.pacing.machine import STALE_AFTER_SECONDS, private_directory

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.config import ClientConfig


def announced_ends(client: DashScopeClient) -> dict[str, datetime]:
    """Ask which models are announced to end, and when.

    :raises ProviderError: the service does not tell.
    """
    ends: dict[str, datetime] = {}
    seen = 0
    # The service had some hundred models in 2026.
    for page_no in range(1, 21):
        page = client.list_models(page_no=page_no)
        ends.update((each.model, each.offline_time) for each in page.models if each.offline_time)
        seen += len(page.models)
        if not page.models or seen >= page.total:
            break
    return ends


def end_of(model: str, config: ClientConfig) -> datetime | None:
    """Tell when a model is announced to end; None if it is not, or nobody knows.

    The service is asked once a day by each machine, and for some seconds only.

    :param model: the model's name.
    :param config: the account.
    """
    name = hashlib.sha256(f"ends|{config.base_url}|{config.api_key}".encode()).hexdigest()[:40]
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        file = private_directory() / name
        if file.exists() and time.time() - file.stat().st_mtime < STALE_AFTER_SECONDS:
            kept = json.loads(file.read_bytes()[:65536])
            return datetime.fromisoformat(kept[model]) if model in kept else None
    ends: dict[str, datetime] = {}
    with (
        contextlib.suppress(ProviderError),
        DashScopeClient(replace(config, timeout=min(config.timeout, 5.0), retry_for=0.0)) as client,
    ):
        ends = announced_ends(client)
    with contextlib.suppress(OSError):
        file = private_directory() / name
        file.write_text(json.dumps({each: moment.isoformat() for each, moment in ends.items()}))
    return ends.get(model)


def words_of(model: str, end: datetime) -> str:
    """Say that a model ends, and what to do."""
    return (
        f"The service has announced the end of {model} on {end:%Y-%m-%d}: submissions will be refused from then on. The page "
        "on errors of this package's documentation names models that follow it."
    )
