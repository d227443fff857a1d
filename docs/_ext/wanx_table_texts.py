"""Tables of the documentation that are made from the code, so that they cannot differ from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import wanx_volume

from airflow_provider_wanx.dashscope.config import SHARED_HOSTS, WORKSPACE_HOST_REGIONS
from airflow_provider_wanx.dashscope.error_codes import ALIASES, ERROR_TABLE, FALLBACKS, ErrorKind, ErrorRow
from airflow_provider_wanx.dashscope.measures import MEASURES
from airflow_provider_wanx.dashscope.styles import WanxStyle


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a Markdown table.

    :param head: titles of the columns.
    :param rows: texts of the cells.
    """
    cells = (tuple(cell.replace("|", "\\|") for cell in row) for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells))


def styles() -> str:
    """Return every style of the repaint model."""
    rows = ((str(style.number), style.english, style.chinese, f"`{style.name}`") for style in WanxStyle)
    return table(("Number", "English name", "Chinese name", "`WanxStyle`"), rows)


def regions() -> str:
    """Return the host that each region stands for."""
    return table(
        ("`region`", "Host without `base URL`"),
        (
            (f"`{name}`", f"`{SHARED_HOSTS.get(name) or f'<workspace>.{name}.maas.aliyuncs.com'}`")
            for name in sorted(WORKSPACE_HOST_REGIONS)
        ),
    )


_ADVICE_HEAD = ("What to do", "A retry can help", "May have been accepted")


def errors(kind: ErrorKind) -> str:
    """Return the error codes of one kind, with their HTTP statuses; those of which the same holds share a row."""
    codes: dict[tuple[str, ...], list[str]] = {}
    for row in ERROR_TABLE:
        if row.kind is kind:
            statuses = " or ".join(map(str, row.http)) + (" only" if row.only_http else "")
            codes.setdefault(_advice(row), []).append(f"`{row.code}` ({statuses})")
    return table(("Code", *_ADVICE_HEAD), ((", ".join(names), *advice) for advice, names in codes.items()))


def fallbacks() -> str:
    """Return the rules for codes that the table does not have."""
    return table(
        ("Code", "Kind", *_ADVICE_HEAD), ((f"`{row.code}`", row.kind, *_advice(row)) for row in FALLBACKS)
    )


def aliases() -> str:
    """Return other spellings of codes."""
    return table(("Spelling", "Read as"), ((f"`{alias}`", f"`{code}`") for alias, code in ALIASES.items()))


def _advice(row: ErrorRow) -> tuple[str, ...]:
    # The flags of a pattern say nothing to a reader.
    said = "" if row.text is None else f" (if the text has `{re.sub(r'^[(][?][is]+[)]', '', row.text)}`)"
    return f"{row.advice}{said}", "yes" if row.retryable else "no", "yes" if row.unsure else "no"


def metrics() -> str:
    """Return everything that is measured."""
    return table(
        ("Metric", "Kind", "Unit", "Tags besides `conn_id`", "Without tags", "What it tells"),
        (
            (
                f"`{each.name}`",
                each.kind,
                each.unit,
                ", ".join(f"`{tag}`" for tag in each.tags) or "–",
                f"`{'.'.join([each.name, *(f'<{tag}>' for tag in each.split)])}`"
                if each.split
                else "the same",
                each.meaning,
            )
            for each in MEASURES
        ),
    )


def simulated_models() -> str:
    """Return the models that the simulator knows."""
    from airflow_provider_wanx.simulator.catalogue import SERVICES

    return table(
        ("Path under `/services`", "Models", "Results are in"),
        (
            (f"`{each.path}`", ", ".join(f"`{name}`" for name in each.models), each.family.value)
            for each in SERVICES
        ),
    )


def simulator_options() -> str:
    """Return the help of the simulator's command line."""
    done = subprocess.run(
        [sys.executable, "-m", "airflow_provider_wanx.simulator", "--help"],
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return f"```text\n{done.stdout.strip()}\n```"


def _volume(make: Callable[[], Sequence[Sequence[str]]]) -> str:
    head, *rows = make()
    return table(head, rows)


TABLES: dict[str, Callable[[], str]] = {
    "aliases": aliases,
    **{f"errors-{kind.replace(' ', '-')}": partial(errors, kind) for kind in ErrorKind},
    "fallbacks": fallbacks,
    "metrics": metrics,
    "regions": regions,
    "simulated-models": simulated_models,
    "simulator-options": simulator_options,
    "styles": styles,
    **{f"volume-{make.__name__}": partial(_volume, make) for make in wanx_volume.TABLES},
}
"""Name of a table → what makes its Markdown."""
