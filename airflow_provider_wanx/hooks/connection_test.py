"""What the "Test" button of a connection finds out, by calls that cost nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_wanx.dashscope.client import DashScopeClient
from airflow_provider_wanx.dashscope.client.retirement import announced_ends, words_of
from airflow_provider_wanx.dashscope.config import REPAINT_REGION, region_of
from airflow_provider_wanx.dashscope.errors import AuthenticationError, ProviderError
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.config import ClientConfig
    from airflow_provider_wanx.dashscope.models import ModelLimit, TaskPage


def check_access(config: ClientConfig, *, patience: float = 5.0) -> tuple[bool, str]:
    """Try key, host and region on the task list, and access to the repaint model on the list of limits.

    :param patience: seconds for which a call is repeated at most, and without a byte after which it fails. Somebody waits
        before a form.
    :return: whether the connection can be used, and what was found or what to do. In a region that has other models only, it
        can be used without the repaint model.
    """
    region = region_of(config.base_url)
    patient = replace(
        config, timeout=min(config.timeout, patience), retry_for=min(config.retry_for, patience)
    )
    with DashScopeClient(patient) as client:
        try:
            tasks = client.list_tasks(page_size=1)
        except AuthenticationError as error:
            here = f" This host serves {region}, and keys of other regions are refused." if region else ""
            return False, f"{error}{here}"
        except ProviderError as error:
            return False, str(error)
        accepted = _accepted(config, region, tasks)
        try:
            quotas = client.get_quotas(model=REPAINT_MODEL).quotas
        except ProviderError as error:
            return (
                True,
                f"{accepted} Its limits, and whether it may use {REPAINT_MODEL}, are not known: {error}",
            )
        end = _end(client)
    limit = next((quota.model_limit for quota in quotas if quota.model == REPAINT_MODEL), None)
    if not any(quota.model == REPAINT_MODEL for quota in quotas):
        if region not in (None, REPAINT_REGION):
            return True, f"{accepted} {REPAINT_MODEL} is in {REPAINT_REGION} only, so it is for other models."
        advice = "activate the model in the service's console, or grant it to the key's workspace."
        return False, f"No access to {REPAINT_MODEL}: {advice} {accepted}"
    return True, f"{accepted} {REPAINT_MODEL}: {_limits(limit)}.{end}"


def _end(client: DashScopeClient) -> str:
    try:
        end = announced_ends(client).get(REPAINT_MODEL)
    except ProviderError:
        # The connection works; this is only more to know.
        return ""
    return "" if end is None else f" {words_of(REPAINT_MODEL, end)}"


def _accepted(config: ClientConfig, region: str | None, tasks: TaskPage) -> str:
    host = urlsplit(config.base_url).netloc
    recent = "" if tasks.total is None else f" {tasks.total} task(s) in the last 24 hours."
    return f"{host}{f' ({region})' if region else ''} accepts the key.{recent}"


def _limits(limit: ModelLimit | None) -> str:
    known = []
    if limit is not None and limit.request_limit is not None:
        period = limit.request_limit_period or 1
        known.append(f"{limit.request_limit} submission(s) in {period} s")
    if limit is not None and limit.async_user_concurrency_limit is not None:
        known.append(f"{limit.async_user_concurrency_limit} task(s) at a time")
    if limit is not None and limit.async_user_queue_limit is not None:
        known.append(f"{limit.async_user_queue_limit} waiting")
    return ", ".join(known) or "access, with limits that the service does not tell"
