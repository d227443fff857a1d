"""The command line: one measurement, some benches, or all of them with the report."""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.benchmarks import report, submissions, waits
from tests.benchmarks.clients import CLIENTS, PROVIDER
from tests.benchmarks.suite import BENCHES, STAGES


def main() -> int:
    """Do what the command line asks for.

    :return: exit code
    """
    options = _parser().parse_args()
    match options.command:
        case "waits":
            setting = waits.Setting(
                n=options.n,
                duration=options.duration,
                concurrency=options.concurrency,
                processes=options.processes,
                seconds=options.seconds,
                faults=tuple(json.loads(fault) for fault in options.fault),
                arguments=tuple(options.service.split()),
            )
            _show(waits.measure(options.client, setting))
        case "submissions":
            _show(
                submissions.measure(
                    options.client,
                    processes=options.processes,
                    tasks=options.tasks,
                    machines=options.machines,
                    shared=options.shared,
                    arguments=tuple(options.service.split()),
                )
            )
        case "report":
            report.write(report.read())
        case _:
            _run(options.only or list(BENCHES))
    return 0


def _run(names: list[str]) -> None:
    for stage in STAGES:
        if chosen := [name for name in stage if name in names]:
            with ThreadPoolExecutor(len(chosen)) as pool:
                measured = dict(zip(chosen, pool.map(_measure, chosen), strict=True))
            # Read only now: another run may have written in the meantime.
            earlier = report.read()
            rows = {name: [row for row in earlier if row["bench"] == name] for name in BENCHES} | measured
            report.write([row for name in BENCHES for row in rows[name]])


def _measure(name: str) -> list[dict[str, Any]]:
    began = time.monotonic()
    found: list[dict[str, Any]] = []
    for figures in BENCHES[name]():
        found.append({"bench": name, **figures})
        elapsed = time.monotonic() - began
        sys.stderr.write(f"{elapsed:5.0f} s  {name}: {figures['client']}, {figures['n']:,}\n")
    return found


def _show(figures: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run benches and write docs/performance.md and .json")
    run.add_argument("--only", action="append", choices=list(BENCHES), help="repeatable; default: all")
    commands.add_parser("report", help="write docs/performance.md anew from docs/performance.json")
    wait = commands.add_parser("waits", help="measure one client once")
    wait.add_argument("--client", choices=CLIENTS, default=PROVIDER)
    wait.add_argument("--n", type=int, default=200)
    wait.add_argument("--duration", type=float, default=4.0, help="seconds that a job runs")
    wait.add_argument("--concurrency", type=int, default=10, help="jobs that run at a time")
    wait.add_argument("--processes", type=int, default=1, help="processes that share the waiting")
    wait.add_argument("--seconds", type=float, default=0.0, help="end of the measurement; 0 to wait for all")
    wait.add_argument("--fault", action="append", default=[], metavar="JSON", help="a fault of the service")
    many = commands.add_parser("submissions", help="measure submissions once")
    many.add_argument("--client", choices=["provider", "SDK"], default="provider")
    many.add_argument("--processes", type=int, default=32)
    many.add_argument("--tasks", type=int, default=200)
    many.add_argument("--machines", type=int, default=1)
    many.add_argument("--shared", action="store_true", help="with a place for the pace of all machines")
    for each in (wait, many):
        each.add_argument("--service", default="", metavar="ARGUMENTS", help="more arguments of the service")
    return parser


if __name__ == "__main__":
    sys.exit(main())
