"""``styles`` and ``limits``: what the repaint model can do, and what the account may do with any model."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.cli.output import print_rows, say
from airflow_provider_wanx.cli.running import DONE, REFUSED, open_client
from airflow_provider_wanx.dashscope.client.retirement import announced_ends
from airflow_provider_wanx.dashscope.errors import ProviderError
from airflow_provider_wanx.dashscope.models import CHINA_TIME
from airflow_provider_wanx.dashscope.styles import WanxStyle

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.dashscope.models import Quota

COLUMNS = ("model", "applies_to", "submissions", "seconds", "running_at_once", "queue", "ends")


def show_styles(arguments: Namespace) -> int:
    """List number, English and Chinese name of every style."""
    rows = [{"number": each.number, "english": each.english, "chinese": each.chinese} for each in WanxStyle]
    print_rows(rows, ("number", "english", "chinese"), output=arguments.output)
    return DONE


def show_limits(arguments: Namespace) -> int:
    """List the limits of one model or of all, for the account and for the workspace."""
    with open_client(arguments) as client:
        ends = _ends(client)
        rows = [
            {**row, "ends": ends.get(quota.model)}
            for quota in _quotas(client, arguments.model)
            for row in _rows(quota)
        ]
    if not rows and arguments.model:
        say(f"Error: the service has no limits for model {arguments.model!r}; is that its exact name?")
        return REFUSED
    print_rows(rows, COLUMNS, output=arguments.output)
    return DONE


def _ends(client: DashScopeClient) -> dict[str, str]:
    """The announced ends of models, in China time as the service tells them."""
    try:
        ends = announced_ends(client)
    except ProviderError as error:
        say(f"Which models are announced to end is not known: {error}")
        return {}
    return {model: f"{end.astimezone(CHINA_TIME):%Y-%m-%d %H:%M}" for model, end in ends.items()}


def _quotas(client: DashScopeClient, model: str | None) -> Iterator[Quota]:
    page_no, seen = 1, 0
    while True:
        page = client.get_quotas(model=model, page_no=page_no)
        yield from page.quotas
        seen += len(page.quotas)
        if not page.quotas or seen >= page.total:
            return
        page_no += 1


def _rows(quota: Quota) -> Iterator[dict[str, Any]]:
    for whose, limit in (("account", quota.model_limit), ("workspace", quota.workspace_limit)):
        if limit is not None:
            yield {
                "model": quota.model,
                "applies_to": whose,
                "submissions": limit.request_limit,
                "seconds": limit.request_limit_period,
                "running_at_once": limit.async_user_concurrency_limit,
                "queue": limit.async_user_queue_limit,
            }
