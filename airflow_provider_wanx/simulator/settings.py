"""What one simulator is told when it starts."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

HOUR = 3600.0
DAY = 24 * HOUR

LIST_ORDERS = ("newest", "oldest", "shuffled")
LIST_KEYS = ("data", "tasks")
RATE_WINDOWS = ("sliding", "fixed")
UNKNOWN_MODEL_ANSWERS = ("404", "400", "documented")

# What each setting may be. None, where a setting allows it, is always right.
_ABOVE_ZERO = (
    "speed",
    "url_lifetime",
    "retention",
    "queue_timeout",
    "policy_lifetime",
    "fetch_timeout",
)
_NOT_NEGATIVE = (
    "duration",
    "submit_rate",
    "task_rate",
    "upload_rate",
    "list_delay",
    "unknown_for",
    "upload_lifetime",
    "queue_limit",
    "max_data_url_mb",
)
_AT_LEAST_ONE = ("concurrency", "max_page_size")
_CHOICES = {
    "list_order": LIST_ORDERS,
    "list_key": LIST_KEYS,
    "rate_windows": RATE_WINDOWS,
    "unknown_model": UNKNOWN_MODEL_ANSWERS,
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the simulated service behaves. All durations are seconds of the service's clock, which ``speed`` scales.

    :param speed: how many seconds pass for the service in one real second.
    :param api_keys: the keys that are accepted; empty accepts any that begins with ``sk-``.
    :param workspaces: the workspaces of the account; empty accepts any.
    :param duration: how long one job runs.
    :param concurrency: jobs of one model that run at once; None takes each model's documented figure.
    :param queue_limit: tasks of one model that may wait; one more is refused with 429.
    :param submit_rate: submissions per second and model; None takes the documented figures, 0 lifts the limit.
    :param task_rate: requests per second on each task endpoint; 0 lifts the limit.
    :param upload_rate: upload policies per second and model; 0 lifts the limit.
    :param max_page_size: the largest page of the task list; larger requests get this many rows.
    :param list_delay: how far the task list lags behind the tasks themselves.
    :param list_order: order of the task list: ``newest`` or ``oldest`` task first, or ``shuffled`` anew for every page.
    :param list_key: under which the task list has its rows: ``data``, as recorded, or ``tasks``, as SDK 2.0 reads it.
    :param list_totals: whether the task list says how many rows and pages it has.
    :param unknown_for: how long a new task is UNKNOWN to whoever reads it, as others have met it.
    :param rate_windows: how requests per second are counted: in ``sliding`` or in ``fixed`` windows of a second.
    :param url_lifetime: how long a result URL works after it was handed out, each time with a new expiry; None, as
        recorded: until about 24 hours after the task's end, and the same URL each time.
    :param retention: how long a task can be read after its submission.
    :param queue_timeout: how long after its submission a task that has not ended fails.
    :param policy_lifetime: how long an upload policy works.
    :param upload_lifetime: how long an uploaded file can be used.
    :param max_upload_mb: the largest file that the temporary store takes, in MB.
    :param max_data_url_mb: the longest ``data:`` URL that is taken, in MB; None for any whose picture is not too large.
    :param check_upload_names: whether an uploaded picture whose name ends otherwise than its content is refused.
    :param unknown_model: how a model that does not exist is refused: as recorded, with HTTP ``404`` or ``400`` and code
        ``InvalidParameter``, or as ``documented``, with HTTP 404 and code ``ModelNotFound``.
    :param model_ends: announced ends of models, each as ``model=2027-01-31``.
    :param inspect_on_submit: read the input before a task is accepted, and refuse the submission where it is bad;
        otherwise the task fails. The documents allow both.
    :param fetch_timeout: how long the download of an input may take, in real seconds.
    :param seed: makes faults with a rate reproducible.
    :raises ValueError: a value makes no sense.
    """

    speed: float = 1.0
    api_keys: tuple[str, ...] = ()
    workspaces: tuple[str, ...] = ()
    duration: float = 8.0
    concurrency: int | None = None
    queue_limit: int = 1000
    submit_rate: float | None = None
    task_rate: float = 20.0
    upload_rate: float = 100.0
    max_page_size: int = 100
    list_delay: float = 0.0
    list_order: str = "newest"
    list_key: str = "data"
    list_totals: bool = True
    unknown_for: float = 0.0
    rate_windows: str = "sliding"
    url_lifetime: float | None = None
    retention: float = DAY
    queue_timeout: float = 3 * HOUR
    policy_lifetime: float = 300.0
    upload_lifetime: float = 2 * DAY
    max_upload_mb: int = 1024
    max_data_url_mb: float | None = None
    check_upload_names: bool = False
    unknown_model: str = "404"
    model_ends: tuple[str, ...] = ()
    inspect_on_submit: bool = False
    fetch_timeout: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        given = {name: value for name, value in vars(self).items() if value is not None}
        for name in _ABOVE_ZERO:
            if given.get(name, 1) <= 0:
                raise ValueError(f"{name} must be above 0, not {given[name]}")
        for name in _NOT_NEGATIVE:
            if given.get(name, 0) < 0:
                raise ValueError(f"{name} must not be negative, but is {given[name]}")
        for name in _AT_LEAST_ONE:
            if given.get(name, 1) < 1:
                raise ValueError(f"{name} must be at least 1, not {given[name]}")
        if wrong := [end for end in self.model_ends if not re.fullmatch(r"[^=]+=\d{4}-\d\d-\d\d", end)]:
            raise ValueError(f"model_ends must be like model=2027-01-31, not {wrong[0]}")
        for name, choices in _CHOICES.items():
            if given[name] not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {given[name]}")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server that is bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
