"""The service's error codes: what each means, whether trying again can help, and what a person should do.

The code decides first, then the HTTP status; for the few codes that stand for several things, the text decides. A code
that is not in the table is judged by its last part, then by what stands before that, then by rule: ``Throttling…`` and HTTP
429 can be tried again, other 4xx cannot, 5xx can. An HTTP status of 4xx outranks a code that speaks of trouble at the
service: the service has refused, and accepted nothing.
Sources: the service's error-code pages and its task-management page; see the reference in the documentation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ErrorKind(StrEnum):
    """What sort of thing went wrong, and so who can mend it."""

    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    BILLING = "billing"
    INPUT = "input"
    CONTENT = "content policy"
    NOT_FOUND = "not found"
    UNSUPPORTED = "unsupported"
    THROTTLING = "throttling"
    SERVICE = "service"


@dataclass(frozen=True)
class ErrorRow:
    """One row of the table.

    :param code: the code, or a prefix that ends in ``*``.
    :param http: the HTTP statuses that the service's pages name; the row decides by ``code`` alone unless
        ``only_http`` is set.
    :param retryable: whether the same call can succeed later.
    :param text: pattern of the texts that it is for; None for all that no other row of the code is for.
    :param unsure: the service may have acted on the request before it answered like this.
    """

    code: str
    http: tuple[int, ...]
    kind: ErrorKind
    retryable: bool
    advice: str
    text: str | None = None
    unsure: bool = False
    only_http: bool = False

    @property
    def certainly_refused(self) -> bool:
        """Whether the service certainly did not act on the request."""
        return not self.unsure


_K = ErrorKind
_FIX_REQUEST = "The request has to change; trying again will not help."
_WRONG_ADDRESS = "Check the base URL and the id."
_FIX_IMAGE = "Use another picture; trying again will not help."
_FIX_FORMAT = "The service has read the input, and its format is not what the model takes; the same file will not do better."
_UPLOAD = "what lies in S3 is uploaded instead with image_transfer='upload'."
_FETCH = f"The service could not fetch the input. Check that its URL is public, then try again; {_UPLOAD}"
_CHECK_URL = f"Check that the URL is public and leads to a picture; {_UPLOAD}"
_LATER = "The service has a problem; try again later."
_SLOWER = "The account's rate limit is reached; it recovers within about a minute."
_KEY = "Check the API key, and that it belongs to the region and workspace in use."
_GRANT = "Grant the key's workspace access to this model, or check that the model still exists."
_PAY = "Settle the account's billing; trying again before that will not help."
_FREE = "The model's free quota is used up: let the console charge for what is beyond it, or buy a quota of the model."
_POLICY = "The service's content policy refuses this; use other content."
_NO_ASYNC = "The key is all right: this service path, or this model, takes no asynchronous tasks. Check both."
_NO_HEADER = (
    "The key is all right: a gateway has dropped the header X-DashScope-Async, or this model takes no tasks."
)

_QUOTA = "A quota of slots is used up."
_SIZE = "The picture must have 256×256 to 5760×3240 pixels."
_NEW_POLICY = "The permission to upload has run out; a new one is asked for."
_MADE = "The service's content policy refuses what it has made itself; a new attempt may make something else."
_3_HOURS = "It gave nothing within 3 hours; submit it again."
_OTHER = "This version does not know the code; see the service's error page."
_GATEWAY = "A gateway or firewall in front of the service refuses such requests. Check the base URL, and ask whoever runs it."
_PROXY = "A proxy on the way asks for a user and a password. Put them into the proxy's URL, or the host into NO_PROXY."
_TOO_LARGE = "It is larger than the service, or a firewall before it, takes. Give the picture as a URL, or make it smaller."

_DOWNLOAD_TROUBLE = r"(?i)download.*(time|timed) ?out|time ?out.*download|failed to download"
_FREE_QUOTA = r"(?i)free (allocated |tier )?quota"
_ONLY_OUTPUT = r"(?is)^(?!.*\binput\b).*\boutput\b"
_CALLERS_FAULT = r"(?i)missing content-length|list index out of range|invalid ?parameter"


def _row(
    code: str, http: int | tuple[int, ...], kind: ErrorKind, retry: bool, advice: str, **more: Any
) -> ErrorRow:
    statuses = http if isinstance(http, tuple) else (http,)
    return ErrorRow(code, statuses, kind, retry, advice, **more)


ERROR_TABLE: tuple[ErrorRow, ...] = (
    _row("InvalidParameter", 400, _K.INPUT, True, _FETCH, text=_DOWNLOAD_TROUBLE),
    _row("InvalidParameter", 400, _K.INPUT, False, _FIX_REQUEST),
    _row("InvalidParameter.DataInspection", 400, _K.INPUT, False, _FIX_FORMAT, text=r"(?i)media format"),
    _row("InvalidParameter.DataInspection", 400, _K.INPUT, True, _FETCH),
    _row("BadRequest.EmptyInput", 400, _K.INPUT, False, _FIX_REQUEST),
    _row("BadRequest.EmptyParameters", 400, _K.INPUT, False, _FIX_REQUEST),
    _row("BadRequest.EmptyModel", 400, _K.INPUT, False, _FIX_REQUEST),
    _row("BadRequest.IllegalInput", 400, _K.INPUT, False, _FIX_REQUEST),
    _row("BadRequest.InputDownloadFailed", (400, 415), _K.INPUT, True, _FETCH),
    _row("BadRequest.UnsupportedFileFormat", (400, 415), _K.INPUT, False, _FIX_IMAGE),
    _row("BadRequest.TooLarge", (400, 413), _K.INPUT, False, _FIX_REQUEST),
    _row("BadRequest.ResourceNotExist", 400, _K.NOT_FOUND, False, _FIX_REQUEST),
    _row("InvalidURL", 400, _K.INPUT, False, _CHECK_URL),
    _row("InvalidURL.ConnectionRefused", 400, _K.INPUT, True, _FETCH),
    _row("InvalidURL.Timeout", 400, _K.INPUT, True, _FETCH),
    _row("InvalidImageResolution", 400, _K.INPUT, False, _SIZE),
    _row("InvalidImageFormat", 400, _K.INPUT, False, "The picture must be JPEG, PNG, BMP or WEBP."),
    _row("InvalidImage.ImageSize", 400, _K.INPUT, False, _FIX_IMAGE),
    _row("InvalidImage.FileFormat", 400, _K.INPUT, False, _FIX_IMAGE),
    _row("InvalidImage.NoHumanFace", 400, _K.INPUT, False, "The picture must show one clear, full face."),
    _row("InvalidImage.*", 400, _K.INPUT, False, _FIX_IMAGE),
    _row("InvalidFile.DownloadFailed", 400, _K.INPUT, True, _FETCH),
    _row("InvalidFile.*", 400, _K.INPUT, False, _FIX_IMAGE),
    _row("InvalidPerson", 400, _K.INPUT, False, _FIX_IMAGE),
    _row("InvalidGarment", 400, _K.INPUT, False, _FIX_IMAGE),
    _row("InvalidInputLength", 400, _K.INPUT, False, _FIX_REQUEST),
    _row("InvalidSchema", 400, _K.INPUT, False, _FIX_REQUEST),
    _row("InvalidSchemaFormat", 400, _K.INPUT, False, _FIX_REQUEST),
    _row("invalid_value", 400, _K.INPUT, False, _FIX_REQUEST),
    # Only where it was certainly not the input that was objected to.
    _row("DataInspectionFailed", 400, _K.CONTENT, True, _MADE, text=_ONLY_OUTPUT),
    _row("DataInspectionFailed", 400, _K.CONTENT, False, _POLICY),
    _row("IPInfringementSuspect", 400, _K.CONTENT, False, _POLICY),
    _row("FaqRuleBlocked", 400, _K.CONTENT, False, _POLICY),
    _row("CustomRoleBlocked", 400, _K.CONTENT, False, _POLICY),
    _row("Arrearage", 400, _K.BILLING, False, _PAY),
    _row("isv.OUT_OF_SERVICE", 400, _K.BILLING, False, _PAY),
    _row("UnsupportedOperation", 400, _K.UNSUPPORTED, False, "The task's state does not allow this."),
    _row("Throttling.AllocationQuota", 400, _K.BILLING, False, _QUOTA, only_http=True),
    _row("FlowNotPublished", 400, _K.INPUT, False, _FIX_REQUEST),
    _row("ClientDisconnect", 400, _K.SERVICE, False, _FIX_REQUEST),
    _row("ServiceUnavailableError", 400, _K.INPUT, False, _FIX_REQUEST, only_http=True),
    _row("InvalidApiKey", 401, _K.AUTHENTICATION, False, _KEY),
    _row("NOT AUTHORIZED", 401, _K.AUTHENTICATION, False, _KEY),
    _row("invalid access token or token expired", 401, _K.AUTHENTICATION, False, _KEY),
    _row("AccessDenied", 403, _K.PERMISSION, True, _NEW_POLICY, text=r"(?i)policy expired"),
    _row("AccessDenied", 403, _K.UNSUPPORTED, False, _NO_ASYNC, text=r"(?i)not support asynchronous"),
    _row("AccessDenied", 403, _K.UNSUPPORTED, False, _NO_HEADER, text=r"(?i)not support synchronous"),
    _row("AccessDenied", 403, _K.PERMISSION, False, _GRANT),
    _row("AccessDenied.Unpurchased", 403, _K.BILLING, False, "Activate the service for this account first."),
    _row("Model.AccessDenied", 403, _K.PERMISSION, False, _GRANT),
    _row("App.AccessDenied", 403, _K.PERMISSION, False, _GRANT),
    _row("Workspace.AccessDenied", 403, _K.PERMISSION, False, _GRANT),
    _row("Endpoint.AccessDenied", 403, _K.PERMISSION, False, "The model has probably been retired."),
    _row("AllocationQuota.FreeTierOnly", 403, _K.BILLING, False, _FREE),
    _row("ModelNotFound", 404, _K.NOT_FOUND, False, _GRANT),
    _row("model_not_supported", 404, _K.NOT_FOUND, False, _GRANT),
    _row("WorkSpaceNotFound", 404, _K.NOT_FOUND, False, "Check the workspace."),
    _row("NotFound", 404, _K.NOT_FOUND, False, _WRONG_ADDRESS),
    _row("RequestTimeOut", (408, 500), _K.SERVICE, True, _LATER, unsure=True),
    _row("Conflict", 409, _K.INPUT, False, _FIX_REQUEST),
    _row("Throttling", 429, _K.THROTTLING, True, _SLOWER),
    _row("Throttling.RateQuota", 429, _K.THROTTLING, True, _SLOWER),
    _row("LimitRequests", 429, _K.THROTTLING, True, _SLOWER),
    _row("Throttling.BurstRate", 429, _K.THROTTLING, True, _SLOWER),
    _row("Throttling.AllocationQuota", 429, _K.BILLING, False, _FREE, text=_FREE_QUOTA),
    _row("Throttling.AllocationQuota", 429, _K.THROTTLING, True, _SLOWER),
    _row("Throttling.Concurrency", 429, _K.THROTTLING, True, _SLOWER),
    _row("Throttling.ServiceOverloaded", 429, _K.THROTTLING, True, _LATER),
    _row("Throttling.ResourceExhausted", 429, _K.THROTTLING, True, _LATER),
    _row("CommodityNotPurchased", 429, _K.BILLING, False, _PAY),
    _row("PrepaidBillOverdue", 429, _K.BILLING, False, _PAY),
    _row("PostpaidBillOverdue", 429, _K.BILLING, False, _PAY),
    _row("BudgetLimitExceeded", 429, _K.BILLING, False, _PAY),
    _row("Audio.*", 430, _K.INPUT, False, "Use another recording; trying again will not help."),
    _row("InternalError", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("InternalError.Algo", 500, _K.INPUT, False, _FIX_REQUEST, text=_CALLERS_FAULT, unsure=True),
    _row("InternalError.Algo", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("InternalError.Algo.InvalidParameter", (500, 400), _K.INPUT, False, _FIX_REQUEST),
    _row("InternalError.Timeout", 500, _K.SERVICE, False, _3_HOURS, unsure=True),
    _row("InternalError.FileUpload", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("InternalError.Upload", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("SystemError", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("ModelServingError", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("ModelServiceFailed", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("InvokePluginFailed", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("AppProcessFailed", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("RewriteFailed", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("RetrivalFailed", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("ResponseTimeout", 500, _K.SERVICE, True, _LATER, unsure=True),
    # "No capacity" is an answer given instead of accepting the work.
    _row("ServiceUnavailable", (500, 503), _K.THROTTLING, True, _LATER),
    _row("ServiceUnavailableError", (500, 503), _K.THROTTLING, True, _LATER),
    _row("ModelUnavailable", 503, _K.THROTTLING, True, _LATER),
)

ALIASES: dict[str, str] = {
    "access_denied": "AccessDenied",
    "data_inspection_failed": "DataInspectionFailed",
    "insufficient_quota": "Throttling.AllocationQuota",
    "internal_error": "InternalError",
    "InternalError.Algo.DataInspectionFailed": "DataInspectionFailed",
    "invalid_api_key": "InvalidApiKey",
    "limit_burst_rate": "Throttling.BurstRate",
    "limit_requests": "LimitRequests",
    "model_not_found": "ModelNotFound",
    "ResourceExhausted": "Throttling.ResourceExhausted",
}
"""Spellings of the same codes, most of them on the service's OpenAI-compatible side."""

