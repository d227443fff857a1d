"""What the service's pages say of each error code, written out once more, by hand, from the facts and not from the code.

``YES``: back off and repeat. ``NO``: permanent. Where the text decides, ``unless`` holds a text that turns the answer, and
``text`` the text of a row that is for such texts only.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_wanx.dashscope.error_codes import ErrorKind

YES, NO = True, False


@dataclass(frozen=True)
class Expected:
    kind: ErrorKind
    code: str
    http: tuple[int, ...]
    retryable: bool
    unless: str = ""
    text: str = ""
    only_http: bool = False


def _all(kind: ErrorKind, http: int | tuple[int, ...], retryable: bool, *codes: str) -> list[Expected]:
    statuses = http if isinstance(http, tuple) else (http,)
    return [Expected(kind, code, statuses, retryable) for code in codes]


_TIMED_OUT = "Download the media resource timed out during the data inspection process."

_WRONG_FORMAT = "The media format is not supported or incorrect for the data inspection."
_BAD_OUTPUT = "Output data may contain inappropriate content."
_POLICY_EXPIRED = "Invalid according to Policy: Policy expired."
_NO_ASYNC = "current user api does not support asynchronous calls"
_NO_SYNC = "current user api does not support synchronous calls"
_FREE = "Free allocated quota exceeded."

ROWS: list[Expected] = [
    Expected(ErrorKind.INPUT, "InvalidParameter", (400,), NO, unless=_TIMED_OUT),
    Expected(ErrorKind.INPUT, "InvalidParameter", (400,), YES, text=_TIMED_OUT),
    *_all(ErrorKind.SERVICE, 500, YES, "ModelServingError"),
    Expected(ErrorKind.INPUT, "InvalidParameter.DataInspection", (400,), YES, unless=_WRONG_FORMAT),
    Expected(ErrorKind.INPUT, "InvalidParameter.DataInspection", (400,), NO, text=_WRONG_FORMAT),
    *_all(ErrorKind.INPUT, 400, NO, "BadRequest.EmptyInput", "BadRequest.EmptyParameters"),
    *_all(ErrorKind.INPUT, 400, NO, "BadRequest.EmptyModel", "BadRequest.IllegalInput"),
    *_all(ErrorKind.INPUT, (400, 415), YES, "BadRequest.InputDownloadFailed"),
    *_all(ErrorKind.INPUT, (400, 415), NO, "BadRequest.UnsupportedFileFormat"),
    *_all(ErrorKind.INPUT, (400, 413), NO, "BadRequest.TooLarge"),
    *_all(ErrorKind.NOT_FOUND, 400, NO, "BadRequest.ResourceNotExist"),
    *_all(ErrorKind.INPUT, 400, NO, "InvalidURL"),
    *_all(ErrorKind.INPUT, 400, YES, "InvalidURL.ConnectionRefused", "InvalidURL.Timeout"),
    *_all(ErrorKind.INPUT, 400, NO, "InvalidImageResolution", "InvalidImageFormat", "InvalidImage.ImageSize"),
    *_all(ErrorKind.INPUT, 400, NO, "InvalidImage.FileFormat", "InvalidImage.NoHumanFace"),
    *_all(ErrorKind.INPUT, 400, NO, "InvalidImage.*"),
    *_all(ErrorKind.INPUT, 400, YES, "InvalidFile.DownloadFailed"),
    *_all(ErrorKind.INPUT, 400, NO, "InvalidFile.*"),
    *_all(ErrorKind.INPUT, 400, NO, "InvalidPerson", "InvalidGarment", "InvalidInputLength", "InvalidSchema"),
    *_all(ErrorKind.INPUT, 400, NO, "InvalidSchemaFormat", "invalid_value"),
    Expected(
        ErrorKind.CONTENT,
        "DataInspectionFailed",
        (400,),
        NO,
        unless=_BAD_OUTPUT,
    ),
    Expected(ErrorKind.CONTENT, "DataInspectionFailed", (400,), YES, text=_BAD_OUTPUT),
    *_all(ErrorKind.CONTENT, 400, NO, "IPInfringementSuspect", "FaqRuleBlocked", "CustomRoleBlocked"),
    *_all(ErrorKind.BILLING, 400, NO, "Arrearage", "isv.OUT_OF_SERVICE"),
    *_all(ErrorKind.UNSUPPORTED, 400, NO, "UnsupportedOperation"),
    Expected(ErrorKind.BILLING, "Throttling.AllocationQuota", (400,), NO, only_http=True),
    *_all(ErrorKind.INPUT, 400, NO, "FlowNotPublished"),
    *_all(ErrorKind.SERVICE, 400, NO, "ClientDisconnect"),
    Expected(ErrorKind.INPUT, "ServiceUnavailableError", (400,), NO, only_http=True),
    *_all(ErrorKind.AUTHENTICATION, 401, NO, "InvalidApiKey", "NOT AUTHORIZED"),
    *_all(ErrorKind.AUTHENTICATION, 401, NO, "invalid access token or token expired"),
    Expected(
        ErrorKind.PERMISSION,
        "AccessDenied",
        (403,),
        NO,
        unless=_POLICY_EXPIRED,
    ),
    Expected(ErrorKind.PERMISSION, "AccessDenied", (403,), YES, text=_POLICY_EXPIRED),
    Expected(ErrorKind.UNSUPPORTED, "AccessDenied", (403,), NO, text=_NO_ASYNC),
    Expected(ErrorKind.UNSUPPORTED, "AccessDenied", (403,), NO, text=_NO_SYNC),
    *_all(ErrorKind.BILLING, 403, NO, "AccessDenied.Unpurchased", "AllocationQuota.FreeTierOnly"),
    *_all(ErrorKind.PERMISSION, 403, NO, "Model.AccessDenied", "App.AccessDenied", "Workspace.AccessDenied"),
    *_all(ErrorKind.PERMISSION, 403, NO, "Endpoint.AccessDenied"),
    *_all(
        ErrorKind.NOT_FOUND, 404, NO, "ModelNotFound", "model_not_supported", "WorkSpaceNotFound", "NotFound"
    ),
    *_all(ErrorKind.SERVICE, (408, 500), YES, "RequestTimeOut"),
    *_all(ErrorKind.INPUT, 409, NO, "Conflict"),
    *_all(ErrorKind.THROTTLING, 429, YES, "Throttling", "Throttling.RateQuota", "LimitRequests"),
    *_all(ErrorKind.THROTTLING, 429, YES, "Throttling.BurstRate", "Throttling.Concurrency"),
    Expected(
        ErrorKind.THROTTLING,
        "Throttling.AllocationQuota",
        (429,),
        YES,
        unless=_FREE,
    ),
    Expected(ErrorKind.BILLING, "Throttling.AllocationQuota", (429,), NO, text=_FREE),
    *_all(ErrorKind.THROTTLING, 429, YES, "Throttling.ServiceOverloaded", "Throttling.ResourceExhausted"),
    *_all(ErrorKind.BILLING, 429, NO, "CommodityNotPurchased", "PrepaidBillOverdue", "PostpaidBillOverdue"),
    *_all(ErrorKind.BILLING, 429, NO, "BudgetLimitExceeded"),
    *_all(ErrorKind.INPUT, 430, NO, "Audio.*"),
    *_all(ErrorKind.SERVICE, 500, YES, "InternalError"),
    Expected(ErrorKind.SERVICE, "InternalError.Algo", (500,), YES, unless="list index out of range"),
    Expected(ErrorKind.INPUT, "InternalError.Algo", (500,), NO, text="list index out of range"),
    *_all(ErrorKind.INPUT, (500, 400), NO, "InternalError.Algo.InvalidParameter"),
    *_all(ErrorKind.SERVICE, 500, NO, "InternalError.Timeout"),
    *_all(ErrorKind.SERVICE, 500, YES, "InternalError.FileUpload", "InternalError.Upload", "SystemError"),
    *_all(ErrorKind.SERVICE, 500, YES, "ModelServiceFailed", "InvokePluginFailed", "AppProcessFailed"),
    *_all(ErrorKind.SERVICE, 500, YES, "RewriteFailed", "RetrivalFailed", "ResponseTimeout"),
    *_all(ErrorKind.THROTTLING, (500, 503), YES, "ServiceUnavailable", "ServiceUnavailableError"),
    *_all(ErrorKind.THROTTLING, 503, YES, "ModelUnavailable"),
]

# Every member of the families that the pages or recordings name.
FAMILIES: dict[str, tuple[str, ...]] = {
    "InvalidFile.*": (
        "AudioLengthError", "NoHuman", "MultiHuman", "BodyProportion", "FacePose", "FullFace", "FrontBody", "FullBody",
        "BodyPose", "FaceNotMatch", "Resolution", "FPS", "Value", "Content", "Size", "Duration", "ImageSize",
        "AspectRatio", "Openerror", "Format", "Template.Content",
    ),
    "InvalidImage.*": ("FullFace", "NoHuman"),
    "Audio.*": ("DecoderError", "ShortAudio"),
}  # fmt: skip

ALIASES = {
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

# The rule, an error that it is for (code and status), and what follows.
FALLBACKS: dict[str, tuple[str, int | None, ErrorKind, bool]] = {
    "Throttling.*": ("Throttling.NewReason", 400, ErrorKind.THROTTLING, YES),
    "InternalError.*": ("InternalError.NewReason", None, ErrorKind.SERVICE, YES),
    "(401)": ("NewCode", 401, ErrorKind.AUTHENTICATION, NO),
    "(403)": ("NewCode", 403, ErrorKind.PERMISSION, NO),
    "(403, no code)": ("", 403, ErrorKind.PERMISSION, NO),
    "(402)": ("", 402, ErrorKind.BILLING, NO),
    "(404)": ("NewCode", 404, ErrorKind.NOT_FOUND, NO),
    "(405)": ("", 405, ErrorKind.PERMISSION, NO),
    "(407)": ("", 407, ErrorKind.PERMISSION, NO),
    "(413)": ("", 413, ErrorKind.INPUT, NO),
    "(408)": ("", 408, ErrorKind.SERVICE, YES),
    "(429)": ("", 429, ErrorKind.THROTTLING, YES),
    "(4xx)": ("NewCode", 422, ErrorKind.INPUT, NO),
    "(5xx)": ("", 502, ErrorKind.SERVICE, YES),
    "Invalid*": ("InvalidVideo.Length", None, ErrorKind.INPUT, NO),
    "(no code)": ("", None, ErrorKind.SERVICE, NO),
    "(other)": ("NewCode", None, ErrorKind.SERVICE, NO),
}

# After these answers the service may have accepted the work: its own trouble, and codes that nobody knows.
MAY_HAVE_ACTED = {
    "RequestTimeOut", "InternalError", "InternalError.Algo", "InternalError.Timeout", "InternalError.FileUpload",
    "InternalError.Upload", "SystemError", "ModelServingError", "ModelServiceFailed", "InvokePluginFailed", "AppProcessFailed",
    "RewriteFailed", "RetrivalFailed", "ResponseTimeout", "InternalError.*", "(408)", "(5xx)", "(other)",
    "(no code)",
}  # fmt: skip
