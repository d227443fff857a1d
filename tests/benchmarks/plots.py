"""The plots of docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.clients import CLIENTS

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"

_COLOURS = dict(zip(CLIENTS, ("#0a7d55", "#c2571a", "#5b5fc7", "#8a8a8a", "#b8860b"), strict=True))
_LAGS = "performance-waits.svg"
_GROWTH = "performance-growth.svg"

Rows = Sequence[dict[str, Any]]


def draw(rows: Rows) -> None:
    """Draw what there are figures for.

    :param rows: all figures
    """
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "performance", "font.size": 9, "axes.spines.top": False})
    IMAGES.mkdir(exist_ok=True)
    waits = [row for row in rows if row["bench"] == "waits-200"]
    growth = [row for row in rows if row["bench"] == "growth"]
    if waits:
        _draw_waits(waits)
    if growth:
        _draw_growth(growth)


def _draw_waits(rows: Rows) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
    names = [row["client"] for row in rows]
    colours = [_COLOURS[name] for name in names]
    for axis, (title, key) in zip(
        axes,
        (("ended well, of 200", "ended_well"), ("requests", "requests"), ("lag p95, s", "lag_p95")),
        strict=True,
    ):
        values = [row[key] or 0 for row in rows]
        axis.barh(names, values, color=colours)
        if key == "requests":
            axis.barh(names, [row["refused"] for row in rows], color="none", hatch="///", edgecolor="white")
        axis.bar_label(axis.containers[0], fmt="%.4g", padding=2)
        axis.set_title(title + (" (hatched: refused)" if key == "requests" else ""), fontsize=9)
        axis.invert_yaxis()
        axis.margins(x=0.2)
        if axis is not axes[0]:
            axis.set_yticklabels([])
    _save(figure, _LAGS)


def _draw_growth(rows: Rows) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
    for axis, (title, key, factor) in zip(
        axes,
        (
            ("requests a second", "requests_per_second", 1),
            ("refused requests, %", "refused_share", 100),
            ("one core, %", "cpu_share", 100),
        ),
        strict=True,
    ):
        for client, colour in _COLOURS.items():
            mine = [row for row in rows if row["client"] == client]
            values = [row[key] * factor for row in mine]
            axis.plot([row["n"] for row in mine], values, "o-", color=colour, label=client)
        axis.set_xscale("log")
        if key != "refused_share":
            axis.set_yscale("log")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("waits")
    axes[0].axhline(20, color="black", linewidth=0.8, linestyle=":")
    axes[0].legend(fontsize=7, frameon=False)
    _save(figure, _GROWTH)


def _save(figure: Any, name: str) -> None:
    from matplotlib import pyplot as plt

    figure.savefig(IMAGES / name, metadata={"Date": None})
    plt.close(figure)
