"""Where this package's errors become Airflow's."""

from __future__ import annotations

import json
import traceback
from typing import Any

import httpx
import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowTaskTimeout

from airflow_provider_wanx.dashscope.errors import (
    ConfigurationError,
    DownloadError,
    InvalidInputError,
    LostAnswerError,
    ProviderError,
    S3Error,
    SubmissionQueueError,
    TaskNotSucceededError,
    TransportError,
    WaitTimeoutError,
    api_error,
)
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.exceptions import airflow_error, airflow_errors, reports_failure


@pytest.mark.parametrize(
    "error",
    [
        InvalidInputError("bad"),
        ConfigurationError("bad"),
        api_error(code="InvalidApiKey", service_message="bad", http_status=401),
        api_error(code="Arrearage", service_message="bad", http_status=400),
    ],
)
def test_a_permanent_error_skips_the_retries_and_says_so(error: Exception) -> None:
    with pytest.raises(AirflowFailException, match=r"bad.* Retries are skipped\.$"), airflow_errors():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        TransportError("later"),
        LostAnswerError("later"),
        DownloadError("later"),
        WaitTimeoutError("later"),
        api_error(code="Throttling", service_message="later", http_status=429),
        api_error(code="InternalError", service_message="later", http_status=500),
    ],
)
def test_a_transient_error_leaves_it_to_the_retries(error: Exception) -> None:
    with pytest.raises(AirflowException, match="later") as caught, airflow_errors():
        raise error
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (
            api_error(code="InvalidApiKey", service_message="bad", http_status=401),
            "in use. They are set in the Airflow connection.",
        ),
        (SubmissionQueueError("Full."), "Full. An Airflow pool keeps fewer tasks submitting at a time."),
    ],
)
def test_what_airflow_can_do_about_an_error_is_said_here(error: Exception, where: str) -> None:
    with pytest.raises(AirflowException, match=where), airflow_errors():
        raise error


def test_the_task_log_gets_no_traceback_into_the_http_library() -> None:
    lost = LostAnswerError("No answer.")
    lost.__cause__ = httpx.ReadTimeout("slow")
    with pytest.raises(AirflowException) as caught, airflow_errors():
        raise lost
    shown = "".join(traceback.format_exception(caught.value))
    assert "No answer." in shown
    assert "httpx" not in shown
    assert "LostAnswerError" not in shown


def test_where_only_a_new_submission_helps_it_is_said_how_to_make_one() -> None:
    failed = TaskNotSucceededError([Task(task_id="id-1", status=TaskStatus.FAILED)])
    with (
        pytest.raises(AirflowFailException, match=r"id-1 is FAILED.* Clear it\. Retries are skipped\.$"),
        airflow_errors(again=lambda: "Clear it."),
    ):
        raise failed
    with pytest.raises(AirflowException) as caught, airflow_errors(again=lambda: "Clear it."):
        raise TransportError("later")
    assert str(caught.value) == "later"


def test_errors_of_others_pass_unchanged() -> None:
    with pytest.raises(KeyError), airflow_errors():
        raise KeyError("x")


def test_both_kinds_derive_from_what_sensors_can_fail_softly_on() -> None:
    for retryable in (True, False):
        assert isinstance(airflow_error("x", retryable=retryable), AirflowException)


def frames(error: BaseException) -> list[str]:
    """Names of the functions that the log would show above an error."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_what_this_package_raises_leaves_none_of_its_lines_in_the_log() -> None:
    @reports_failure
    def execute() -> None:
        with airflow_errors():
            raise InvalidInputError("bad")

    with pytest.raises(AirflowFailException) as caught:
        execute()
    assert frames(caught.value) == [
        test_what_this_package_raises_leaves_none_of_its_lines_in_the_log.__name__
    ]


def test_what_others_raise_keeps_its_traceback() -> None:
    def library() -> None:
        raise AirflowException("no such connection")

    @reports_failure
    def execute() -> None:
        with airflow_errors():
            library()

    with pytest.raises(AirflowException) as caught:
        execute()
    assert frames(caught.value)[-2:] == ["execute", "library"]


class Instance:
    """A task instance that takes XComs."""

    def __init__(self, *, broken: bool = False) -> None:
        self.xcoms: dict[str, Any] = {}
        self._broken = broken

    def xcom_push(self, *, key: str, value: Any) -> None:
        if self._broken:
            raise RuntimeError("no backend")
        self.xcoms[key] = value


def ended(error: BaseException, instance: Instance) -> Any:
    @reports_failure
    def execute(context: dict[str, Any]) -> None:
        with airflow_errors():
            raise error

    with pytest.raises(AirflowException) as caught:
        execute({"ti": instance})
    return caught.value


_FAILED = Task(task_id="id-1", status=TaskStatus.FAILED, code="InvalidImage.NoHumanFace", request_id="r-3")


@pytest.mark.parametrize(
    ("error", "code", "kind", "request_id"),
    [
        (
            api_error(code="Arrearage", service_message="no", http_status=400, request_id="r-1"),
            "Arrearage",
            "billing",
            "r-1",
        ),
        (api_error(code="", service_message="", http_status=502), "Api", "service", None),
        (TaskNotSucceededError([_FAILED]), "InvalidImage.NoHumanFace", "input", "r-3"),
        (
            TaskNotSucceededError([Task(task_id="id-1", status=TaskStatus.UNKNOWN)]),
            "UNKNOWN",
            "not found",
            None,
        ),
        (
            TaskNotSucceededError([Task(task_id="id-1", status=TaskStatus.CANCELED)]),
            "CANCELED",
            "canceled",
            None,
        ),
        (InvalidInputError("bad"), "InvalidInput", "input", None),
        (ConfigurationError("bad"), "Configuration", "configuration", None),
        (S3Error("no", retryable=False, code="NoSuchBucket"), "NoSuchBucket", "storage", None),
        (WaitTimeoutError("later"), "WaitTimeout", "timeout", None),
        (TransportError("later"), "Transport", "service", None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_callbacks_and_later_tasks_are_told_what_they_decide_by(
    error: ProviderError, code: str, kind: str, request_id: str | None
) -> None:
    instance = Instance()

    raised = ended(error, instance)

    assert (raised.code, raised.kind, raised.request_id) == (code, kind, request_id)
    told = instance.xcoms["dashscope_failure"]
    assert told == {
        "code": code,
        "kind": kind,
        "request_id": request_id,
        "retryable": error.retryable,
        "message": str(raised),
    }
    json.dumps(told)


def test_a_failure_is_told_even_where_its_xcom_is_not_taken() -> None:
    raised = ended(InvalidInputError("bad"), Instance(broken=True))

    assert raised.code == "InvalidInput"
    assert str(raised) == "bad Retries are skipped."


def test_a_timeout_of_airflows_own_has_a_kind_too() -> None:
    @reports_failure
    def execute(context: dict[str, Any]) -> None:
        try:
            raise WaitTimeoutError("Too late.")
        except WaitTimeoutError as error:
            raise AirflowTaskTimeout(str(error)) from None

    instance = Instance()
    with pytest.raises(AirflowTaskTimeout):
        execute(context={"ti": instance})
    assert instance.xcoms["dashscope_failure"]["kind"] == "timeout"


def test_an_error_that_is_its_own_cause_ends_too() -> None:
    @reports_failure
    def execute() -> None:
        error = AirflowException("Round and round.")
        raise error from error

    with pytest.raises(AirflowException, match="Round and round"):
        execute()
