"""docs/performance.md and docs/performance.json."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks import bulk_report, plots
from tests.benchmarks.clients import PLAIN, PROVIDER
from tests.benchmarks.tables import Column, Row, Rows, number, section, table

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, FIGURES = DOCS / "performance.md", DOCS / "performance.json"

_INTRODUCTION = """\
# Performance

Written by `make bench`, which measures everything side by side on one machine against the
[local DashScope](simulator.md): it keeps to the documented limits of 20 requests a second on each task endpoint and 2
submissions a second, as strictly as they can be read. What matters are counts and ratios; times depend on the machine. The same
figures are in `performance.json`.

Compared are: this package's trigger; a *plain trigger* that looks at its own task every 3 s, as most providers have it; and the wait
of the official SDK, its classes of 1.x in asyncio and in threads (one worker slot each), and the `Client` of 2.0 in threads.

## How it waits

All waits for one account in one triggerer share one poller. A few tasks are asked for one by one. For many, the poller reads the
list of the running tasks once a second. A task that has left it has probably ended. It is asked for, and only the answer about the
task itself ends its wait. All others are asked for in turn, three a second: the oldest, which has probably started first, and the one
that was not asked for the longest time. Where such a question finds an end, the next follows at once. If the list cannot be read,
all of the budget goes to these questions. So a list that is late or wrong can delay an answer, but never lose one: by as much as it is
late, or by the time until a task is asked for in turn. [The service](service.md) says what of the list is known and what is not.

