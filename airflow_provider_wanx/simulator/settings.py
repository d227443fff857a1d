"""What one simulator is told when it starts: each setting with its default, its bounds and its meaning, which is also
the help of its option on the command line.
"""

from __future__ import annotations

import ipaddress
import re
from argparse import BooleanOptionalAction
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any

DAY = 86_400.0


def _setting(default: Any, meaning: str, **bounds: Any) -> Any:
    return field(default=default, metadata={"meaning": meaning, **bounds})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the simulated service behaves.

    All durations are seconds of the service's clock, which ``speed`` scales.

    :raises ValueError: a value makes no sense.
    """

    # fmt: off
    speed: float = _setting(1.0, "service seconds in a real one", above=0)
    api_keys: tuple[str, ...] = _setting((), "accept this key only (default: any that begins with sk-)")
    workspaces: tuple[str, ...] = _setting((), "know this workspace only (default: any)")
    model_ends: tuple[str, ...] = _setting((), "announce the end of a model, as model=2027-01-31")
    duration: float = _setting(8.0, "how long a job runs", least=0)
    concurrency: int | None = _setting(None, "jobs of one model at once (default: as documented)", least=1)
    queue_limit: int = _setting(1000, "tasks of one model that may wait; one more is refused", least=0)
    submit_rate: float | None = _setting(None, "submissions a second and model; 0: any (default: as documented)", least=0)
    task_rate: float = _setting(20.0, "requests per second on each task endpoint; 0: any", least=0)
    rate_windows: str = _setting("sliding", "how requests per second are counted", choices=("sliding", "fixed"))
    max_page_size: int = _setting(100, "largest page of the task list", least=1)
    list_delay: float = _setting(0.0, "how far the task list lags behind the tasks", least=0)
    list_order: str = _setting("newest", "which task the list has first", choices=("newest", "oldest", "shuffled"))
    list_key: str = _setting("data", "where the list has its rows", choices=("data", "tasks"))
    list_totals: bool = _setting(True, "the list says how many rows and pages it has")
    unknown_for: float = _setting(0.0, "how long a new task is UNKNOWN to whoever reads it", least=0)
    url_lifetime: float | None = _setting(None, "how long a result URL works (default: a day from the task's end)", above=0,)
    retention: float = _setting(DAY, "how long a task can be read after its submission", above=0)
    policy_lifetime: float = _setting(300.0, "how long an upload policy works", above=0)
    inspect_on_submit: bool = _setting(False, "refuse bad inputs at submission, not in the task")
    fetch_timeout: float = _setting(10.0, "real seconds that the download of an input may take", above=0)
    seed: int = _setting(0, "makes faults with a rate reproducible")
    # fmt: on

    def __post_init__(self) -> None:
        for each in fields(self):
            value, bounds = getattr(self, each.name), each.metadata
            if value is None:
                continue
            if "above" in bounds and value <= bounds["above"]:
                raise ValueError(f"{each.name} must be above {bounds['above']}, not {value}")
            if "least" in bounds and value < bounds["least"]:
                raise ValueError(f"{each.name} must be at least {bounds['least']}, not {value}")
            if value not in bounds.get("choices", (value,)):
                raise ValueError(f"{each.name} must be one of {', '.join(bounds['choices'])}, not {value}")
        if wrong := [end for end in self.model_ends if not re.fullmatch(r"[^=]+=\d{4}-\d\d-\d\d", end)]:
            raise ValueError(f"model_ends must be like model=2027-01-31, not {wrong[0]}")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server that is bound to ``host``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


DESCRIPTION = "A local DashScope: submits, queues and really paints, without key, cost or network."
EPILOG = "All durations are seconds of the service's clock, which --speed scales."

_REPEATABLE = {"api_keys": "--api-key", "workspaces": "--workspace", "model_ends": "--model-ends"}


def add_options(add_argument: Callable[..., Any]) -> None:
    """Describe every option.

    :param add_argument: takes flags and settings as :meth:`argparse.ArgumentParser.add_argument` does.
    """
    add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    add_argument("--port", type=int, default=8089, help="0 takes a free one (default: %(default)s)")
    add_argument(
        "--allow-remote", action="store_true", help="serve on an address that other machines can reach"
    )
    for each in fields(Settings):
        meaning, choices = each.metadata["meaning"], each.metadata.get("choices")
        more: dict[str, Any] = {"default": each.default}
        if each.name in _REPEATABLE:
            more = {"dest": each.name, "action": "append", "default": [], "metavar": "NAME"}
        elif isinstance(each.default, bool):
            more["action"] = BooleanOptionalAction
        elif choices:
            more["choices"] = choices
        else:
            more["type"] = int if str(each.type).startswith("int") else float
        if "default" not in meaning and each.name not in _REPEATABLE:
            meaning += " (default: %(default)s)"
        add_argument(_REPEATABLE.get(each.name, f"--{each.name.replace('_', '-')}"), help=meaning, **more)
    add_argument("--until-input-ends", action="store_true", help="stop when the standard input is closed")
    add_argument("--verbose", action="store_true", help="log every request")
