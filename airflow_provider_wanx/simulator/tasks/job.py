"""One task."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_wanx.simulator.orders import Order
from airflow_provider_wanx.simulator.painting.files import Item


class Status(StrEnum):
    """The statuses that this service gives its tasks."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"


@dataclass(kw_only=True, slots=True, eq=False)
class Job:
    """A task. Its times are moments of the service's clock; what has not happened yet has none."""

    number: int
    task_id: str
    request_id: str
    api_key_id: str
    order: Order
    fingerprint: str
    submitted: float
    deadline: float
    status: Status = Status.PENDING
    started: float | None = None
    due: float | None = None
    ended: float | None = None
    code: str = ""
    message: str = ""
    items: tuple[Item, ...] = ()
    thumbnail: bytes = field(default=b"", repr=False)
    billed: int = 0
    polls: int = 0
    downloads: int = 0