The poller uses up to 70 % of the limit of the status endpoint and 25 % of that of the list. A refusal shrinks this by a third, then it
recovers bit by bit. So triggerers that share an account find a common rate.
"""


def read() -> list[Row]:
    """Read the figures of earlier runs."""
    rows: list[Row] = json.loads(FIGURES.read_text()) if FIGURES.exists() else []
    return rows


def write(rows: Rows) -> None:
    """Write figures, page and plots.

    :param rows: all figures
    """
    FIGURES.write_text(json.dumps([_rounded(row) for row in rows], indent=1, ensure_ascii=False) + "\n")
    plots.draw(rows)
    sections = [_INTRODUCTION, *(text for make in _SECTIONS if (text := make(rows)))]
    PAGE.write_text("\n".join(sections))


def _rounded(row: Row) -> Row:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


def _client(row: Row) -> str:
    return "this package" if row["client"] == PROVIDER else str(row["client"])


def _wanted(row: Row) -> int:
    """With so many waits, most jobs have not ended when the measurement is over."""
    return int(row["ended"] if row["bench"].startswith("waits-10000") else row["n"])


_WAIT_COLUMNS: list[Column] = [
    ("", _client),
    ("ended well", lambda row: f"{row['ended_well']:,} of {_wanted(row):,}"),
    ("requests", number("requests")),
    ("refused", number("refused")),
    ("lag p50", number("lag_p50", digits=1, unit=" s")),
    ("p95", number("lag_p95", digits=1, unit=" s")),
    ("max", number("lag_max", digits=1, unit=" s")),
    ("CPU", number("cpu_seconds", digits=1, unit=" s")),
    ("one core", number("cpu_share", digits=1, factor=100, unit=" %")),
    ("memory a wait", number("kilobytes_per_wait", digits=1, unit=" kB")),
]


@section("waits-200")
def _two_hundred(found: Rows) -> str:
    return (
        "## 200 jobs, 4 s each, ten at a time\n\n"
        "The lag is the time from the end of a job, by the service's clock, to the event. An end that was not noticed when the "
        "measurement was over (after three minutes) counts with the lag it had by then. Memory is the largest during the wait, with what "
        "the client needs once, so that a wait's share is telling for many waits only.\n\n"
        + table(found, _WAIT_COLUMNS)
        + "\n![Ended well, requests and lag](images/performance-waits.svg)\n"
        + _ratios(found)
    )


def _ratios(rows: Rows) -> str:
    mine, plain = ([row for row in rows if row["client"] == client] for client in (PROVIDER, PLAIN))
    if not mine or not plain:
        return ""
    requests = plain[0]["requests"] / mine[0]["requests"]
    return f"\nThe plain trigger sends {requests:.0f} times as many requests.\n"


@section("waits-habits")
def _habits(found: Rows) -> str:
    columns: list[Column] = [("", lambda row: str(row["habit"])), *_WAIT_COLUMNS[1:]]
    return (
        "## The same 200 jobs under other habits of the service\n\n"
        "No document gives the order of the task list, its largest page, whether it always has totals, how late it is, or how "
        "requests per second are counted. The local DashScope has these habits as [settings](simulator.md). The other measurements "
        "are made with its usual ones: newest first, 100 rows a page, totals, not late, and requests counted in any second. "
        "Here one is changed at a time, and three in the last row. Four measurements run at a time.\n\n"
        + table(found, columns)
    )


_MANY = {
    "waits-1000": "1,000 jobs, 4 s, forty at a time",
    "waits-10000": "10,000 waiting, 4 s, forty at a time",
    "waits-10000-oldest": "10,000 waiting, list oldest first",
    "waits-two-triggerers": "two triggerers, 500 waits each, one account",
    "waits-200-without-list": "200 jobs, ten at a time, task list refused",
}


@section(*_MANY)
def _many(found: Rows) -> str:
    columns: list[Column] = [
        ("", lambda row: f"{_MANY[row['bench']]}: {_client(row)}"),
        *_WAIT_COLUMNS[1:],
    ]
    return (
        "## More\n\nWith 10,000 waits and forty jobs at a time, most have not ended when the measurement is over: counted are those "
        "that have.\n\n" + table(found, columns)
    )


@section("growth")
def _growth(found: Rows) -> str:
    columns: list[Column] = [
        ("", _client),
        ("waits", number("n")),
        ("requests/s", number("requests_per_second", digits=1)),
        ("refused", number("refused_share", factor=100, unit=" %")),
        ("waits lost", number("lost")),
        ("one core", number("cpu_share", digits=1, factor=100, unit=" %")),
        ("memory a wait", number("kilobytes_per_wait", digits=1, unit=" kB")),
    ]
    return (
        "## Growth\n\nWaiting alone: jobs that do not end, for some seconds, from the start of the waits on. While nothing begins or "
        "ends, this package reads the list once a second and asks for three tasks a second in turn.\n\n"
        "![Growth with the number of waits](images/performance-growth.svg)\n\n" + table(found, columns)
    )


@section("submissions")
def _submissions(found: Rows) -> str:
    columns: list[Column] = [
        ("", _client),
        ("processes", number("processes")),
        ("machines", number("machines")),
        ("pace on S3", lambda row: "yes" if row.get("shared") else "no"),
        ("seconds counted", lambda row: str(row.get("windows", "sliding"))),
        ("accepted", lambda row: f"{row['accepted']} of {row['tasks']}"),
        ("requests", number("requests")),
        ("refused for each accepted", number("refused_per_accepted", digits=2)),
        ("of the limit's rate", _share_of_limit),
    ]
    return (
        "## Submitting\n\nProcesses on one machine reserve their moments in a shared file, and machines in an object on S3, where "
        "there is a [record path](operators.md#one-pace-for-all-machines). Without one, machines know of each other only by being "
        "refused; then a machine pauses for a random time. Here, processes with different temporary folders stand for machines. The "
        "service counts requests per second in *sliding* seconds, the strictest reading, or in *fixed* ones. The SDK does not "
        "repeat what was refused.\n\n" + table(found, columns)
    )


def _share_of_limit(row: Row) -> str:
    # A burst that the service lets pass is no rate.
    return number("share_of_limit", factor=100, unit=" %")(row) if row["accepted"] >= 10 else "–"


@section("imports")
def _imports(found: Rows) -> str:
    columns: list[Column] = [("", _client), ("ms", number("milliseconds", digits=1))]
    return "## Import and parse\n\nMedian of fresh processes, byte code compiled.\n\n" + table(found, columns)


@section("airflow")
def _airflow(found: Rows) -> str:
    columns: list[Column] = [
        ("", lambda row: str(row["client"])),
        ("n", number("n")),
        ("value", _value),
    ]
    return (
        "## In a real Airflow\n\nA thousand sensors, as many as a triggerer takes by default, are deferred by workers on the same "
        "machine. Airflow warns of a blocked loop when something in the triggerer has held it up for more than 100 ms. A full "
        "garbage collection of Airflow's own objects can take that long, whatever the triggers do; and one comes "
        "when a triggerer has taken in very many triggers.\n\n"
        "Worker seconds are the time for which tasks are in the state *running*. The example DAG repaints one portrait and copies it "
        "to S3.\n\n" + table(found, columns)
    )


def _value(row: Row) -> str:
    if not row["unit"]:
        return f"{row['value']:,.0f}"
    return f"{row['value']:,.1f} {row['unit']}"


_SECTIONS = (_two_hundred, _habits, _many, _growth, _submissions, _airflow, *bulk_report.SECTIONS, _imports)
