from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import airflow_provider_wanx
from airflow_provider_wanx.dashscope import errors
from airflow_provider_wanx.dashscope.error_codes import ErrorKind
from airflow_provider_wanx.dashscope.errors import (
    ApiError,
    AuthenticationError,
    InvalidInputError,
    InvalidResponseError,
    LostAnswerError,
    ProviderError,
    ResultExpiredError,
    TaskNotSucceededError,
    ThrottledError,
    TransportError,
    api_error,
)
from airflow_provider_wanx.dashscope.models import Task, TaskStatus
from airflow_provider_wanx.dashscope.redaction import quoted, safe_words, without_query, without_signature


def _task(
    number: int = 1, *, status: TaskStatus, code: str | None = None, message: str | None = None
) -> Task:
    return Task(task_id=f"task-{number}", status=status, code=code, message=message)


def _drawn() -> dict[str, str]:
    """Read the tree at the head of the module: error → what it derives from."""
    above, bases = [(-1, "Exception")], {}
    for indent, name in re.findall(r"^    ([ │├└─]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        while above[-1][0] >= len(indent):
            above.pop()
        bases[name] = above[-1][1]
        above.append((len(indent), name))
    return bases


def test_the_tree_is_the_one_that_is_drawn() -> None:
    assert _drawn() == {
        name: kind.__bases__[0].__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }


def test_no_error_is_defined_anywhere_else() -> None:
    package = Path(airflow_provider_wanx.__file__).parent
    elsewhere = {
        node.name: str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith(("Error", "Exception", "Timeout")) for base in node.bases)
        and "simulator" not in path.parts
        and path != Path(errors.__file__)
    }

    assert elsewhere == {}


def test_an_error_of_s3_or_a_store_is_none_of_the_service() -> None:
    for kind in (errors.S3Error, errors.StoreError, InvalidInputError):
        assert not issubclass(kind, errors.DashScopeError)


def test_wrong_input_can_be_caught_as_a_value_error() -> None:
    assert issubclass(InvalidInputError, ValueError)
    assert issubclass(errors.ConfigurationError, ValueError)


