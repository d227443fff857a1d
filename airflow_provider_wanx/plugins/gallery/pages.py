"""From what was found to HTML. Everything is escaped; nothing in a page comes from elsewhere, or is code within the page."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow_provider_wanx.plugins.gallery.problems import Problem

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request

HERE = Path(__file__).parent

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""Airflow's pages show the gallery in a frame."""

PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
"""Of a picture that is opened by itself: browsers make a page of their own around it, with styles of their own."""

_BIDI = {chr(code) for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


class Addresses:
    """Addresses of the gallery's pages and of Airflow's, as seen from one request.

    :param request: the request, which tells below which path Airflow lives.
    """

    def __init__(self, request: Request) -> None:
        self._gallery = request.scope.get("root_path", "").rstrip("/")
        self._airflow = self._gallery.removesuffix("/wanx/gallery")

    def page(self, *parts: object, **query: object) -> str:
        """Return the address of a page of the gallery.

        :param parts: the parts of its path.
        :param query: parameters; those that are None are left out.
        """
        return self._address(self._gallery, parts, query)

    def airflow(self, *parts: object, **query: object) -> str:
        """Return the address of a page of Airflow, likewise."""
        return self._address(self._airflow, parts, query)

    def task(self, dag_id: str, run_id: str, place: Sequence[Any], *tab: str) -> str:
        """Return the address of a task instance's page in Airflow; without a tab, its log."""
        task_id, map_index = place[:2]
        mapped = ("mapped", map_index) if map_index >= 0 else ()
        return self.airflow("dags", dag_id, "runs", run_id, "tasks", task_id, *mapped, *tab)

    @staticmethod
    def _address(root: str, parts: tuple[object, ...], query: Mapping[str, object]) -> str:
        path = "/".join(quote(str(part), safe="") for part in parts)
        known = {name: value for name, value in query.items() if value is not None}
        return f"{root}/{path}" + (f"?{urlencode(known)}" if known else "")


def render(name: str, request: Request, **values: Any) -> str:
    """Make a page.

    :param name: of its template, without extension.
    :param values: what the template shows.
    """
    return _templates().get_template(f"{name}.html").render(to=Addresses(request), **values)


def stand_in(problem: Problem) -> bytes:
    """Make the picture that stands in place of one which cannot be shown: its title in a frame, for light and dark pages."""
    lines = textwrap.wrap(problem.title, 21)
    return _templates().get_template("stand_in.svg").render(lines=lines).encode()


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Beside a page of a run or batch that is at work; it loads itself again after so many seconds.
    environment.globals["refresh_seconds"] = 5
    environment.filters.update(
        plain=plain,
        when=lambda time: "" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        iso=lambda time: "" if time is None else time.astimezone(UTC).isoformat(timespec="seconds"),
        seconds=_seconds,
        money=lambda amount: "" if amount is None else f"{amount:,.2f} CNY",
        number=lambda value: f"{value:,.0f}",
    )
    return environment


def plain(text: object) -> str:
    """Take out of a text what changes the order of writing or is not printed, for places where it cannot be isolated."""
    return "".join(
        char for char in str(text) if char not in _BIDI and unicodedata.category(char) not in ("Cc", "Cs")
    )


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return ""
    for most, unit, length in ((100, "s", 1), (6_000, "min", 60), (72 * 3600, "h", 3600)):
        if seconds < most:
            return f"{seconds:.1f} s" if seconds < 10 else f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
