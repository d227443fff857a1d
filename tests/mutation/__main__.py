"""Make all mutants, run their tests, and compare those that survive with the reasons for it."""

from __future__ import annotations

import argparse
import os
import sys

from tests.mutation import at_import, functions, reasons, report
from tests.mutation.mutants import ROOT, Outcome

ENOUGH = 85.0
"""Per cent of each module's mutants that tests have to notice."""


def main() -> int:
    """Do what the command line asks for.

    :return: exit code
    """
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--processes", type=int, default=1, help="mutants at once (default 1)")
    options = parser.parse_args()

    os.chdir(ROOT)
    results = functions.run(processes=options.processes) + at_import.run(processes=options.processes)
    known = reasons.read()
    survivors = {mutant for mutant, outcome in results if outcome is Outcome.SURVIVED}
    problems = []
    if unexplained := sorted(survivors - set(known), key=str):
        problems.append(f"No reason is known for these survivors:\n\n{reasons.draft(unexplained)}")
    if poor := [row for row in report.scores(results) if row.percent < ENOUGH]:
        problems += [f"Only {row.percent:.1f} % of the mutants of {row.module} are noticed." for row in poor]
    if gone := sorted(set(known) - survivors, key=str):
        print(
            f"\nTests have come that notice these, or the code has changed; take them out of {reasons.FILE.name}:\n"
        )
        print(reasons.draft(gone))
    print("\n".join(problems))
    if problems:
        return 1
    report.write(results, known)
    for row in report.scores(results):
        print(f"{row.module}: {row.percent:.1f} % of {row.mutants} mutants are noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
