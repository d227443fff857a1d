"""Draw ``architecture.svg``, an image's way from the trigger form to S3, and renew the table of rooms in ``architecture.md``.

Run it in the repository's root: ``.venv/bin/python docs/images/make_architecture.py``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

TARGET = Path(__file__).with_name("architecture.svg")
PAGE = Path(__file__).parents[1] / "architecture.md"
PACKAGE = Path(__file__).parents[2] / "airflow_provider_wanx"

START, END = "<!-- rooms:start -->", "<!-- rooms:end -->"

WIDTH, HEIGHT, BOX_HEIGHT = 1060, 610, 50


class Box(NamedTuple):
    """A module, named as below ``airflow_provider_wanx``; without a name, something outside of the package."""

    title: str
    x: int
    y: int
    width: int
    module: str = ""


BOXES = {
    "form": Box("Trigger form: image and style", 20, 20, 320),
    "submit": Box("Airflow task “submit”", 20, 110, 320, "operators.wanx"),
    "wait": Box("Airflow task “wait”", 400, 110, 280, "sensors.dashscope"),
    "copy": Box("Airflow task “copy”", 740, 110, 300, "transfers.dashscope_to_s3"),
    "check": Box("1. Check the picture", 20, 200, 150, "jobs.submitting.repaint_request"),
    "once": Box("2. Submit once", 182, 200, 158, "jobs.submitting.submitter"),
    "defer": Box("4. Leave the worker", 400, 200, 280, "deferral"),
    "store": Box("7. Store the result", 896, 200, 144, "jobs.copying.destinations"),
    "portrait": Box("The portrait", 20, 290, 150),
    "search": Box("Find a lost answer", 182, 290, 158, "jobs.submitting.lost_submissions"),
    "trigger": Box("Wait in the triggerer", 400, 290, 280, "triggers.dashscope"),
    "hook2": Box("6. Fetch the result", 740, 290, 144, "hooks.dashscope"),
    "many": Box("5. One poller for many waits", 400, 380, 280, "dashscope.waiting"),
    "turn": Box("3. Wait for a turn", 20, 460, 150, "dashscope.pacing"),
    "client": Box("Send, read the answer, repeat where that is safe", 230, 460, 654, "dashscope.client"),
    "service": Box("DashScope", 230, 540, 654),
    "s3": Box("S3", 896, 540, 144),
}

CALLS = (
    ("submit", "check"), ("submit", "once"), ("once", "search"), ("search", "client"), ("client", "turn"),
    ("wait", "defer"), ("defer", "trigger"), ("trigger", "many"), ("many", "client"),
    ("copy", "store"), ("copy", "hook2"), ("hook2", "client"),
)  # fmt: skip
"""Solid arrows: the first module imports the second."""

HAND_OVERS = (
    ("form", "submit", ""), ("submit", "wait", "task id"), ("wait", "copy", "task id"), ("portrait", "check", ""),
    ("client", "service", "HTTPS"), ("service", "client", ""), ("store", "s3", ""),
)  # fmt: skip
"""Dashed arrows: what is handed over without an import."""

STYLE = """
text { font-family: system-ui, sans-serif; font-size: 14px; text-anchor: middle; fill: #1b1f24 }
.module { font-family: ui-monospace, monospace; font-size: 12px; fill: #0550ae }
.label { font-size: 12px; fill: #57606a }
rect { fill: #ddf4ff; stroke: #54aeff }
.outside { fill: #f6f8fa; stroke: #8c959f; stroke-dasharray: 4 3 }
line { stroke: #24292f; stroke-width: 1.5; marker-end: url(#head) }
.hand-over { stroke-dasharray: 5 4; stroke: #57606a }
"""

HEAD = (
    '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#24292f"/></marker>'
)


def _box(box: Box) -> str:
    middle = box.x + box.width // 2
    kind = "" if box.module else ' class="outside"'
    title_y = box.y + (21 if box.module else 30)
    lines = [
        f'<rect{kind} x="{box.x}" y="{box.y}" width="{box.width}" height="{BOX_HEIGHT}" rx="6"/>',
        f'<text x="{middle}" y="{title_y}">{escape(box.title)}</text>',
    ]
    if box.module:
        lines.append(f'<text class="module" x="{middle}" y="{box.y + 39}">{box.module}</text>')
    return "\n".join(lines)


def _arrow(start: Box, end: Box, *, kind: str, label: str = "", two_ways: bool = False) -> str:
    """Draw a straight arrow between two boxes, of which one is above or beside the other."""
    left, right = max(start.x, end.x), min(start.x + start.width, end.x + end.width)
    if left < right:
        x1 = x2 = (left + right) // 2
        downwards = start.y < end.y
        if two_ways:
            x1 = x2 = x1 + (-20 if downwards else 20)
        y1, y2 = (start.y + BOX_HEIGHT, end.y) if downwards else (start.y, end.y + BOX_HEIGHT)
        label_x, label_y = x1 - 30, (y1 + y2) // 2 + 4
    else:
        y1 = y2 = start.y + BOX_HEIGHT // 2
        x1, x2 = (start.x + start.width, end.x) if start.x < end.x else (start.x, end.x + end.width)
        label_x, label_y = (x1 + x2) // 2, y1 - 8
    line = f'<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
    return line + (f'\n<text class="label" x="{label_x}" y="{label_y}">{label}</text>' if label else "")


def draw() -> str:
    """Return the picture."""
    pairs = {(start, end) for start, end, _ in HAND_OVERS}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>An image's way from the trigger form to S3</title>",
        f"<style>{STYLE}</style>",
        f"<defs>{HEAD}</defs>",
        # Pages may be dark; the picture is not.
        f'<rect width="{WIDTH}" height="{HEIGHT}" style="fill: #fff; stroke: none"/>',
        *(_arrow(BOXES[start], BOXES[end], kind="call") for start, end in CALLS),
        *(
            _arrow(BOXES[start], BOXES[end], kind="hand-over", label=label, two_ways=(end, start) in pairs)
            for start, end, label in HAND_OVERS
        ),
        *map(_box, BOXES.values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def rooms() -> str:
    """Return the table of rooms: each folder with the first sentence of its docstring and its modules."""
    return "\n".join(("| Room | What it is for | Modules |", "|---|---|---|", *_rows(PACKAGE)))


def _rows(folder: Path) -> Iterator[str]:
    names = sorted(file.stem for file in folder.glob("*.py") if file.stem != "__init__")
    purpose = (
        ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    ).partition("\n\n")[0]
    room = folder.relative_to(PACKAGE if folder != PACKAGE else PACKAGE.parent).as_posix()
    modules = ", ".join(f"`{name}`" for name in names)
    yield f"| `{room}/` | {' '.join(purpose.split()).replace('``', '`')} | {modules} |"
    for inner in sorted(file.parent for file in folder.glob("*/__init__.py")):
        yield from _rows(inner)


if __name__ == "__main__":
    TARGET.write_text(draw(), encoding="utf-8")
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(START)
    PAGE.write_text(f"{before}{START}\n{rooms()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