@pytest.mark.parametrize(
    ("error", "retryable", "certainly_refused"),
    [
        (ProviderError("x"), False, True),
        (errors.NewStatusError(task_id="t-1", status="ARCHIVING", http_status=200), False, False),
        (InvalidInputError("x"), False, True),
        (TransportError("x"), True, True),
        (LostAnswerError("x"), True, False),
        (InvalidResponseError("x", http_status=200), True, False),
        (errors.WaitTimeoutError("x"), True, True),
        (errors.DownloadError("x"), True, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_each_error_says_whether_to_repeat_and_whether_nothing_was_done(
    error: ProviderError, retryable: bool, certainly_refused: bool
) -> None:
    assert (error.retryable, error.certainly_refused, error.final) == (retryable, certainly_refused, False)


def test_an_answer_that_cannot_be_read_keeps_its_http_status() -> None:
    new = errors.NewStatusError(task_id="t-1", status="ARCHIVING", http_status=203)

    assert InvalidResponseError("x", http_status=502).http_status == 502
    assert (new.http_status, new.status) == (203, "ARCHIVING")
    assert str(new) == (
        "DashScope task t-1 is in a state that this version does not know: 'ARCHIVING'. It may still run and will be billed "
        "if it succeeds; its result can be had with the same id for 24 hours after its submission."
    )


def test_a_refusal_says_what_was_tried_what_came_and_what_to_do() -> None:
    error = api_error(
        code="InvalidApiKey",
        service_message="Invalid API-key provided.",
        http_status=401,
        request_id="r-77",
        doing="list the account's tasks",
    )

    assert str(error) == (
        "Could not list the account's tasks: InvalidApiKey: Invalid API-key provided. (HTTP 401, request id r-77). "
        "Check the API key, and that it belongs to the region and workspace in use."
    )
    assert (error.code, error.http_status, error.request_id) == ("InvalidApiKey", 401, "r-77")
    assert error.service_message == "Invalid API-key provided."
    assert error.kind is ErrorKind.AUTHENTICATION


def test_a_refusal_without_code_or_words_says_so() -> None:
    error = api_error(code="", service_message="", http_status=502)

    assert str(error).startswith("Could not call the service: no reason given (HTTP 502). ")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("InvalidApiKey", 401, AuthenticationError),
        ("", 401, AuthenticationError),
        ("Throttling.RateQuota", 429, ThrottledError),
        ("ServiceUnavailable", 503, ThrottledError),
        ("BudgetLimitExceeded", 429, ApiError),
        ("AccessDenied", 403, ApiError),
        ("InternalError", 500, ApiError),
    ],
)
def test_a_refusal_has_the_class_of_its_kind(code: str, status: int, kind: type[ApiError]) -> None:
    assert type(api_error(code=code, service_message="", http_status=status)) is kind


def test_an_expired_result_is_worth_another_look_at_the_task_whatever_the_stores_code() -> None:
    error = ResultExpiredError(code="AccessDenied", service_message="Request has expired.", http_status=403)

    assert error.retryable
    assert str(error).startswith("Could not call the service: AccessDenied: Request has expired. (HTTP 403).")
    assert "fresh URL" in str(error)
    assert "workspace" not in str(error)


_HIDDEN = "c2VjcmV0c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "words",
    [
        f"Cannot fetch https://bucket.oss.example/a.jpg?Expires=1&Signature={_HIDDEN}",
        f"Cannot fetch (https://b.example/a?{_HIDDEN}), sorry",
        f"https://user:{_HIDDEN}@bucket.example/a.jpg",
        f"Incorrect API key provided: sk-{_HIDDEN}.",
        f"header Authorization: Bearer {_HIDDEN} refused",
        f"<SignatureProvided>{_HIDDEN}</SignatureProvided>",
        f'{{"Signature": "{_HIDDEN}"}}',
        f"OSSAccessKeyId={_HIDDEN}",
        f"x-amz-security-token: {_HIDDEN}",
        f"credentials AKIA{_HIDDEN} and LTAI{_HIDDEN}",
        f"a token like eyJ{_HIDDEN}.{_HIDDEN}.{_HIDDEN}",
        f"Authorization: Basic {_HIDDEN}",
        f"sent basic {_HIDDEN}==",
        f"api_key={_HIDDEN}",
        f"API-Key: '{_HIDDEN}'",
        f"x-api-key%3D{_HIDDEN}",
        f"at https://h.example/cb#access_token={_HIDDEN}",
        f"https://h.example/cb#{_HIDDEN}",
        f"https%3A%2F%2Fh.example%2Fa.jpg%3FExpires%3D1%26Signature%3D{_HIDDEN}",
        f"https://user:p@{_HIDDEN}@h.example/a.jpg",
        f"https://user:p/{_HIDDEN}@h.example/a.jpg",
        f"proxy user:{_HIDDEN}@proxy.example:3128",
        f"https://{_HIDDEN}@h.example/a.jpg",
        f"password={_HIDDEN}",
        f"{{'client_secret': '{_HIDDEN}'}}",
        f"Cookie: session={_HIDDEN}; other={_HIDDEN}",
        f"data:image/png;base64,{_HIDDEN}",
    ],
)
def test_words_of_others_lose_their_secrets(words: str) -> None:
    assert _HIDDEN not in safe_words(words)
    assert _HIDDEN not in str(api_error(code="InvalidURL", service_message=words, http_status=400))
    assert _HIDDEN not in _task(status=TaskStatus.FAILED, message=words).describe()
    # However an error of this package came to quote them.
    assert _HIDDEN not in str(InvalidInputError(f"image {words} cannot be read."))
    assert _HIDDEN not in quoted(words)
    assert _HIDDEN not in quoted([{"image": words}])


@pytest.mark.parametrize("name", [
    "API_KEY=", "acceſſ-\u212aey=", "ſecret=", "PASSWD=", "pwd=", "paſſphrase=", "credentıal=", "sıgnature=", "SİGNATURE=",
    "authorızation=", "auth_key=", "TO\u212aEN=", "Coo\u212aıe: ", "BEARER ", "baſıc ", "DATA:,", "HTTP://h/#",
    "sk-", "AKIA", "ASIA", "LTAI", "AIza", "eyJ", "://", "://user:", "user:",
])  # fmt: skip
def test_a_secret_is_known_by_its_name_however_that_is_spelt(name: str) -> None:
    assert _HIDDEN not in safe_words(f"see {name}{_HIDDEN}{'@h' * name.endswith(('/', 'user:'))}")