FALLBACKS: tuple[ErrorRow, ...] = (
    _row("Throttling.*", 429, _K.THROTTLING, True, _SLOWER),
    _row("InternalError.*", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("(401)", 401, _K.AUTHENTICATION, False, _KEY),
    _row("(403)", 403, _K.PERMISSION, False, _GRANT),
    _row("(403, no code)", 403, _K.PERMISSION, False, _GATEWAY),
    _row("(402)", 402, _K.BILLING, False, _PAY),
    _row("(404)", 404, _K.NOT_FOUND, False, _WRONG_ADDRESS),
    _row("(405)", 405, _K.PERMISSION, False, _GATEWAY),
    _row("(407)", 407, _K.PERMISSION, False, _PROXY),
    _row("(413)", 413, _K.INPUT, False, _TOO_LARGE),
    _row("(408)", 408, _K.SERVICE, True, _LATER, unsure=True),
    _row("(429)", 429, _K.THROTTLING, True, _SLOWER),
    _row("(4xx)", 400, _K.INPUT, False, _FIX_REQUEST),
    _row("(5xx)", 500, _K.SERVICE, True, _LATER, unsure=True),
    _row("Invalid*", 200, _K.INPUT, False, _FIX_REQUEST),
    _row("(no code)", 200, _K.SERVICE, False, "The service has given no code for it.", unsure=True),
    _row("(other)", 200, _K.SERVICE, False, _OTHER, unsure=True),
)
"""The rules for codes that are not in the table, in the order in which they are tried."""

_EXACT: dict[str, list[ErrorRow]] = {}
for _entry in ERROR_TABLE:
    _EXACT.setdefault(_entry.code.casefold(), []).append(_entry)
_PREFIXES = sorted((row for row in ERROR_TABLE if row.code.endswith("*")), key=lambda row: -len(row.code))
_CANONICAL = {alias.casefold(): code for alias, code in ALIASES.items()}
_FALLBACK = {row.code: row for row in FALLBACKS}


def classify(*, code: str, http_status: int | None, message: str) -> ErrorRow:
    """Judge an error by its code, then by HTTP status, then, where it decides, by text.

    :param code: the service's code; may be empty.
    :param http_status: status of the answer, None for the error inside a task, which arrives with HTTP 200.
    :param message: the service's text.
    """
    code = _CANONICAL.get(code.casefold(), code)
    # "InternalError.Algo.DataInspectionFailed" is what its last part says; the rest tells where that was found.
    row = _listed(code, http_status, message) or _listed(code.rpartition(".")[2], http_status, message)
    if row is None or (row.unsure and _refuses(http_status)):
        row = _by_rule(code, http_status, message)
    return row


def _refuses(http_status: int | None) -> bool:
    """Whether a status says that nothing was accepted, whatever the code says."""
    return http_status is not None and 400 <= http_status < 500 and http_status not in (408, 429)


def _listed(code: str, http_status: int | None, message: str) -> ErrorRow | None:
    candidates = _EXACT.get(code.casefold(), [])
    for row in candidates:
        if row.only_http and http_status in row.http:
            return row
    for row in candidates:
        if not row.only_http and (row.text is None or re.search(row.text, message)):
            return row
    for row in _PREFIXES:
        if code.casefold().startswith(row.code[:-1].casefold()):
            return row
    return None


def _by_rule(code: str, http_status: int | None, message: str) -> ErrorRow:
    for prefix in ("Throttling", "InternalError"):
        row = _FALLBACK[f"{prefix}.*"]
        if code.casefold().startswith(prefix.casefold()) and not (row.unsure and _refuses(http_status)):
            return row
    # "DataInspectionFailed.Input" is one of what stands before its last part.
    parent = _listed(code.rpartition(".")[0], http_status, message)
    if parent is not None and not (parent.unsure and _refuses(http_status)):
        return parent
    if http_status == 403 and not code:
        # The service's own refusals have a code.
        return _FALLBACK["(403, no code)"]
    if (exact := _FALLBACK.get(f"({http_status})")) is not None:
        return exact
    if http_status is not None and 400 <= http_status < 500:
        return _FALLBACK["(4xx)"]
    if http_status is not None and http_status >= 500:
        return _FALLBACK["(5xx)"]
    if code.casefold().startswith("invalid"):
        return _FALLBACK["Invalid*"]
    return _FALLBACK["(other)" if code else "(no code)"]
