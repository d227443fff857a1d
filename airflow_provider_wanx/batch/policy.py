"""How many images to have in flight, when to wake a worker, when to stop: decisions without input or output, and their numbers.

The arithmetic: the service works off one image in some seconds, and takes up to two submissions a second. So the queue at the
service never runs dry if a worker tops it up when half of it has been worked off. Each wake costs a worker some seconds, so the
more images are in flight, the fewer seconds each costs; but the queue is finite, and what is queued for three hours fails.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, InvalidOperation

from airflow_provider_wanx.batch.ledger.stored import Totals
from airflow_provider_wanx.batch.row import RowStatus
from airflow_provider_wanx.dashscope.errors import BatchStoppedError, InvalidInputError

SECONDS_PER_IMAGE = 15.0
"""What the model page says that one image takes; counts until the batch's own pace is known."""

RESULTS_WITHIN_SECONDS = 300.0
"""Longest that a finished result waits to be copied, if nothing else wakes a worker before."""

LONGEST_WAIT_SECONDS = 1800.0
"""After which a worker is woken whatever has ended, to stay the ledger's owner: half of what a lease may last. A service that
has taken no submission for so long is out of order."""

RECENT_SECONDS = 300.0
"""After an accepted submission, for which the service counts as being in order."""

PAUSE_SECONDS = 120.0
"""Until the next try when nothing is in flight."""

SLOW_SECONDS = 5.0
"""After which the next image is submitted although the answer to the last one is missing; the service needs one second."""

THREADS = 8
"""Results that are copied at a time: as fast as boto uploads where the link takes up to 300 MB/s, in 100 MB of memory. Half as
many pictures are opened ahead, and half as many submissions may be without an answer."""

RETRIES = 2
"""How often an image is submitted again after a transient failure. Failed tasks cost nothing."""

MOST_FAILURES = 5
"""How often in a row something may fail for a transient reason before it is given up: submissions, for this wake, and the copy
of one result, for good."""

NOT_ALL = "not all"
"""What ``max_failures`` is by default: any number of images may fail, but not every one."""


@dataclass(frozen=True)
class Pace:
    """How fast the account works.

    :param samples: of the last wakes of this try: seconds since 1970, and how many images had ended by then.
    :param concurrency: images that the service works on at a time.
    """

    samples: Sequence[tuple[float, int]] = ()
    concurrency: int = 1

    @property
    def seconds_per_image(self) -> float:
        """Seconds from one end to the next: measured, or else as documented."""
        if len(self.samples) > 1:
            (began, before), (now, ended) = self.samples[0], self.samples[-1]
            if ended > before and now > began:
                return (now - began) / (ended - before)
        return SECONDS_PER_IMAGE / self.concurrency


def most_in_flight(pace: Pace, *, queue_limit: int | None) -> int:
    """Decide how many images the service is to have at a time.

    It is an hour's work, a third of the time after which the service fails what is still queued; and half of the account's
    queue, for the rest is everyone else's, or 500 images as long as nobody tells how long the queue is.

    :param queue_limit: tasks that may wait in the account's queue, if the service tells.
    """
    queue = 500 if queue_limit is None else queue_limit // 2
    return max(1, min(queue, int(3600 / pace.seconds_per_image)))


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What to wait for until a worker is needed again.

    :param dashscope_task_ids: the service's ids of all tasks in flight.
    :param wake_when_left: how few of them may be unfinished when a worker is woken.
    :param wake_within: seconds after the first end at which it is woken in any case.
    :param wake_at: when it is woken whatever happens, in seconds since 1970.
    """

    dashscope_task_ids: list[str]
    wake_when_left: int
    wake_within: float
    wake_at: float


def next_wait(in_flight: list[str], *, more_to_submit: bool) -> Wait:
    """Decide what to wait for.

    As long as there is more to submit, half of the images may be unfinished, so that the service's queue never runs dry; in the
    end a quarter, so that only few are left to copy when the last one ends.

    :param in_flight: the service's ids of all tasks in flight; without any it is a pause.
    """
    return Wait(
        dashscope_task_ids=in_flight,
        wake_when_left=len(in_flight) // (2 if more_to_submit else 4),
        wake_within=RESULTS_WITHIN_SECONDS,
        wake_at=time.time() + (LONGEST_WAIT_SECONDS if in_flight else PAUSE_SECONDS),
    )


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

    def check(self, totals: Totals) -> None:
        """End a batch early that may not go on, or in the end one that has done nothing.

        :raises BatchStoppedError: it may not.
        """
        failed = totals.counts[RowStatus.FAILED]
        if self.too_many_failures(totals):
            raise BatchStoppedError(
                f"{failed} of {totals.images} images have failed, more than max_failures={self.max_failures} allows."
            )
        if not totals.open and self.all_failed(totals):
            codes = ", ".join(code or "no code" for code, _ in totals.failures.most_common(3))
            raise BatchStoppedError(f"All images have failed ({failed}): {codes}.")
        if totals.open and not totals.in_flight and not self.affordable(totals, 1):
            raise BatchStoppedError(
                f"{totals.open} of {totals.images} images are left, and one more could cost more than max_cost={self.max_cost}."
            )

    def too_many_failures(self, totals: Totals) -> bool:
        """Tell whether more have failed than may."""
        if self.max_failures is None:
            return False
        is_share = 0 < self.max_failures < 1
        allowed = math.floor(self.max_failures * totals.images) if is_share else self.max_failures
        return totals.counts[RowStatus.FAILED] > allowed

    def all_failed(self, totals: Totals) -> bool:
        """Tell whether a batch that is done has done nothing, and that is not allowed."""
        images = totals.images - totals.counts[RowStatus.DUPLICATE]
        return self.not_all and 0 < images == totals.counts[RowStatus.FAILED]

    def affordable(self, totals: Totals, most: int) -> int:
        """Return how many more submissions stay within the budget, if all that is in flight succeeds.

        :param most: how many are wanted.
        """
        if self.max_cost is None:
            return most
        # With as many digits as Decimal divides exactly, and not rounded up to the next image.
        budget = self.max_cost.quantize(Decimal("0.0001"), ROUND_DOWN)
        return max(0, min(most, int((budget - self.cost(totals.billed + totals.in_flight)) // self.price)))

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
    if not (number.is_finite() and 0 <= number < 10**15):
        raise InvalidInputError(f"{name} must be a number from 0 on, and below 10^15, not {value!r}.")
    return number
