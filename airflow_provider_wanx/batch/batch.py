"""A batch as an operator sees it: begin or go on, do a step, hold still while nobody works on it, finish."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_wanx.batch.account import Account
from airflow_provider_wanx.batch.ledger.ledger import Ledger
from airflow_provider_wanx.batch.ledger.stored import MAX_OBJECT_BYTES
from airflow_provider_wanx.batch.outcomes import Outcomes
from airflow_provider_wanx.batch.plan import SignedAddresses, plan
from airflow_provider_wanx.batch.policy import Ceiling
from airflow_provider_wanx.batch.report import (
    STATUS,
    status,
    summary,
    write_manifests,
)
from airflow_provider_wanx.batch.result_keys import ResultKeys
from airflow_provider_wanx.batch.row import Row, RowStatus
from airflow_provider_wanx.batch.run import BatchRun, Wave, progress_line
from airflow_provider_wanx.batch.submitting import UNCERTAIN, Submitting, WarningsOnly
from airflow_provider_wanx.dashscope.config import RESULT_LIFETIME_SECONDS
from airflow_provider_wanx.dashscope.errors import (
    BatchStoppedError,
    InvalidInputError,
    LedgerInUseError,
    ProviderError,
)
from airflow_provider_wanx.dashscope.redaction import quoted, without_signature
from airflow_provider_wanx.identity import Identity
from airflow_provider_wanx.jobs.copying import ResultCopier
from airflow_provider_wanx.jobs.destination import S3Destination
from airflow_provider_wanx.jobs.keys import LEDGER, check_no_ledger
from airflow_provider_wanx.jobs.marks import batch_mark
from airflow_provider_wanx.s3.addresses import split_s3_prefix
from airflow_provider_wanx.s3.error_messages import s3_errors
from airflow_provider_wanx.s3.objects import ObjectStore

if TYPE_CHECKING:
    from airflow_provider_wanx.batch.input.sources import Source
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook, Log
    from airflow_provider_wanx.jobs.submitter import OnUnconfirmed, TaskRequest


@dataclass(frozen=True, kw_only=True)
class BatchDestination:
    """Where a batch's results and its ledger go.

    :param prefix: what all keys begin with: empty, or ending in a slash.
    :param results: takes the results.
    """

    prefix: str
    results: S3Destination

    @property
    def url(self) -> str:
        """``s3://bucket/prefix/``."""
        return f"s3://{self.results.bucket}/{self.prefix}"

    def store(self, name: str = "") -> ObjectStore:
        """Return the small objects below the destination."""
        return ObjectStore(
            self.results.client,
            bucket=self.results.bucket,
            prefix=self.prefix + name,
            max_bytes=MAX_OBJECT_BYTES,
            metadata=self.results.metadata,
        )

    def upload(self, path: Path, name: str, content_type: str) -> None:
        """Put a local file below the destination.

        :raises S3Error: S3 does not take it.
        """
        with s3_errors(f"write {self.url}{name}"), path.open("rb") as file:
            arguments = {"ContentType": content_type, "Metadata": self.results.metadata}
            self.results.client.upload_fileobj(
                file, self.results.bucket, self.prefix + name, ExtraArgs=arguments
            )


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
    :param owner: the Airflow task.
    :param formats: of the manifest.
    :param log: the task's log.
    """

    def __init__(
        self,
        *,
        hook: DashScopeHook,
        destination: BatchDestination,
        source: Source,
        model: str,
        keys: ResultKeys,
        request: Callable[[Row], TaskRequest],
        ceiling: Ceiling,
        on_unconfirmed: OnUnconfirmed,
        owner: Identity,
        formats: Sequence[str],
        log: Log,
    ) -> None:
        self._hook = hook
        self.destination = destination
        self._source = source
        self._addresses = SignedAddresses(source)
        self._model = model
        self._keys = keys
        self._request = request
        self._ceiling = ceiling
        self._on_unconfirmed = on_unconfirmed
        self._owner = owner
        self._formats = formats
        self._log = log
        self._run: BatchRun | None = None
        self._manifests: list[str] = []
        self.is_ours = False
        self.ledger = Ledger(
            destination.store(LEDGER),
            owner=owner,
            identity={
                **{
                    name: without_signature(each) if isinstance(each, str) else each
                    for name, each in source.identity.items()
                },
                "model": model,
                "s3_key": keys.template,
            },
        )

    def begin(self, *, retry_failed: bool) -> None:
        """Take the ledger, and put into it what the input wants.

        :param retry_failed: whether images that have failed before are wanted again.
        """
        self.destination.results.try_writing(self.destination.prefix)
        self.ledger.acquire()
        self.is_ours = True
        known = self.ledger.totals.rows
        added = self._plan()
        if retry_failed:
            self._want_failed_again()
        self._work().begin_pace()
        self._log.info(
            "%s: %s rows, %s of them new. %s",
            self._source.description,
            self.ledger.totals.images,
            added,
            self.progress if known else f"The ledger is {self.destination.url}{LEDGER}",
        )

    def go_on(self, *, left_as: str | None) -> None:
        """Take the ledger as an earlier worker has left it; if it is not, hold it against the input.

        :param left_as: :attr:`Ledger.version` at the end of that worker's work.
        """
        is_known = self.ledger.acquire(left_as=left_as)
        self.is_ours = True
        if not is_known:
            self._plan()

    def _plan(self) -> int:
        added = plan(self.ledger, self._addresses, keys=self._keys)
        self.ledger.notes.signed = bool(self._addresses)
        return added

    def _want_failed_again(self) -> None:
        self.ledger.examples.clear()
        for row in list(self.ledger.rows.in_states(RowStatus.FAILED)):
            self.ledger.update(
                row, **_wanted_again(row), failed_tasks=0, failed_copies=0, code=None, message=None
            )

    def _work(self) -> BatchRun:
        if self._run is None:
            copier = ResultCopier(
                hook=self._hook, destination=self.destination.results, log=WarningsOnly(self._log)
            )
            outcomes = Outcomes(
                hook=self._hook,
                ledger=self.ledger,
                copier=copier,
                keys=self._keys,
                prefix=self.destination.prefix,
                log=self._log,
            )
            submitting = Submitting(
                hook=self._hook,
                ledger=self.ledger,
                outcomes=outcomes,
                request=self._request_for,
                on_unconfirmed=self._on_unconfirmed,
                log=self._log,
            )
            self._run = BatchRun(
                ledger=self.ledger,
                submitting=submitting,
                outcomes=outcomes,
                ceiling=self._ceiling,
                account=Account.read(self._hook, self._model, self._log),
                log=self._log,
            )
        return self._run

    def _request_for(self, row: Row) -> TaskRequest:
        return self._request(self._addresses.signed(row) if self.ledger.notes.signed else row)

    @property
    def progress(self) -> str:
        """One line about how far the batch has come."""
        return progress_line(self.ledger, self._ceiling, self._work().pace)

    def step(self, ended: Collection[str]) -> Wave | None:
        """Do all that can be done now.

        :param ended: ids of the tasks that have ended.
        :return: what to wait for, None if every image is done.
        :raises ProviderError: the batch cannot go on.
        """
        wave = self._work().step(ended)
        self._write_status("running")
        return wave

    def hold(self, wave: Wave) -> None:
        """Keep the ledger while a wave is waited for."""
        self.ledger.hold()

    def give_back(self) -> None:
        """Let others have the ledger."""
        self.ledger.give_back()

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

    def _write_manifests(self) -> None:
        write_manifests(
            (
                row.in_manifest(bucket=self.destination.results.bucket, price=self._ceiling.price)
                for row in self.ledger.rows
                if not row.removed
            ),
            self._formats,
            own_columns=self.ledger.notes.columns,
            upload=self.destination.upload,
        )
        self._manifests = [f"{self.destination.url}manifest.{name}" for name in self._formats]

    @property
    def summary(self) -> dict[str, Any]:
        """What has become of the batch, as a small JSON object; with the manifests, once they are written."""
        told = summary(self.ledger, self._ceiling, destination=self.destination.url)
        return {**told, "manifest": self._manifests} if self._manifests else told

    @property
    def mark(self) -> dict[str, Any]:
        """By what the gallery finds the batch, as a small JSON object."""
        return batch_mark(
            self.summary, bucket=self.destination.results.bucket, prefix=self.destination.prefix
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: object
    ) -> None:
        # A deferral is no Exception: then the ledger stays the task's. Nor is a kill, after which the next try takes it anyway.
        if not isinstance(exc, Exception) or not self.is_ours or isinstance(exc, LedgerInUseError):
            return
        last = [lambda: self._write_status("stopped")] if self._run is not None else []
        if isinstance(exc, BatchStoppedError):
            last = [self.ledger.compact, self._write_manifests, *last]
        # Whatever of it fails, a new run shall not have to wait until the lease is over.
        for step in (*last, self.ledger.give_back):
            try:
                step()
            except ProviderError as error:
                # What is to be told is the first error.
                self._log.warning("At the end of the work on %s: %s", self.destination.url, error)

    def _write_status(self, state: str) -> None:
        document: Mapping[str, Any] = status(
            self.ledger,
            self._ceiling,
            self._work().pace,
            destination=self.destination.url,
            state=state,
            owner=str(self._owner),
        )
        self.destination.store().write(
            STATUS, json.dumps(document, ensure_ascii=False, indent=1).encode(), replacing=None
        )


def _wanted_again(row: Row) -> dict[str, Any]:
    """How a failed row begins anew, without paying for what has been paid for."""
    if row.code == UNCERTAIN and row.submission is not None:
        # The service's list may tell by now.
        return {"status": RowStatus.INTENT}
    if (
        row.billed
        and row.dashscope_task_id
        and time.time() - (row.submit_time or 0) < RESULT_LIFETIME_SECONDS
    ):
        # Only its copy has failed, and the result is still there.
        return {"status": RowStatus.SUBMITTED, "billed": 0}
    return {"status": RowStatus.PLANNED, "submission": None, "dashscope_task_id": None}


def split_destination(url: str) -> tuple[str | None, str, str]:
    """Read a destination.

    :param url: ``s3://bucket/prefix`` or ``s3://conn_id@bucket/prefix``.
    :return: connection id or None, bucket, prefix: empty or with a slash at its end.
    :raises InvalidInputError: it is none.
    """
    if not url.strip().startswith("s3://"):
        raise InvalidInputError(f"destination {quoted(url)} is not like s3://bucket/prefix/.")
    conn_id, bucket, prefix = split_s3_prefix(url.strip())
    check_no_ledger(prefix)
    return conn_id, bucket, prefix
