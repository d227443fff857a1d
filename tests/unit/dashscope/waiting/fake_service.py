"""A service in virtual time: a queue of jobs, request limits, and a task list with any habits."""

from __future__ import annotations

import asyncio
import heapq
import json
import math
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx

from tests.unit.dashscope.waiting.virtual_time import NOON

CHINA = timezone(timedelta(hours=8))
LATENCY = 0.02


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What no document tells of the task list, and of how requests are counted.

    :param order: of the rows: ``newest``, ``oldest``, or ``shuffled`` anew for every page.
    :param late: seconds by which it shows what was.
    :param page_cap: rows on a page at most.
    :param totals: whether it says how many rows there are: on all pages, or on this one only.
    :param turns: whether it has pages after the first; if not, it shows that one again.
    :param knows: part of the tasks that it ever shows.
    :param history: tasks in it that ended before.
    :param filters: whether it keeps to the state that was asked for.
    :param fixed_windows: whether requests are counted from second to second.
    :param status: HTTP status of its answers.
    """

    order: str = "newest"
    late: float = 0.0
    page_cap: int = 100
    totals: bool | str = True
    turns: bool = True
    knows: float = 1.0
    history: int = 0
    filters: bool = True
    fixed_windows: bool = False
    status: int = 200


@dataclass
class Job:
    """A task, with times on the loop's clock."""

    task_id: str
    created: float
    started: float
    ended: float
    result: str = "SUCCEEDED"

    def status(self, now: float) -> str:
        if now < self.started:
            return "PENDING"
        return "RUNNING" if now < self.ended else self.result


def queue(
    count: int, *, seconds: float, at_once: int, fifo: bool = True, failing: frozenset[int] = frozenset()
) -> list[Job]:
    """Plan jobs that were all submitted right before the start; those that fail do so at once."""
    order = list(range(count))
    if not fifo:
        random.Random(1).shuffle(order)
    free = [0.0] * at_once
    jobs: dict[int, Job] = {}
    for number in order:
        start = heapq.heappop(free)
        bad = number in failing
        job = Job(f"task-{number}", number * 1e-3 - 1, start + 0.1, start + (0.2 if bad else 0.1 + seconds))
        job.result = "FAILED" if bad else "SUCCEEDED"
        jobs[number] = job
        heapq.heappush(free, job.ended)
    return [jobs[number] for number in range(count)]


Trouble = Callable[[str, httpx.Request, float], httpx.Response | None]
"""Told the endpoint, the request and the time, it answers instead of the service, raises, or leaves the answer to it."""


@dataclass
class FakeService(httpx.AsyncBaseTransport):
    """Answers as the service does, at 20 requests a second on each endpoint.

    :param trouble: what goes wrong.
    :param keys: the keys that are accepted; empty for any.
    """

    jobs: list[Job]
    habits: Habits = field(default_factory=Habits)
    limit: int = 20
    requests: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    trouble: Trouble | None = None
    keys: frozenset[str] = frozenset()
    closed: int = 0

    async def aclose(self) -> None:
        self.closed += 1

    def __post_init__(self) -> None:
        self._by_id = {job.task_id: job for job in self.jobs}
        self._recent: dict[str, deque[float]] = {"get": deque(), "list": deque()}
        self._dice = random.Random(7)
        self._listed = [job for job in self.jobs if self._dice.random() < self.habits.knows]
        past = [Job(f"old-{number}", -9000.0, -8000.0, -7000.0) for number in range(self.habits.history)]
        self._listed = past + self._listed

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        task_id = request.url.path.partition("/tasks/")[2]
        endpoint = "get" if task_id else "list"
        self.requests[endpoint] += 1
        await asyncio.sleep(LATENCY / 2)
        now = asyncio.get_running_loop().time()
        answer = self.trouble(endpoint, request, now) if self.trouble else None
        if self.keys and request.headers["authorization"].removeprefix("Bearer ") not in self.keys:
            answer = httpx.Response(401, json={"code": "InvalidApiKey", "message": "no"})
        if answer is None:
            answer = self._answer(endpoint, task_id, dict(request.url.params), now)
        await asyncio.sleep(LATENCY / 2)
        return answer

    def _answer(self, endpoint: str, task_id: str, query: dict[str, str], now: float) -> httpx.Response:
        if not self._admit(endpoint, now):
            self.refused += 1
            return self._json({"code": "Throttling.RateQuota", "message": "", "request_id": "r"}, status=429)
        if endpoint == "get":
            return self._json({"output": self._output(task_id, now), "request_id": "r"})
        if self.habits.status != 200:
            return self._json({"code": "AccessDenied", "message": "no"}, status=self.habits.status)
        return self._json(self._page(query, now - self.habits.late))

    def _admit(self, endpoint: str, now: float) -> bool:
        recent = self._recent[endpoint]
        since = math.floor(now) if self.habits.fixed_windows else now - 1
        while recent and recent[0] <= since:
            recent.popleft()
        if len(recent) >= self.limit:
            return False
        recent.append(now)
        return True

    def _output(self, task_id: str, now: float) -> dict[str, Any]:
        job = self._by_id.get(task_id)
        if job is None:
            return {"task_id": task_id, "task_status": "UNKNOWN"}
        output = {"task_id": task_id, "task_status": job.status(now), "submit_time": _text(job.created)}
        if now >= job.started:
            output["scheduled_time"] = _text(job.started)
        if now >= job.ended:
            output["end_time"] = _text(job.ended)
        return output

    def _page(self, query: dict[str, str], seen_at: float) -> dict[str, Any]:
        habits = self.habits
        jobs = [job for job in self._listed if job.created <= seen_at]
        if habits.filters:
            jobs = [job for job in jobs if job.status(seen_at) == query["status"]]
        if habits.order == "newest":
            jobs.reverse()
        elif habits.order == "shuffled":
            self._dice.shuffle(jobs)
        size, page_no = min(int(query["page_size"]), habits.page_cap), int(query["page_no"])
        page_no = page_no if habits.turns else 1
        shown = jobs[(page_no - 1) * size : page_no * size]
        page: dict[str, Any] = {"data": [self._row(job, seen_at) for job in shown], "request_id": "r"}
        if habits.totals:
            page["total"] = len(jobs) if habits.totals is True else len(shown)
        return page

    def _row(self, job: Job, seen_at: float) -> dict[str, Any]:
        created = round((NOON + job.created) * 1000)
        return {"task_id": job.task_id, "status": job.status(seen_at), "gmt_create": created}

    def _json(self, body: dict[str, Any], *, status: int = 200) -> httpx.Response:
        return httpx.Response(status, content=json.dumps(body))


def _text(moment: float) -> str:
    return datetime.fromtimestamp(NOON + moment, CHINA).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