@pytest.mark.parametrize(
    "words",
    [
        "The request signature we calculated does not match the signature you provided.",
        "Failed to cancel the task, please confirm if the task is in PENDING status.",
        "请求频率超限，请稍后再试。",
        "Is this a picture? No.",
        "max_tokens: 4096 is too large, and Basic authentication is not supported.",
        "https://h.example:8443/eyes@2x.png and s3://conn@bucket/a.jpg are no portraits.",
    ],
)
def test_harmless_words_stay_as_they_are(words: str) -> None:
    assert safe_words(words) == words


def test_words_of_others_become_one_line_of_bounded_length() -> None:
    assert safe_words("a\r\n\tb\x00c\ud800d") == "a b c d"
    assert len(safe_words("long " * 10_000)) <= 501


def test_a_task_that_failed_for_a_passing_reason_stays_failed_but_may_be_submitted_again() -> None:
    error = TaskNotSucceededError(
        [_task(status=TaskStatus.FAILED, code="InternalError.Algo", message="inference error")]
    )

    assert (error.retryable, error.final, error.resubmission_may_help) == (False, True, True)
    assert "task-1 is FAILED (InternalError.Algo: inference error)" in str(error)
    assert "not billed" in str(error)


@pytest.mark.parametrize(
    ("task", "told"),
    [
        (
            _task(status=TaskStatus.FAILED, code="InvalidURL"),
            (
                "(InvalidURL). Check that the URL is public and leads to a picture; what lies in S3 is uploaded instead with "
                "image_transfer='upload'. A failed task is not billed."
            ),
        ),
        (
            _task(status=TaskStatus.FAILED),
            ". The service has given no code for it. A failed task is not billed.",
        ),
        (_task(status=TaskStatus.CANCELED), ". It was canceled before it ran and is not billed."),
        (
            _task(status=TaskStatus.UNKNOWN),
            (
                ". The service does not know this id: it is wrong, belongs to another account, or the task and its results "
                "were deleted 24 hours after they were made."
            ),
        ),
        (_task(status=TaskStatus.RUNNING), ". "),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Task) else "",
)
def test_other_ends_are_final_and_explained(task: Task, told: str) -> None:
    error = TaskNotSucceededError([task])

    assert (error.retryable, error.final, error.resubmission_may_help) == (False, True, False)
    assert str(error).removeprefix(f"DashScope task task-1 is {task.status}").lstrip() == told.lstrip()


def test_the_words_of_a_failure_decide_whether_submitting_again_may_help() -> None:
    code = "InternalError.Algo"
    broken = _task(status=TaskStatus.FAILED, code=code, message="list index out of range")

    assert TaskNotSucceededError([_task(status=TaskStatus.FAILED, code=code)]).resubmission_may_help
    assert not TaskNotSucceededError([broken]).resubmission_may_help


def test_one_hopeless_task_makes_the_wait_hopeless() -> None:
    passing = _task(1, status=TaskStatus.FAILED, code="InternalError")
    hopeless = _task(2, status=TaskStatus.FAILED, code="InvalidURL")

    assert TaskNotSucceededError([passing]).resubmission_may_help
    assert not TaskNotSucceededError([passing, hopeless]).resubmission_may_help


def test_many_bad_tasks_are_counted_and_good_ones_too() -> None:
    bad = [_task(number, status=TaskStatus.CANCELED) for number in range(9)]

    message = str(TaskNotSucceededError(bad, succeeded=3))

    assert "task-4" in message
    assert "task-5" not in message
    assert "(and 4 more)" in message
    assert message.endswith("3 other task(s) succeeded.")


