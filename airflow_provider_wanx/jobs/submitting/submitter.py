"""Carry out what the record of a submission asks for: submit, go on, cancel, or search the task list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_wanx.dashscope.api.endpoints import submit_task
from airflow_provider_wanx.dashscope.errors import ProviderError, RecordStoreError, UnconfirmedSubmissionError
from airflow_provider_wanx.dashscope.models import Submission
from airflow_provider_wanx.jobs.submitting.lost_submissions import Found, NotAccepted, TaskSearch, Unclear
from airflow_provider_wanx.jobs.submitting.submission_record import (
    CancelThenFresh,
    Phase,
    Reattach,
    Reconcile,
    Record,
    SubmissionRecord,
    decide,
    fingerprint,
)
from airflow_provider_wanx.metrics.tracing import name_tasks, span

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.jobs.protocols import Clock, Log

OnUnconfirmed = Literal["fail", "resubmit"]

MAX_POSTS = 2
"""Submissions of one try at most, the first known or allowed to count as not accepted: two such answers to one picture are the
picture's, or trouble that lasts. What comes then is for Airflow's retries."""

LATE_ACCEPTANCE_SECONDS = 30.0
"""Seconds after a request was given up within which the service may still act on it: what lies between may have queued it."""


@dataclass(frozen=True, kw_only=True)
class TaskRequest:
    """What is to be submitted, before anything that costs or leaves traces has been done for it.

    :param service: path below ``/api/v1/services``.
    :param model: the model's name.
    :param identity: what makes it this submission and no other, the same on every try.
    :param build_input: makes the input object; may upload files and sign URLs.
    :param parameters: the parameters object, if the model has one.
    :param summary: what is asked for, in words for the log.
    """

    service: str
    model: str
    identity: Mapping[str, Any]
    build_input: Callable[[], Mapping[str, Any]]
    parameters: Mapping[str, Any] | None = None
    summary: str = ""


def fingerprint_of(request: TaskRequest, client: DashScopeClient) -> str:
    """Digest of a submission, the same on every try; a new key for the same account changes nothing.

    :param client: of the account that it goes to.
    """
    return fingerprint(
        account=f"{client.config.base_url} {client.config.workspace or ''}",
        content={
            "service": request.service,
            "model": request.model,
            "input": dict(request.identity),
            "parameters": request.parameters,
        },
    )


def given_up(intent: Record, now: float) -> Record:
    """Return the record of a submission of which nothing more is heard. What was sent by now may be acted on a little later."""
    return replace(intent, within=now - intent.time + LATE_ACCEPTANCE_SECONDS)


class Submitter:
    """Gets one request submitted once, across the tries of one task instance.

    :param client: of the account to submit to.
    :param record: the task instance's record.
    :param log: is told what is done.
    :param max_tries: of the task instance; only a clear changes it.
    :param on_unconfirmed: what to do when a POST's answer is lost and the task list does not settle it: ``"fail"``, or
        ``"resubmit"`` at the price of possibly paying twice.
    :param claimed: returns the ids that other task instances are known to have submitted.
    :param clock: tells the time and waits.
    :param rivals: records of other unconfirmed submissions of whoever submits.
    :param how_to_resubmit: what a person does who takes that risk, for the message.
    """

    def __init__(
        self,
        *,
        client: DashScopeClient,
        record: SubmissionRecord,
        log: Log,
        max_tries: int = 0,
        on_unconfirmed: OnUnconfirmed = "fail",
        claimed: Callable[[], frozenset[str]] = frozenset,
        clock: Clock = time,
        rivals: Sequence[Record] = (),
        how_to_resubmit: str = "clear this Airflow task, or set on_unconfirmed_submit='resubmit'",
    ) -> None:
        self._how_to_resubmit = how_to_resubmit
        self._client = client
        self._record = record
        self._max_tries = max_tries
        self._on_unconfirmed = on_unconfirmed
        self._search = TaskSearch(client=client, claimed=claimed, log=log, clock=clock, rivals=rivals)
        self._log = log
        self._clock = clock
        self._not_ours: set[str] = set()

    def submit_once(self, request: TaskRequest) -> str:
        """Go on with what an earlier try has submitted, or submit.

        :return: the service's id.
        :raises ProviderError: see :meth:`submit`.
        """
        return self.earlier_task(request) or self.submit(request)

    def earlier_task(self, request: TaskRequest | None) -> str | None:
        """Find the task that an earlier try has submitted, and clear away what is not wanted any more.

        :param request: what this try wants; None if its input cannot be read any more.
        :return: id of the task to go on with, None if one has to be submitted.
        """
        record = self._record.read()
        self._not_ours.update(record.not_ours if record is not None else ())
        wanted = fingerprint_of(request, self._client) if request is not None else None
        match decide(record, fingerprint=wanted, max_tries=self._max_tries):
            case Reattach(task_id):
                self._log.info(
                    "Going on with DashScope task %s, which an earlier try has submitted.", task_id
                )
                return task_id
            case CancelThenFresh(task_id, reason):
                self._log.info("DashScope task %s is not wanted any more: %s.", task_id, reason)
                cancel_tasks(self._client, [task_id], self._log)
                self._not_ours.add(task_id)
            case Reconcile(unconfirmed, adopt):
                return self._reconcile(unconfirmed, adopt=adopt)
        return None

    def submit(self, request: TaskRequest) -> str:
        """Submit, keeping the record ahead of every step.

        :return: the service's id.
        :raises ProviderError: the service has refused it; nothing is running.
        :raises UnconfirmedSubmissionError: it is not known whether the service has accepted it.
        """
        with span("submit", model=request.model) as submitting:
            task_id = self._submit(request)
            name_tasks(submitting, [task_id])
        return task_id

    def _submit(self, request: TaskRequest) -> str:
        if request.summary:
            self._log.info("Submitting %s.", request.summary)
        content = request.build_input()
        error: ProviderError
        for _ in range(MAX_POSTS):
            intent, answer = self.post(request, content)
            if isinstance(answer, Submission):
                self._log.info(
                    "Submitted DashScope task %s of model %s (request id %s).",
                    answer.task_id,
                    request.model,
                    answer.request_id,
                )
                self.keep(intent, answer.task_id)
                return answer.task_id
            error = answer
            if error.certainly_refused:
                break
            self._log.warning("It is not known whether the service accepted the submission: %s", error)
            unconfirmed = given_up(intent, self._clock.time())
            if (task_id := self._reconcile(unconfirmed, adopt=True)) is not None:
                return task_id
        self.forget()
        raise error

    def post(
        self, request: TaskRequest, content: Mapping[str, Any]
    ) -> tuple[Record, Submission | ProviderError]:
        """Send a submission, with its intent written right before: it may have been held back for minutes.

        :param content: the input object.
        :return: the intent, and the answer, or what came instead.
        """
        intent = self._intent(request)

        def write_intent() -> None:
            nonlocal intent
            intent = replace(intent, time=self._clock.time())
            try:
                self._record.write(intent)
            except RecordStoreError as error:
                raise RecordStoreError(
                    f"{error} Nothing was sent, because a submission is recorded first."
                ) from None

        answer: Submission | ProviderError
        try:
            call = submit_task(
                service=request.service, model=request.model, input=content, parameters=request.parameters
            )
            answer = self._client.send(call, before_sending=write_intent)
        except RecordStoreError:
            raise
        except ProviderError as error:
            answer = error
        return intent, answer

    def keep(self, intent: Record, task_id: str) -> None:
        """Record that a submission was accepted."""
        try:
            self._record.write(replace(intent, phase=Phase.SUBMITTED, dashscope_task_id=task_id))
        except RecordStoreError as error:
            # The intent is still there, and going on is the better way to keep the id: a retry would have to search for it.
            self._log.warning(
                "DashScope task %s could not be recorded. If this try fails, the next one looks for it in the service's "
                "task list. %s",
                task_id,
                error,
            )

    def forget(self) -> None:
        """Drop the record of a submission that was certainly refused."""
        try:
            self._record.forget()
        except RecordStoreError as error:
            self._log.warning(
                "The record of a refused submission remains; a retry asks the service's task list about it. %s",
                error,
            )

    def _intent(self, request: TaskRequest) -> Record:
        config = self._client.config
        return Record(
            phase=Phase.INTENT,
            fingerprint=fingerprint_of(request, self._client),
            max_tries=self._max_tries,
            time=self._clock.time(),
            within=config.timeout + LATE_ACCEPTANCE_SECONDS,
            model=request.model,
            not_ours=tuple(sorted(self._not_ours)),
        )

    def _reconcile(self, record: Record, *, adopt: bool) -> str | None:
        """Settle an unconfirmed submission; None means that a new one may be made."""
        match self._search.find(record, not_ours=self._not_ours):
            case Found(task_id) if adopt:
                self._log.info(
                    "The service had accepted it as DashScope task %s; going on with that.", task_id
                )
                self.keep(record, task_id)
                return task_id
            case Found(task_id):
                self._log.info("An earlier try's DashScope task %s is not wanted any more.", task_id)
                cancel_tasks(self._client, [task_id], self._log)
                self._not_ours.add(task_id)
            case NotAccepted():
                self._log.info("The service's task list has no trace of it: it was not accepted.")
            case Unclear(candidates) if adopt and self._on_unconfirmed == "fail":
                raise UnconfirmedSubmissionError(
                    "The answer to a submission was lost, and the task list does not show whether it was accepted: "
                    f"{len(candidates) or 'unknown'} task(s) of model {record.model} could be it "
                    f"({', '.join(candidates[:5]) or 'the list cannot be read whole'}). To submit again, at the risk of "
                    f"paying for one image twice, {self._how_to_resubmit}."
                )
            case Unclear(candidates):
                self._log.warning("Submitting again, although an earlier submission may have been accepted.")
                self._not_ours.update(candidates)
        return None


def cancel_tasks(client: DashScopeClient, ids: Iterable[str], log: Log) -> None:
    """Cancel those tasks that are still queued at the service, and log what came of it; raises none of its errors."""
    for task_id in ids:
        try:
            log.info(cancel_outcome(task_id, client.cancel_task(task_id)))
        except ProviderError as error:
            log.warning("DashScope task %s could not be canceled: %s", task_id, error)


def cancel_outcome(task_id: str, canceled: bool) -> str:
    """Say what came of canceling a task."""
    if canceled:
        return f"Canceled DashScope task {task_id} while it was queued; it is not billed."
    return (
        f"DashScope task {task_id} is past canceling (only queued tasks can be); it is billed if it succeeds."
    )
