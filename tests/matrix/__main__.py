"""The command line: the matrix, or its pins."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.matrix import report
from tests.matrix.lines import Row, all_rows
from tests.matrix.pins import write_pins
from tests.matrix.trying import try_all


def main() -> int:
    """Do what the command line asks for.

    :return: exit code: not zero if a row is not ok
    """
    parser = _parser()
    options = parser.parse_args()
    if options.command == "pins":
        for line in write_pins():
            sys.stdout.write(f"{line.name}: Airflow {line.airflow}, {', '.join(line.pythons)}\n")
        return 0
    rows = all_rows()
    records = try_all(
        _chosen(rows, options.only, parser),
        pythons=options.python,
        lanes=options.lanes,
        keep=lambda record: report.keep(record, rows=rows),
    )
    return 0 if all(record["ok"] for record in records) else 1


def _chosen(rows: list[Row], names: list[str], parser: argparse.ArgumentParser) -> list[Row]:
    found = [row for row in rows if not names or {row.id, row.line.name} & set(names)]
    if unknown := [
        name for name in names if name not in {key for row in rows for key in (row.id, row.line.name)}
    ]:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(row.id for row in rows)}")
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="try the wheel, and write docs/compatibility.md and .json")
    run.add_argument(
        "only", nargs="*", metavar="ROW", help="such as 2.11/3.12, or 3.1 for all its Pythons; default: all"
    )
    run.add_argument(
        "--python",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="an interpreter to use for its version; otherwise those of PATH, Debian and pyenv are",
    )
    run.add_argument(
        "--lanes", type=int, default=3, help="rows that are tried at a time (default: %(default)s)"
    )
    commands.add_parser("pins", help="write the pins of every Airflow anew")
    return parser


if __name__ == "__main__":
    sys.exit(main())
