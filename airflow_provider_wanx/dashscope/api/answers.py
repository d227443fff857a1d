"""Reading answers: what came, as a value or as the error that it stands for. No input or output here."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from airflow_provider_wanx.dashscope.errors import InvalidResponseError, ResultExpiredError, api_error
from airflow_provider_wanx.dashscope.redaction import safe_words

M = TypeVar("M", bound=BaseModel)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """A complete HTTP answer, and what was asked with it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    doing: str

    def invalid(self, problem: str) -> InvalidResponseError:
        """Make the error of an answer that is not what the API promises."""
        return InvalidResponseError(f"Could not {self.doing}: {problem}.", http_status=self.status)


def read_output(answer: Answer, model: type[M]) -> M:
    """Read the ``output`` object of an answer, with the request id that stands beside it."""
    document = json_object(answer)
    output = document.get("output")
    if isinstance(output, dict):
        output = {"request_id": document.get("request_id"), **output}
    return read_model(output, model, answer)


def read_model(value: object, model: type[M], answer: Answer) -> M:
    """Read a part of an answer.

    :raises InvalidResponseError: it lacks what the model needs; values are not shown, they may be secret.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)[:3]
        )
        raise answer.invalid(f"the answer is not a {model.__name__} ({safe_words(wrong)})") from None


def json_object(answer: Answer, *, may_say: Callable[[dict[str, Any]], bool] | None = None) -> dict[str, Any]:
    """Read an answer's JSON object, or raise what the answer says instead.

    :param may_say: tells of an object that has a code and came with a good HTTP status whether it is an answer all the same.
    """
    document = try_json(answer)
    code, message = error_fields(document)
    if may_say is not None and answer.status < 400 and isinstance(document, dict) and may_say(document):
        code = ""
    if answer.status >= 400 or code:
        if not (code or message):
            code, message = _unusual_fields(document)
        raise api_error(
            code=code,
            service_message=message or ("" if document is not None else _excerpt(answer)),
            http_status=answer.status,
            request_id=_request_id(document) or answer.headers.get("x-request-id"),
            doing=answer.doing,
            retry_after=retry_after(answer.headers),
        )
    if not isinstance(document, dict):
        raise answer.invalid(f"HTTP {answer.status} with {_excerpt(answer)}")
    if answer.status not in range(200, 300):
        raise answer.invalid(f"unexpected HTTP {answer.status}")
    return document


def try_json(answer: Answer) -> Any:
    """Read an answer's JSON, None where it is none."""
    try:
        # One broken character somewhere in a text is no reason to lose the id of a paid task.
        text = answer.body.decode("utf-8-sig", "replace")
        document = json.loads(text)
        return _well_formed(document) if _SURROGATE.search(text) else document
    except (ValueError, RecursionError):
        return None


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _well_formed(node: Any) -> Any:
    """Replace halves of characters, which JSON can hold, but no log, database or URL."""
    if isinstance(node, str):
        return node.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(node, list):
        return [_well_formed(item) for item in node]
    if isinstance(node, dict):
        return {_well_formed(key): _well_formed(value) for key, value in node.items()}
    return node


def error_fields(document: object) -> tuple[str, str]:
    """The code and message of an error answer, native or in the OpenAI-compatible form; empty where there is none."""
    if not isinstance(document, dict):
        return "", ""
    nested = document.get("error")
    source = nested if isinstance(nested, dict) and nested else document
    code, message = source.get("code"), source.get("message")
    if code is None and source is nested:
        code = source.get("type") or "error"
    if message is None and isinstance(nested, str):
        message = nested
    return (
        str(code) if isinstance(code, str | int) and code not in ("", 0, 200, "200", "Success") else "",
        message if isinstance(message, str) else "",
    )


def _unusual_fields(document: object) -> tuple[str, str]:
    """The code and message of an error answer in the words of gateways and of other services."""
    if not isinstance(document, dict):
        return "", ""
    code = next((str(document[name]) for name in ("error_code", "errorCode") if document.get(name)), "")
    for name in ("error_msg", "error_message", "errorMessage", "msg", "detail", "errors"):
        said = document.get(name)
        if isinstance(said, list) and said:
            said = said[0]
        if isinstance(said, dict):
            own_code, message = error_fields(said)
            code, said = own_code or code, message or json.dumps(said, ensure_ascii=False)
        if said and isinstance(said, str):
            return code, said
    return code, ""


def _request_id(document: object) -> str | None:
    value = document.get("request_id") if isinstance(document, dict) else None
    return safe_words(value) if isinstance(value, str) else None


def _excerpt(answer: Answer) -> str:
    """Say what kind of body came, with its first words but without any URL's query."""
    if not answer.body.strip():
        return "an empty body"
    kind = answer.headers.get("content-type", "no content type").partition(";")[0]
    start = safe_words(answer.body[:400].decode("utf-8", "replace"))[:80]
    return f"a body that is not the JSON it should be ({kind}, {len(answer.body)} bytes: {start!r})"


def http_date(answer: Answer) -> datetime | None:
    """The service's clock when it answered, from the ``Date`` header; None where there is none."""
    return _read_date(answer.headers.get("date", ""))


def _read_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else None


LONGEST_RETRY_AFTER_SECONDS = 300.0
"""Seconds that a ``Retry-After`` may ask to wait. Rates are counted in minutes at most; who asks again costs one request."""

SHARED_RETRY_AFTER_SECONDS = 20.0
"""Seconds of them for which others wait too: the limits are the account's. More would let one header stop all its work."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait, as a number or as a date; None where it asks nothing.

    :return: :data:`LONGEST_RETRY_AFTER_SECONDS` at most.
    """
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        seconds = float(value)
    elif (moment := _read_date(value)) is not None:
        seconds = max(0.0, (moment - datetime.now(moment.tzinfo)).total_seconds())
    else:
        return None
    if seconds > LONGEST_RETRY_AFTER_SECONDS:
        logger.warning(
            "The service asks to wait until %r (Retry-After), which is not believed: it is asked again after %g s.",
            safe_words(value)[:40],
            LONGEST_RETRY_AFTER_SECONDS,
        )
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS)


def raise_for_result(answer: Answer) -> None:
    """Raise the error that a result store's answer stands for; 200 and 206 pass.

    :raises ResultExpiredError: the URL is past its time, or the file is gone.
    :raises ApiError: any other refusal.
    """
    if answer.status in (200, 206):
        return
    if answer.status in (403, 404, 410):
        raise ResultExpiredError(**store_error(answer))
    raise api_error(**store_error(answer))


def store_error(answer: Answer) -> dict[str, Any]:
    """The fields of the error in a file store's XML answer."""
    text = answer.body[:4096].decode("utf-8", "replace")
    return {
        "code": _xml_text(text, "Code"),
        "service_message": _xml_text(text, "Message") or _excerpt(answer),
        "http_status": answer.status,
        "request_id": _xml_text(text, "RequestId") or None,
        "doing": answer.doing,
        "retry_after": retry_after(answer.headers),
    }


def _xml_text(text: str, tag: str) -> str:
    found = re.search(rf"<{tag}>([^<]{{0,200}})</{tag}>", text)
    return found.group(1).strip() if found else ""
