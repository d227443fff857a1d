"""A batch: begin or go on, do all that can be done now, hold still while nobody works on it, finish.

One thread keeps the ledger. Others open pictures, submit them one after the other, and copy results beside it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_wanx.batch.batch_destination import BatchDestination
from airflow_provider_wanx.batch.input.manifests import manifest_format
from airflow_provider_wanx.batch.ledger.ledger import Ledger
from airflow_provider_wanx.batch.outcomes import Outcome, changes, fetch, note, wanted_again
from airflow_provider_wanx.batch.plan import SignedAddresses, plan
from airflow_provider_wanx.batch.policy import (
    LONGEST_WAIT_SECONDS,
    PAUSE_SECONDS,
    THREADS,
    Ceiling,
    Pace,
    Wait,
    most_in_flight,
    next_wait,
)
from airflow_provider_wanx.batch.report import MANIFEST, STATUS, progress, status, summary, write_manifests
from airflow_provider_wanx.batch.result_keys import ResultKeys
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.batch.submissions import Submissions, WarningsOnly
from airflow_provider_wanx.batch.threads import Turns, ahead, threads
from airflow_provider_wanx.dashscope.errors import (
    BatchStoppedError,
    DashScopeError,
    LedgerInUseError,
    ProviderError,
)
from airflow_provider_wanx.dashscope.models import ModelLimit
from airflow_provider_wanx.dashscope.redaction import without_signature
from airflow_provider_wanx.jobs.copying.copier import ResultCopier
from airflow_provider_wanx.jobs.copying.gallery_marks import batch_mark
from airflow_provider_wanx.jobs.copying.key_template import LEDGER

if TYPE_CHECKING:
    from airflow_provider_wanx.batch.input.sources import Source
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook
    from airflow_provider_wanx.jobs.protocols import Log
    from airflow_provider_wanx.jobs.submitting.submitter import OnUnconfirmed, TaskRequest


@dataclass(kw_only=True)
class Batch:
    """One worker's hold on a batch. As a context manager, it gives the ledger back when an error ends the work.

    :param hook: the connection to submit with.
    :param destination: where results go.
    :param source: the input.
    :param model: the model's name, for the account's limits.
    :param keys: makes the keys of results.
    :param request: makes what is submitted for an image, and checks it.
    :param ceiling: what ends it early.
    :param on_unconfirmed: what to do with an image whose submission may have been accepted.
    :param log: the task's log.
    """

    hook: DashScopeHook
    destination: BatchDestination
    source: Source
    model: str
    keys: ResultKeys
    request: Callable[[Row], TaskRequest]
    ceiling: Ceiling
    on_unconfirmed: OnUnconfirmed
    log: Log
    is_ours: bool = field(default=False, init=False)
    ledger: Ledger = field(init=False)
    _is_planned: bool = field(default=False, init=False)
    _manifests: list[str] = field(default_factory=list, init=False)
    _fatal: ProviderError | None = field(default=None, init=False)
    _heard: bool = field(default=False, init=False)
    _line_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        told = {
            name: without_signature(each) if isinstance(each, str) else each
            for name, each in self.source.identity.items()
        }
        self.ledger = Ledger(
            self.destination.store(LEDGER),
            owner=self.destination.owner,
            identity={**told, "model": self.model, "s3_key": self.keys.template},
        )
        self._addresses = SignedAddresses(self.source)

    def begin(self, *, retry_failed: bool) -> None:
        """Take the ledger, and put into it what the input wants.

        :param retry_failed: whether images that have failed before are wanted again.
        """
        self.destination.results.try_writing(self.destination.prefix)
        self.ledger.acquire()
        self.is_ours = True
        known = self.ledger.totals.rows
        added = self._plan()
        notes = self.ledger.notes
        if retry_failed:
            self.ledger.examples.clear()
            failed = self.ledger.rows.in_states(RowStatus.FAILED)
            # They may be more than the journal takes.
            self.ledger.revise({row.row: wanted_again(row) for row in failed})
            self.ledger.compact()
        # Nobody may have worked on the batch for days.
        notes.pace, notes.troubles = [(time.time(), notes.ended)], 0
        self.log.info(
            "%s: %s rows, %s of them new. %s",
            self.source.description,
            self.ledger.totals.images,
            added,
            self.progress if known else f"The ledger is {self.ledger.url}",
        )

    def go_on(self, *, left_as: str | None) -> None:
        """Take the ledger as an earlier worker has left it; if it is not, hold it against the input.

        :param left_as: :attr:`Ledger.version` at the end of that worker's work.
        """
        is_known = self.ledger.acquire(left_as=left_as)
        self.is_ours, self._is_planned = True, is_known
        if not is_known:
            self._plan()

    def _plan(self) -> int:
        added = plan(self.ledger, self._addresses, keys=self.keys)
        self.ledger.notes.signed = bool(self._addresses)
        self._is_planned = True
        return added

    def step(self, ended: Collection[str]) -> Wait | None:
        """Do all that can be done now.

        :param ended: ids of the tasks that have ended.
        :return: what to wait for, None if every image is done.
        :raises ProviderError: the batch cannot go on; the ledger is up to date.
        """
        self._fatal, self._heard = None, False
        # Threads share them, so they are made before there are any.
        _ = self._turns, self._copier
        with threads(THREADS) as copying, threads(THREADS, finish=False) as submitting:
            submissions = Submissions(
                hook=self.hook,
                ledger=self.ledger,
                pool=submitting,
                on_unconfirmed=self.on_unconfirmed,
                log=self.log,
            )
            submissions.reconcile()
            fetching = {
                copying.submit(copy_context().run, self._fetch, row): row
                for row in self.ledger.rows.in_states(RowStatus.SUBMITTED)
                if row.dashscope_task_id in ended
            }
            try:
                # Images whose tasks have failed for a transient reason are among those that are left.
                while self._submit(submissions, submitting, fetching):
                    pass
                submissions.take_answers()
            except BaseException:
                # What was sent is noted and kept, whatever ends the work; what is to be told is the first error.
                with suppress(ProviderError):
                    try:
                        submissions.end()
                    finally:
                        self.ledger.flush()
                raise
        notes = self.ledger.notes
        notes.pace = [*notes.pace, (time.time(), notes.ended)][-10:]
        try:
            found = self._next_wait(submissions, is_misled=bool(ended) and not self._heard)
        finally:
            self.ledger.compact()
        self._write_status("running")
        return found

    def _submit(
        self,
        submissions: Submissions,
        pool: ThreadPoolExecutor,
        fetching: dict[Future[Outcome], Row],
    ) -> bool:
        """Submit as many images as may be in flight, and note what is fetched meanwhile; tell whether more can be submitted."""
        # What has ended and is still being copied is in the service's queue no more.
        room = islice(submissions.candidates(), self._room(still_copied=len(fetching)))
        rows = takewhile(lambda _: self._may_submit(submissions), room)
        for row, opened in ahead(pool, self._prepare, rows, most=THREADS // 2):
            if not self._may_submit(submissions):
                break
            submissions.submit(row, opened)
            self._take_outcomes(fetching, timeout=0)
        # What was submitted last has been written in no intent.
        self.ledger.flush()
        while fetching:
            self._take_outcomes(fetching, timeout=60)
        is_left = next(submissions.candidates(), None) is not None
        return is_left and self._room() > 0 and self._may_submit(submissions)

    def _room(self, *, still_copied: int = 0) -> int:
        most = most_in_flight(self.pace, queue_limit=self._limits.async_user_queue_limit)
        free = max(0, most - (self.ledger.totals.in_flight - still_copied))
        return self.ceiling.affordable(self.ledger.totals, free)

    def _may_submit(self, submissions: Submissions) -> bool:
        totals, ceiling = self.ledger.totals, self.ceiling
        may_go_on = self._fatal is None and submissions.may_go_on and not ceiling.too_many_failures(totals)
        return may_go_on and ceiling.affordable(totals, 1) > 0

    def _prepare(self, row: Row) -> TaskRequest:
        """Check a picture and make it reachable for the service, if there is a key for its result: not all names make one."""
        # No id of the service and no extension is longer.
        self.keys.key(replace(row, dashscope_task_id="0" * 36), extension=".jpeg")
        request = self.request(self._addresses.signed(row) if self.ledger.notes.signed else row)
        content = request.build_input()
        return replace(request, build_input=lambda: content)

    def _fetch(self, row: Row) -> Outcome:
        return fetch(row, hook=self.hook, copier=self._copier, keys=self.keys, turns=self._turns)

    def _take_outcomes(self, fetching: dict[Future[Outcome], Row], *, timeout: float) -> None:
        """Record what has been fetched in the meantime."""
        done, _ = wait(fetching, timeout=timeout, return_when=FIRST_COMPLETED)
        for future in done:
            self._record(fetching.pop(future), future.result())
        self.ledger.renew()
        if time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + 60
            self.log.info("%s", self.progress)

    def _record(self, row: Row, outcome: Outcome) -> None:
        if outcome.error is not None:
            self.log.warning("Row %s: %s", row.row, outcome.error)
        try:
            found = changes(row, outcome)
        except ProviderError as error:
            self._fatal = self._fatal or error
            return
        if found:
            self._heard = True
            note(self.ledger, row, found, log=self.log)
            self.ledger.notes.ended += row.status is not RowStatus.SUBMITTED
        if row.status is RowStatus.PLANNED and outcome.task is not None:
            self.log.info("%s Row %s is submitted again.", outcome.task.describe(), row.row)

    def _next_wait(self, submissions: Submissions, *, is_misled: bool) -> Wait | None:
        """Decide what to wait for.

        :param is_misled: whether somebody has reported ends that have not come, for example a triggerer with another key: it
            shall not wake one worker after the other.
        """
        totals = self.ledger.totals
        if error := self._fatal or submissions.fatal:
            raise error
        if self.ceiling.too_many_failures(totals):
            self._cancel_queued()
        self.ceiling.check(totals)
        if not totals.open:
            return None
        in_flight = self.ledger.rows.in_states(RowStatus.SUBMITTED)
        ids = [row.dashscope_task_id for row in in_flight if row.dashscope_task_id]
        if not ids and submissions.trouble is not None:
            self.ledger.notes.troubles += 1
            if self.ledger.notes.troubles > LONGEST_WAIT_SECONDS / PAUSE_SECONDS:
                minutes = LONGEST_WAIT_SECONDS / 60
                raise DashScopeError(
                    f"The service has taken no submission for {minutes:.0f} minutes. {submissions.trouble}",
                    retryable=True,
                )
        more = self.ceiling.affordable(totals, totals.counts[RowStatus.PLANNED]) > 0
        return next_wait([] if is_misled else ids, more_to_submit=more)

    def _cancel_queued(self) -> None:
        """Take back what the service has not begun with; it costs nothing then."""
        for row in list(self.ledger.rows.in_states(RowStatus.SUBMITTED)):
            self._turns.wait()
            try:
                canceled = self.hook.cancel_task(row.dashscope_task_id or "")
            except ProviderError as error:
                self.log.warning("DashScope task %s could not be canceled: %s", row.dashscope_task_id, error)
                continue
            if canceled:
                self.ledger.update(row, status=RowStatus.PLANNED, dashscope_task_id=None)

    def leave(self) -> None:
        """Let others have the ledger that an earlier worker has held.

        :raises ProviderError: it cannot be had any more.
        """
        self.ledger.acquire()
        self.ledger.give_back()

    def finish(self) -> dict[str, Any]:
        """Write the manifest, give the ledger back, and return the summary."""
        self._write_manifests()
        self._write_status("finished")
        self.ledger.compact(lease=0)
        return self.summary

    @cached_property
    def _turns(self) -> Turns:
        # Whoever waits for tasks uses the rest of the rate.
        return Turns(0.3 * self.hook.get_conn().config.limits.requests_per_second)

    @cached_property
    def _copier(self) -> ResultCopier:
        return ResultCopier(
            client=self.hook.get_conn(), destination=self.destination.results, log=WarningsOnly(self.log)
        )

    @cached_property
    def _limits(self) -> ModelLimit:
        """What the service tells of the account's limits. It is only advice, so an answer that does not come is no obstacle."""
        try:
            quotas = self.hook.get_quotas(model=self.model).quotas
        except ProviderError as error:
            self.log.warning("The account's limits cannot be read, so the documented ones count: %s", error)
            quotas = ()
        found = (quota.model_limit for quota in quotas if quota.model == self.model)
        return next(filter(None, found), ModelLimit())

    @property
    def concurrency(self) -> int:
        """Images that the service works on at a time."""
        return max(1, self._limits.async_user_concurrency_limit or 1)

    @property
    def pace(self) -> Pace:
        """How fast the account works."""
        return Pace(self.ledger.notes.pace, self.concurrency)

    @property
    def progress(self) -> str:
        """One line about how far the batch has come."""
        return progress(self.ledger.totals, self.ceiling, self.pace)

    @property
    def summary(self) -> dict[str, Any]:
        """What has become of the batch, as a small JSON object; with the manifests, once they are written."""
        told = summary(self.ledger, self.ceiling, destination=self.destination.url)
        return {**told, "manifest": self._manifests} if self._manifests else told

    @property
    def mark(self) -> dict[str, Any]:
        """By what the gallery finds the batch, as a small JSON object."""
        return batch_mark(
            self.summary, bucket=self.destination.results.bucket, prefix=self.destination.prefix
        )

    def _write_manifests(self) -> None:
        bucket, price = self.destination.results.bucket, self.ceiling.price
        # Whoever gives Parquet reads it, and has what writes it. JSON lines are what the gallery reads.
        is_parquet = manifest_format(self.source.identity.get("manifest", "")) == ".parquet"
        formats = ("jsonl", "parquet") if is_parquet else ("jsonl",)
        write_manifests(
            (row.in_manifest(bucket=bucket, price=price) for row in self.ledger.rows if not row.removed),
            formats,
            own_columns=self.ledger.notes.columns,
            upload=self.destination.upload,
        )
        self._manifests = [f"{self.destination.url}{MANIFEST}.{name}" for name in formats]

    def _write_status(self, state: str) -> None:
        told = status(self.ledger, self.ceiling, self.pace, destination=self.destination, state=state)
        body = json.dumps(told, ensure_ascii=False, indent=1).encode()
        self.destination.store().write(STATUS, body, replacing=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: object
    ) -> None:
        # A deferral is no Exception: then the ledger stays the task's. Nor is a kill, after which the next try takes it anyway.
        if not isinstance(exc, Exception) or not self.is_ours or isinstance(exc, LedgerInUseError):
            return
        last: list[Callable[[], object]] = [self.ledger.give_back]
        if self._is_planned:
            last.insert(0, lambda: self._write_status("stopped"))
        if isinstance(exc, BatchStoppedError):
            last = [self.ledger.compact, self._write_manifests, *last]
        # Whatever of it fails, a new run shall not have to wait until the lease is over.
        for step in last:
            try:
                step()
            except ProviderError as error:
                # What is to be told is the first error.
                self.log.warning("At the end of the work on %s: %s", self.destination.url, error)