@pytest.mark.parametrize(("count", "more"), [(1, ""), (5, ""), (6, " (and 1 more)")])
def test_five_bad_tasks_are_told_and_the_rest_is_counted(count: int, more: str) -> None:
    bad = [_task(number, status=TaskStatus.CANCELED) for number in range(count)]
    told = " ".join(
        f"DashScope task task-{number} is CANCELED. It was canceled before it ran and is not billed."
        for number in range(min(count, 5))
    )

    assert str(TaskNotSucceededError(bad)) == told + more


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h.example/a/b.jpg?Signature=s#x", "https://h.example/a/b.jpg"),
        ("https://user:secret@h.example:8080/a", "https://h.example:8080/a"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,…"),
        ("oss://dashscope-instant/a.png", "oss://dashscope-instant/a.png"),
        ("/local/file.jpg", "/local/file.jpg"),
        ("http://[broken/a.jpg?Signature=secretsecret", "http://[broken/a.jpg"),
        ("https://h.example/a.jpg#access_token=secret", "https://h.example/a.jpg"),
        ("https://user:p@ss@h.example/a", "https://h.example/a"),
        ("s3://conn@bucket/who?.jpg", "s3://bucket/who?.jpg"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_query(url) == shown


@pytest.mark.parametrize(
    ("address", "stored"),
    [
        ("https://h.example/a.jpg?id=7&X-Amz-Algorithm=A&X-Amz-Credential=A&X-Amz-Date=1&X-Amz-Signature=s&versionId=2",
         "https://h.example/a.jpg?id=7&versionId=2"),
        ("https://b.oss.example/a.jpg?Expires=1&OSSAccessKeyId=LTAI1&Signature=s%3D&x-oss-process=image/resize,w_900",
         "https://b.oss.example/a.jpg?x-oss-process=image/resize,w_900"),
        ("https://b.blob.example/a.jpg?sv=2024&se=2026&sr=b&sp=r&sig=s", "https://b.blob.example/a.jpg"),
        ("https://b.example/a.jpg?GoogleAccessId=g&Expires=1&Signature=s", "https://b.example/a.jpg"),
        ("https://b.cos.example/a.jpg?q-sign-algorithm=sha1&q-ak=k&q-signature=s", "https://b.cos.example/a.jpg"),
        ("https://cdn.example/a.jpg?auth_key=1-0-0-s", "https://cdn.example/a.jpg"),
        ("https://h.example/get?file=a.jpg&token=t", "https://h.example/get?file=a.jpg"),
        ("https://h.example/get?file=a.jpg&k=sk-0123456789", "https://h.example/get?file=a.jpg"),
        ("https://user:p@ss@h.example/a.jpg?id=7", "https://h.example/a.jpg?id=7"),
        ("ftp://user:pass@h.example/a.jpg", "ftp://user@h.example/a.jpg"),
        ("https://h.example/a.jpg#access_token=t", "https://h.example/a.jpg"),
    ],
)  # fmt: skip
def test_what_is_stored_of_an_address_tells_the_picture_and_lets_nobody_in(address: str, stored: str) -> None:
    assert without_signature(address) == stored
    assert without_signature(stored) == stored


@pytest.mark.parametrize(
    "address",
    [
        "https://h.example/a.jpg",
        "https://h.example/get?id=7&e=1&st=2#part",
        "s3://conn@bucket/a?Signature=1#x.jpg",
        "/data/a.jpg?token=1",
        "data:image/png;base64,AAAA",
        "oss://dashscope-instant/a.png",
    ],
)
def test_an_address_without_a_signature_is_stored_as_it_is(address: str) -> None:
    assert without_signature(address) == address


def test_what_a_user_gave_is_quoted_on_one_line_and_not_whole() -> None:
    assert quoted("a\nb") == r"'a\nb'"
    assert quoted("s3://bucket/who?.jpg") == "'s3://bucket/who?.jpg'"
    assert quoted(None) == "None"
    assert len(quoted("A" * 129_000)) < 250
    assert len(quoted(["long "] * 10_000)) < 250


def test_what_is_cut_out_once_is_left_alone_the_second_time() -> None:
    said = safe_words("no route: https://bucket/x?Signature=0123456789")

    assert str(ProviderError(f"{said}: could not write.")) == "no route: https://bucket/x?…: could not write."
    assert "0123456789" not in str(ProviderError("https://bucket/x?…Signature=0123456789"))
