"""The command line: the matrix, or its pins."""

from __future__ import annotations

import argparse
import sys

from tests.matrix.pins import write_pins


def main() -> int:
    """
    Do what the command line asks for.

    :return: exit code
    """
    options = _parser().parse_args()
    if options.command == "pins":
        for line in write_pins():
            sys.stdout.write(f"{line.name}: Airflow {line.airflow}, {', '.join(line.pythons)}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("pins", help="write the pins of every Airflow anew")
    return parser


if __name__ == "__main__":
    sys.exit(main())
