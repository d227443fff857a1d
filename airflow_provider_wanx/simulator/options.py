"""The command line's options, for every program that starts a simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from airflow_provider_wanx.simulator.settings import (
    LIST_KEYS,
    LIST_ORDERS,
    RATE_WINDOWS,
    UNKNOWN_MODEL_ANSWERS,
    Settings,
)

DESCRIPTION = "A local DashScope: submits, queues and really paints, without key, cost or network."
EPILOG = "All durations are seconds of the service's clock, which --speed scales."


def add_options(add_argument: Callable[..., Any]) -> None:
    """Describe every option.

    :param add_argument: takes flags and settings as :meth:`argparse.ArgumentParser.add_argument` does.
    """
    defaults = asdict(Settings())

    def add(flag: str, **settings: Any) -> None:
        name = settings.get("dest") or flag.removeprefix("--").replace("-", "_")
        known = {"default": defaults[name]} if name in defaults else {}
        add_argument(flag, **{**known, **settings})

    number = partial(add, type=float)
    listed = partial(add, action="append", default=[])
    add("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    add("--port", type=int, default=8089, help="port to serve on; 0 takes a free one (default: %(default)s)")
    add("--allow-remote", action="store_true", help="serve on an address that other machines can reach")
    number("--speed", help="service seconds in a real one (default: %(default)s)")
    listed("--api-key", dest="api_keys", metavar="KEY", help="accept this key only; repeatable")
    listed("--workspace", dest="workspaces", metavar="ID", help="know this workspace only; repeatable")
    listed("--model-ends", metavar="MODEL=DATE", help="announce the end of a model; repeatable")
    number("--duration", help="how long a job runs (default: %(default)s)")
    add("--concurrency", type=int, help="jobs of one model at once (default: as documented, 1 for portraits)")
    add("--queue-limit", type=int, help="tasks that may wait (default: %(default)s)")
    number("--submit-rate", help="submissions per second and model; 0: any (default: as documented, 2)")
    number("--task-rate", help="requests per second on each task endpoint; 0: any")
    add("--max-page-size", type=int, help="largest list page (default: %(default)s)")
    number("--list-delay", help="how far the list lags (default: %(default)s)")
    add("--list-order", choices=LIST_ORDERS, help="order of the list (default: %(default)s)")
    add("--list-key", choices=LIST_KEYS, help="where the list has its rows (default: %(default)s)")
    totals = "the list does not say how many rows and pages it has"
    add("--no-list-totals", dest="list_totals", action="store_false", help=totals)
    add(
        "--rate-windows",
        choices=RATE_WINDOWS,
        help="how requests per second are counted (default: %(default)s)",
    )
    number("--unknown-for", help="how long a new task is UNKNOWN to whoever reads it (default: %(default)s)")
    number("--max-data-url-mb", help="longest data: URL that is taken (default: any)")
    names = "refuse uploaded pictures whose names end otherwise than their content"
    add("--check-upload-names", action="store_true", help=names)
    lifetime = (
        "how long a result URL works after it was handed out (default: until a day after the task's end)"
    )
    number("--url-lifetime", help=lifetime)
    add(
        "--unknown-model",
        choices=UNKNOWN_MODEL_ANSWERS,
        help="how an unknown model is refused: as recorded, with HTTP 404 or 400, or as documented (default: %(default)s)",
    )
    add("--inspect-on-submit", action="store_true", help="refuse bad inputs at submission, not in the task")
    add("--seed", type=int, help="makes faults with a rate reproducible")
    add("--until-input-ends", action="store_true", help="stop when the standard input is closed")
    add("--verbose", action="store_true", help="log every request")
