"""Faults on demand: what goes wrong, where, how often."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Endpoint = Literal[
    "submit", "get_task", "list_tasks", "cancel", "upload_policy", "upload", "quotas", "models", "result", "job", "input",
]  # fmt: skip
Kind = Literal[
    "status", "delay", "reset", "truncate", "garbage", "empty", "lose_answer", "unknown", "outcome"
]
Outcome = Literal["SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN", "PARTIAL"]


class FaultOrder(BaseModel):
    """What a test asks for. Times of faults are real seconds, whatever the speed; only ``runs_for`` is the service's.

    :param endpoint: where it strikes. ``job`` is the work on a task, ``input`` the download of its input.
    :param kind: ``status`` answers with an HTTP error; ``delay`` answers late; ``reset`` resets the connection before
        anything is done; ``truncate`` does the work and sends part of the answer; ``garbage`` answers with something
        that is not JSON; ``empty`` with nothing; ``lose_answer`` does the work and drops the connection without a
        byte; ``unknown`` says that the task is UNKNOWN; ``outcome`` decides how a job ends. On ``input``, ``delay``
        delays the download and every other kind lets it fail with ``code`` and ``message``.
    :param status: HTTP status of ``status`` (default 500) and of ``garbage`` and ``empty`` (default 200).
    :param outcome: how the job ends; PARTIAL succeeds with one failed result.
    :param code: the error code; each status has a usual one.
    :param message: the error message.
    :param headers: additional response headers, for example Retry-After.
    :param seconds: how late.
    :param runs_for: how long the job runs, in the service's seconds.
    :param times: how often it strikes; None is always.
    :param rate: how likely it strikes, 0 to 1.
    :param after: how many matching requests it lets pass first.
    :param for_seconds: how long it lasts from now.
    :param task_id: only this task.
    :param style: only tasks of this style.
    :param model: only tasks of this model.
    """

    model_config = ConfigDict(extra="forbid")

    endpoint: Endpoint
    kind: Kind
    status: int | None = Field(default=None, ge=200, le=599)
    outcome: Outcome | None = None
    code: str | None = None
    message: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    seconds: float = Field(default=1.0, ge=0)
    runs_for: float | None = Field(default=None, ge=0)
    times: int | None = Field(default=None, ge=1)
    rate: float = Field(default=1.0, ge=0, le=1)
    after: int = Field(default=0, ge=0)
    for_seconds: float | None = Field(default=None, gt=0)
    task_id: str | None = None
    style: int | None = None
    model: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> FaultOrder:
        if (self.endpoint == "job") != (self.kind == "outcome"):
            raise ValueError("kind 'outcome' and endpoint 'job' go together")
        if self.kind == "outcome" and self.outcome is None and self.runs_for is None:
            raise ValueError("kind 'outcome' needs 'outcome', 'runs_for' or both")
        if self.kind != "outcome" and (self.outcome is not None or self.runs_for is not None):
            raise ValueError("'outcome' and 'runs_for' belong to kind 'outcome'")
        if self.kind == "unknown" and self.endpoint != "get_task":
            raise ValueError("kind 'unknown' is possible on endpoint 'get_task' only")
        return self


@dataclass(kw_only=True)
class Fault:
    """An order at work.

    :param order: what was asked for.
    :param ends: when it stops, on the monotonic clock.
    :param seen: matching requests so far, of which it has ``struck`` some.
    """

    order: FaultOrder
    ends: float
    seen: int = 0
    struck: int = 0

    @property
    def spent(self) -> bool:
        """Whether it will not strike again."""
        used_up = self.order.times is not None and self.struck >= self.order.times
        return used_up or time.monotonic() >= self.ends


class Faults:
    """All faults, asked in the order in which they were added.

    :param seed: makes rates reproducible.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._dice = random.Random(seed)
        self._ids = itertools.count(1)
        self._faults: dict[str, Fault] = {}

    def add(self, order: FaultOrder) -> str:
        """Put an order to work; return its id."""
        ends = time.monotonic() + order.for_seconds if order.for_seconds is not None else float("inf")
        fault_id = f"fault-{next(self._ids)}"
        self._faults[fault_id] = Fault(order=order, ends=ends)
        return fault_id

    def describe(self) -> list[dict[str, Any]]:
        """Say what each fault is and what it did so far, spent ones included."""
        return [
            {"id": fault_id, **fault.order.model_dump(exclude_none=True)}
            | {"seen": fault.seen, "struck": fault.struck, "spent": fault.spent}
            for fault_id, fault in self._faults.items()
        ]

    def __bool__(self) -> bool:
        return bool(self._faults)

    def clear(self) -> None:
        """Remove all."""
        self._faults.clear()

    def strike(self, endpoint: Endpoint, **target: str | int | None) -> FaultOrder | None:
        """Decide whether a request with this ``task_id``, ``style`` and ``model`` is hit, and by what."""
        for fault in self._faults.values():
            order = fault.order
            fits = all(getattr(order, name) in (None, value) for name, value in target.items())
            if order.endpoint != endpoint or not fits or fault.spent:
                continue
            fault.seen += 1
            if fault.seen <= order.after or self._dice.random() >= order.rate:
                continue
            fault.struck += 1
            return order
        return None
