"""All measurements, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from tests.benchmarks import bulk, copying, dry_runs, growth, imports, on_airflow, plans, submissions, waits
from tests.benchmarks.clients import CLIENTS, PLAIN, PROVIDER
from tests.benchmarks.waits import Setting

Figures = Iterator[dict[str, Any]]

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


# A poller that loses its way is not waited for longer than that.
_PATIENCE = 180.0
_TWO_HUNDRED = Setting(n=200, seconds=_PATIENCE)
# With so many, the jobs alone take 100 s, or most do not end.
_ONE_THOUSAND = Setting(n=1000, concurrency=40, seconds=140.0)
_TEN_THOUSAND = Setting(n=10_000, concurrency=40, seconds=90.0)

Wait = tuple[str, Setting, dict[str, Any]]
"""A client, what it waits for, and what its row says besides."""

_WAITS: dict[str, tuple[int, list[Wait]]] = {
    "waits-200": (2, [(client, _TWO_HUNDRED, {}) for client in CLIENTS]),
    "waits-200-without-list": (
        1,
        [
            (
                PROVIDER,
                replace(_TWO_HUNDRED, faults=({"endpoint": "list_tasks", "kind": "status", "status": 403},)),
                {},
            )
        ],
    ),
    "waits-habits": (
        4,
        [
            (PROVIDER, replace(_TWO_HUNDRED, arguments=tuple(arguments.split())), {"habit": habit})
            for habit, arguments in HABITS.items()
        ],
    ),
    "waits-1000": (1, [(client, _ONE_THOUSAND, {}) for client in (PROVIDER, PLAIN)]),
    "waits-10000": (1, [(PROVIDER, _TEN_THOUSAND, {})]),
    "waits-10000-oldest": (1, [(PROVIDER, replace(_TEN_THOUSAND, arguments=("--list-order", "oldest")), {})]),
    "waits-two-triggerers": (
        1,
        [(PROVIDER, replace(_ONE_THOUSAND, processes=2, seconds=_PATIENCE), {"processes": 2})],
    ),
}
"""How many are measured at a time, and which. All of them wait far more than they work, so they do not disturb each other."""


def _measured(at_a_time: int, found: list[Wait]) -> Figures:
    with ThreadPoolExecutor(at_a_time) as pool:
        results = pool.map(lambda each: waits.measure(each[0], each[1]), found)
        for (client, setting, more), figures in zip(found, results, strict=True):
            yield {"client": client, "n": setting.n, **more, **figures}


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
    **{name: partial(_measured, *waiting) for name, waiting in _WAITS.items()},
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
    *((name,) for name in ("waits-two-triggerers", "waits-10000", "waits-10000-oldest")),
    *((name,) for name in ("growth", "imports", "airflow", "bulk", "plans", "copying", "dry-runs")),
)
