"""Say what a batch would do, cost and take, before a cent is spent: only the beginnings of pictures are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.batch.input.rows import InvalidRow
from airflow_provider_wanx.batch.ledger.ledger import EXAMPLES
from airflow_provider_wanx.batch.policy import SECONDS_PER_IMAGE, duration
from airflow_provider_wanx.batch.row import Row, RowStatus, money
from airflow_provider_wanx.batch.threads import ahead
from airflow_provider_wanx.dashscope.errors import ProviderError
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.dashscope.redaction import without_query
from airflow_provider_wanx.dashscope.repaint import CURRENCY

if TYPE_CHECKING:
    from airflow_provider_wanx.batch.batch import Batch


def dry_run(
    batch: Batch, *, check: Callable[[Row], None], retry_failed: bool, threads: int = 10
) -> dict[str, Any]:
    """Look at an input without submitting or writing anything.

    :param batch: not begun. Its ledger is read but not taken: what that has done is not done again.
    :param check: looks at the beginning of a picture.
    :param retry_failed: whether images that have failed before would be submitted again.
    :param threads: pictures that are looked at at a time: so many connections boto keeps open.
    :return: ``images``, ``done``, ``duplicates``, ``refused`` with examples, ``to_submit``, ``cost``, ``seconds``, …
    """
    counts, refusals = _look(batch, check=check, retry_failed=retry_failed, threads=threads)
    seconds, known_from = _seconds_per_image(batch)
    seconds = max(seconds, 1 / batch.hook.get_conn().config.limits.submissions_per_second)
    report = {
        **counts,
        "refusals": refusals,
        "cost": money(batch.ceiling.cost(counts["to_submit"])),
        "currency": CURRENCY,
        "seconds": round(counts["to_submit"] * seconds),
        "seconds_per_image": round(seconds, 3),
        "seconds_per_image_from": known_from,
    }
    batch.log.info(
        "%s: %s images, %s to submit, %s refused, %s done before. They would cost %s %s and take about %s "
        "(%.1f s each, from %s).",
        batch.source.description,
        counts["images"],
        counts["to_submit"],
        counts["refused"],
        counts["done"],
        report["cost"],
        CURRENCY,
        duration(counts["to_submit"] * seconds),
        seconds,
        known_from,
    )
    for refusal in refusals:
        batch.log.warning("Would be refused: %s: %s", refusal["image"], refusal["reason"])
    return report


def _look(
    batch: Batch, *, check: Callable[[Row], None], retry_failed: bool, threads: int
) -> tuple[Counter[str], list[dict[str, str]]]:
    batch.ledger.read()
    # A duplicate is counted with the row that it refers to.
    wanted = {RowStatus.PLANNED, RowStatus.DUPLICATE} | ({RowStatus.FAILED} if retry_failed else set())
    done = {row.versioned_identity for row in batch.ledger.rows if row.status not in wanted}
    counts = Counter(dict.fromkeys(("images", "done", "duplicates", "refused", "to_submit"), 0))
    refusals: list[dict[str, str]] = []

    def refuse(place: str, reason: str) -> None:
        counts["refused"] += 1
        if len(refusals) < EXAMPLES:
            refusals.append({"image": place, "reason": reason})

    def to_check() -> Iterator[Row]:
        seen = set[bytes]()
        for row in batch.source:
            counts["images"] += 1
            if isinstance(row, InvalidRow):
                refuse(row.place, row.reason)
            elif (identity := row.versioned_identity) in done or row.identity in done:
                counts["done"] += 1
            elif identity in seen:
                counts["duplicates"] += 1
            else:
                seen.add(identity)
                yield row

    with ThreadPoolExecutor(threads) as pool:
        for row, checked in ahead(pool, check, to_check(), most=4 * threads):
            try:
                checked.result()
                counts["to_submit"] += 1
            except ProviderError as error:
                refuse(without_query(row.image), str(error))
    return counts, refusals


def _seconds_per_image(batch: Batch) -> tuple[float, str]:
    """How long the account's images of the last 24 hours have taken, or else what the documents say."""
    seconds: list[float] = []
    try:
        page = batch.hook.list_tasks(model_name=batch.model, status=TaskStatus.SUCCEEDED, page_size=100)
        seconds = [
            (row.end_time - row.start_time).total_seconds()
            for row in page.tasks
            if row.start_time and row.end_time
        ]
    except ProviderError as error:
        batch.log.warning("The task list cannot be read, so the documented duration counts: %s", error)
    if seconds:
        return median(seconds) / batch.concurrency, f"{len(seconds)} images of the last 24 hours"
    return SECONDS_PER_IMAGE / batch.concurrency, "the model's page"
