"""How many images to have in flight, when to wake a worker, when to stop. Pure decisions; no input or output.

The arithmetic: the service works off one image in some seconds, and takes up to two submissions a second. So the queue at the
service never runs dry if a worker tops it up when half of it has been worked off. Each wake costs a worker some seconds, so the
more images are in flight, the fewer seconds each costs; but the queue is finite, and what is queued for three hours fails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from airflow_provider_wanx.batch.ledger.stored import Totals
from airflow_provider_wanx.batch.row import RowStatus
from airflow_provider_wanx.dashscope.errors import InvalidInputError

SECONDS_PER_IMAGE = 15.0
"""What the model page says that one image takes; counts until the batch's own pace is known."""

MOST_WORK_SECONDS = 3600.0
"""Seconds of the service's work that are in flight at most. A third of the time after which it fails what is still queued."""

QUEUE_SHARE = 0.5
"""Part of the account's queue that is used at most; the rest is for everyone else on the account."""

UNKNOWN_QUEUE = 500
"""Tasks in flight at most while the length of the account's queue is not known. No document gives it."""

PACE_SAMPLES = 10
"""Wakes over which the batch's own pace is measured."""

RESULTS_WITHIN_SECONDS = 300.0
"""Longest that a finished result waits to be copied, if nothing else wakes a worker before."""

IMAGE_RETRIES = 2
"""How often an image is submitted again after a transient failure of its task; failed tasks cost nothing."""

NOT_ALL = "not all"
"""What ``max_failures`` is by default: any number of images may fail, but not every one."""


@dataclass(frozen=True)
class Sample:
    """How many images had ended at some moment, in seconds since 1970."""

    time: float
    ended: int


@dataclass(frozen=True)
class Pace:
    """How fast the account works.

    :param samples: the last wakes of this try.
    :param concurrency: images that the service works on at a time.
    """

    samples: Sequence[Sample] = ()
    concurrency: int = 1

    @property
    def seconds_per_image(self) -> float:
        """Seconds from one end to the next: measured, or else as documented."""
        if len(self.samples) > 1:
            first, last = self.samples[0], self.samples[-1]
            if last.ended > first.ended and last.time > first.time:
                return (last.time - first.time) / (last.ended - first.ended)
        return SECONDS_PER_IMAGE / self.concurrency

    def after(self, sample: Sample) -> Pace:
        """Return the pace with one more sample."""
        return Pace((*self.samples, sample)[-PACE_SAMPLES:], self.concurrency)


def most_in_flight(pace: Pace, *, queue_limit: int | None) -> int:
    """Decide how many images the service is to have at a time.

    :param queue_limit: tasks that may wait in the account's queue, if the service tells.
    """
    queue = UNKNOWN_QUEUE if queue_limit is None else int(queue_limit * QUEUE_SHARE)
    hour = int(MOST_WORK_SECONDS / pace.seconds_per_image)
    return max(1, min(queue, hour))


def wake_when_left(in_flight: int, *, more_to_submit: bool) -> int:
    """Decide at how many unfinished images of a wave a worker is to be woken.

    As long as there is more to submit it is half of them, so that the service's queue never runs dry; in the end a quarter, so
    that only few are left to copy when the last one ends.
    """
    return in_flight // (2 if more_to_submit else 4)


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """What ends a batch early.

    :param price: of one image, in CNY.
    :param max_failures: failed rows that are allowed: a number, or a share of all rows below 1; None for no limit.
    :param not_all: whether a batch has failed of which every image has.
    :param max_cost: what all images together may cost, in CNY; None for no limit.
    """

    price: Decimal
    max_failures: float | None = None
    not_all: bool = False
    max_cost: Decimal | None = None

    @classmethod
    def read(
        cls, *, price: Decimal, max_failures: float | str | None, max_cost: float | str | None
    ) -> Ceiling:
        """Read what a user gives, which may have gone through a template.

        :raises InvalidInputError: one of them is no number, or below 0.
        """
        # A field of a form that is left empty is the default, and comes as text.
        not_all = isinstance(max_failures, str) and max_failures.strip().lower() in (NOT_ALL, "", "none")
        failures = None if not_all else _number("max_failures", max_failures)
        return cls(
            price=price,
            max_failures=None if failures is None else float(failures),
            not_all=not_all,
            max_cost=_number("max_cost", max_cost),
        )

    def too_many_failures(self, totals: Totals) -> bool:
        """Tell whether the batch has failed."""
        if self.max_failures is None:
            return False
        is_share = 0 < self.max_failures < 1
        allowed = math.floor(self.max_failures * totals.images) if is_share else self.max_failures
        return totals.counts[RowStatus.FAILED] > allowed

    def all_failed(self, totals: Totals) -> bool:
        """Tell whether a batch that is done has done nothing, and that is not allowed."""
        images = totals.images - totals.counts[RowStatus.DUPLICATE]
        return self.not_all and 0 < images == totals.counts[RowStatus.FAILED]

    def affords_one_more(self, totals: Totals) -> bool:
        """Tell whether one more submission stays within the budget, if all that is in flight succeeds."""
        return self.max_cost is None or self.cost(totals.billed + totals.in_flight + 1) <= self.max_cost

    def cost(self, images: int) -> Decimal:
        """Return what images cost, in CNY."""
        return images * self.price


def duration(seconds: float) -> str:
    """Write a length of time for people."""
    minutes = round(seconds / 60)
    days, hours = divmod(minutes // 60, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min"


def _number(name: str, value: float | str | None) -> Decimal | None:
    text = str(value if value is not None else "").strip()
    if text in ("", "None"):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(-1)
    if not (number.is_finite() and number >= 0):
        raise InvalidInputError(f"{name} must be a number from 0 on, not {value!r}.")
    return number
