"""What the service tells of the account's limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_wanx.dashscope.errors import ProviderError

if TYPE_CHECKING:
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook, Log


@dataclass(frozen=True, kw_only=True)
class Account:
    """What the service tells of the account.

    :param queue_limit: tasks that may wait; None if it does not tell.
    :param concurrency: tasks that run at a time.
    """

    queue_limit: int | None
    concurrency: int

    @classmethod
    def read(cls, hook: DashScopeHook, model: str, log: Log) -> Account:
        """Ask for the limits of a model; they are only advice, so an answer that does not come is no obstacle."""
        try:
            quotas = hook.get_quotas(model=model).quotas
        except ProviderError as error:
            log.warning("The account's limits cannot be read, so the documented ones count: %s", error)
            quotas = ()
        limit = next(
            (quota.model_limit for quota in quotas if quota.model == model and quota.model_limit), None
        )
        return cls(
            queue_limit=limit.async_user_queue_limit if limit else None,
            concurrency=max(1, (limit.async_user_concurrency_limit if limit else None) or 1),
        )
