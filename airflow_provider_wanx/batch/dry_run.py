"""Say what a batch would do, cost and take, before a cent is spent: only the beginnings of pictures are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.batch.input.rows import InvalidRow
from airflow_provider_wanx.batch.ledger.ledger import EXAMPLES, Ledger
from airflow_provider_wanx.batch.policy import SECONDS_PER_IMAGE, Ceiling, duration
from airflow_provider_wanx.batch.row import Row, RowStatus, money
from airflow_provider_wanx.dashscope.errors import ProviderError
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.redaction import without_query
from airflow_provider_wanx.dashscope.repaint import CURRENCY

if TYPE_CHECKING:
    from airflow_provider_wanx.batch.account import Account
    from airflow_provider_wanx.batch.input.sources import Source
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook, Log

CHECKS = 10
"""Pictures that are looked at at a time: so many connections boto keeps open."""


@dataclass
class _Found:
    """What was found in the input."""

    rows: int = 0
    done: int = 0
    duplicates: int = 0
    refused: int = 0
    refusals: list[dict[str, str]] = field(default_factory=list)
    to_submit: int = 0

    def refuse(self, place: str, reason: str) -> None:
        self.refused += 1
        if len(self.refusals) < EXAMPLES:
            self.refusals.append({"image": place, "reason": reason})


def dry_run(
    *,
    source: Source,
    ledger: Ledger,
    check: Callable[[Row], None],
    hook: DashScopeHook,
    model: str,
    account: Account,
    ceiling: Ceiling,
    retry_failed: bool,
    log: Log,
) -> dict[str, Any]:
    """Look at an input without submitting or writing anything.

    :param source: the input.
    :param ledger: the destination's ledger, read but not taken: what it has done is not done again.
    :param check: looks at the beginning of a picture.
    :param hook: reads how long the account's images have taken.
    :param account: what the service tells of the account.
    :param retry_failed: whether images that have failed before would be submitted again.
    :return: ``images``, ``done``, ``duplicates``, ``refused`` with examples, ``to_submit``, ``cost``, ``seconds``, …
    """
    found = _look(source, _done(ledger, retry_failed), check)
    seconds, known_from = _seconds_per_image(hook, model, account, log)
    spacing = max(seconds, 1 / hook.get_conn().config.limits.submissions_per_second)
    report = {
        "images": found.rows,
        "done": found.done,
        "duplicates": found.duplicates,
        "refused": found.refused,
        "refusals": found.refusals,
        "to_submit": found.to_submit,
        "cost": money(ceiling.cost(found.to_submit)),
        "currency": CURRENCY,
        "seconds": round(found.to_submit * spacing),
        "seconds_per_image": round(spacing, 3),
        "seconds_per_image_from": known_from,
    }
    log.info(
        "%s: %s images, %s to submit, %s refused, %s done before. They would cost %s %s and take about %s "
        "(%.1f s each, from %s).",
        source.description,
        found.rows,
        found.to_submit,
        found.refused,
        found.done,
        report["cost"],
        CURRENCY,
        duration(found.to_submit * spacing),
        spacing,
        known_from,
    )
    for refusal in found.refusals:
        log.warning("Would be refused: %s: %s", refusal["image"], refusal["reason"])
    return report


def _done(ledger: Ledger, retry_failed: bool) -> set[bytes]:
    """What the ledger has done, or is doing."""
    ledger.read()
    # A duplicate is counted with the row that it refers to.
    wanted = {RowStatus.PLANNED, RowStatus.DUPLICATE} | ({RowStatus.FAILED} if retry_failed else set())
    return {row.versioned_identity for row in ledger.rows if row.status not in wanted}


def _look(source: Source, done: set[bytes], check: Callable[[Row], None]) -> _Found:
    found, seen = _Found(), set[bytes]()
    with ThreadPoolExecutor(CHECKS) as pool:
        for row, error in _checked(source, done, seen, found, check, pool):
            if error is None:
                found.to_submit += 1
            else:
                found.refuse(without_query(row.image), str(error))
    return found


def _checked(
    source: Source,
    done: set[bytes],
    seen: set[bytes],
    found: _Found,
    check: Callable[[Row], None],
    pool: ThreadPoolExecutor,
) -> Iterator[tuple[Row, ProviderError | None]]:
    """Check what is to be submitted, some pictures at a time; count everything else."""
    checking: deque[tuple[Row, Future[ProviderError | None]]] = deque()

    def attempt(row: Row) -> ProviderError | None:
        try:
            check(row)
        except ProviderError as error:
            return error
        return None

    for row in source:
        found.rows += 1
        if isinstance(row, InvalidRow):
            found.refuse(row.place, row.reason)
        elif (identity := row.versioned_identity) in done or row.identity in done:
            found.done += 1
        elif identity in seen:
            found.duplicates += 1
        else:
            seen.add(identity)
            checking.append((row, pool.submit(attempt, row)))
        if len(checking) >= 4 * CHECKS:
            first, future = checking.popleft()
            yield first, future.result()
    for row, future in checking:
        yield row, future.result()


def _seconds_per_image(hook: DashScopeHook, model: str, account: Account, log: Log) -> tuple[float, str]:
    """How long the account's images of the last 24 hours have taken, or else what the documents say."""
    seconds: list[float] = []
    try:
        page = hook.list_tasks(model_name=model, status=TaskStatus.SUCCEEDED, page_size=100)
        seconds = [
            (row.end_time - row.start_time).total_seconds()
            for row in page.tasks
            if row.start_time and row.end_time
        ]
    except ProviderError as error:
        log.warning("The task list cannot be read, so the documented duration counts: %s", error)
    if seconds:
        return median(seconds) / account.concurrency, f"{len(seconds)} images of the last 24 hours"
    return SECONDS_PER_IMAGE / account.concurrency, "the model's page"
