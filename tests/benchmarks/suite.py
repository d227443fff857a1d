"""All measurements, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.benchmarks import (
    bulk,
    copying,
    dry_runs,
    growth,
    imports,
    on_airflow,
    plans,
    submissions,
    waits,
)
from tests.benchmarks.clients import CLIENTS, PLAIN, PROVIDER
from tests.benchmarks.waits import Setting

Figures = Iterator[dict[str, Any]]

# A poller that loses its way is not waited for longer than that.
_PATIENCE = 180.0
_AT_A_TIME = 2
_HABITS_AT_A_TIME = 4

HABITS = {
    "newest first": "--list-order newest",
    "oldest first": "--list-order oldest",
    "shuffled anew for every page": "--list-order shuffled",
    "10 rows a page": "--max-page-size 10",
    "no totals": "--no-list-totals",
    "10 s late": "--list-delay 10",
    "requests counted from second to second": "--rate-windows fixed",
    "shuffled, 10 rows a page, no totals": "--list-order shuffled --max-page-size 10 --no-list-totals",
}
"""What no document tells of the service, and the arguments with which the local one has that habit."""


def _two_hundred() -> Figures:
    setting = Setting(n=200, concurrency=10, seconds=_PATIENCE)
    # All of them wait far more than they work: two at a time do not disturb each other.
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        results = pool.map(lambda client: waits.measure(client, setting), CLIENTS)
        for client, figures in zip(CLIENTS, results, strict=True):
            yield {"client": client, "n": setting.n, **figures}


def _one_thousand() -> Figures:
    # The jobs alone take 100 s.
    for client in (PROVIDER, PLAIN):
        setting = Setting(n=1000, concurrency=40, seconds=140.0)
        yield {"client": client, "n": setting.n, **waits.measure(client, setting)}


def _ten_thousand() -> Figures:
    setting = Setting(n=10_000, concurrency=40, seconds=90.0)
    yield {"client": PROVIDER, "n": setting.n, **waits.measure(PROVIDER, setting)}


def _two_triggerers() -> Figures:
    setting = Setting(n=1000, concurrency=40, processes=2, seconds=_PATIENCE)
    yield {"client": PROVIDER, "n": setting.n, "processes": 2, **waits.measure(PROVIDER, setting)}


def _without_list() -> Figures:
    setting = Setting(
        n=200,
        concurrency=10,
        seconds=_PATIENCE,
        faults=({"endpoint": "list_tasks", "kind": "status", "status": 403},),
    )
    yield {"client": PROVIDER, "n": setting.n, **waits.measure(PROVIDER, setting)}


def _habits() -> Figures:
    def measured(habit: str) -> dict[str, Any]:
        setting = Setting(n=200, concurrency=10, seconds=_PATIENCE, arguments=tuple(HABITS[habit].split()))
        return waits.measure(PROVIDER, setting)

    with ThreadPoolExecutor(_HABITS_AT_A_TIME) as pool:
        for habit, figures in zip(HABITS, pool.map(measured, HABITS), strict=True):
            yield {"client": PROVIDER, "habit": habit, "n": 200, **figures}


def _ten_thousand_oldest_first() -> Figures:
    setting = Setting(n=10_000, concurrency=40, seconds=90.0, arguments=("--list-order", "oldest"))
    yield {"client": PROVIDER, "n": setting.n, **waits.measure(PROVIDER, setting)}


def _submissions() -> Figures:
    for client, processes, tasks, machines, windows, shared in (
        ("SDK", 32, 200, 1, "sliding", False),
        ("provider", 1, 20, 1, "sliding", False),
        ("provider", 8, 40, 1, "sliding", False),
        ("provider", 32, 200, 1, "sliding", False),
        ("provider", 32, 128, 4, "sliding", False),
        ("provider", 32, 128, 4, "fixed", False),
        ("provider", 32, 128, 32, "sliding", False),
        ("provider", 32, 128, 32, "fixed", False),
        ("provider", 1, 20, 1, "sliding", True),
        ("provider", 32, 64, 4, "sliding", True),
        ("provider", 32, 64, 32, "sliding", True),
    ):
        arguments = ("--rate-windows", windows)
        figures = submissions.measure(
            client, processes=processes, tasks=tasks, machines=machines, shared=shared, arguments=arguments
        )
        yield {
            "client": client,
            "n": tasks,
            "processes": processes,
            "machines": machines,
            "windows": windows,
            "shared": shared,
            **figures,
        }


BENCHES: dict[str, Callable[[], Figures]] = {
    "waits-200": _two_hundred,
    "waits-200-without-list": _without_list,
    "waits-habits": _habits,
    "waits-1000": _one_thousand,
    "waits-10000": _ten_thousand,
    "waits-10000-oldest": _ten_thousand_oldest_first,
    "waits-two-triggerers": _two_triggerers,
    "growth": growth.measure,
    "submissions": _submissions,
    "imports": imports.measure,
    "airflow": on_airflow.measure,
    "bulk": bulk.measure,
    "plans": plans.measure,
    "copying": copying.measure,
    "dry-runs": dry_runs.measure,
}

# Those of one stage wait far more than they work, so they run side by side; the others have the machine to themselves.
STAGES: tuple[tuple[str, ...], ...] = (
    ("waits-200",),
    ("waits-habits",),
    ("waits-200-without-list", "submissions", "waits-1000"),
    ("waits-two-triggerers",),
    ("waits-10000",),
    ("waits-10000-oldest",),
    ("growth",),
    ("imports",),
    ("airflow",),
    ("bulk",),
    ("plans",),
    ("copying",),
    ("dry-runs",),
)
