"""Errors of S3, each as one sentence that says what could not be done and why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_wanx.dashscope.errors import S3Error

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_REASONS = {
    "NoSuchBucket": "The bucket does not exist",
    "NoSuchKey": "The object does not exist",
    "InvalidRange": "The object is empty",
    "AccessDenied": "The AWS connection may not do this",
    "InvalidAccessKeyId": "The AWS connection's key is wrong",
    "SignatureDoesNotMatch": "The AWS connection's secret is wrong",
    "403": "The AWS connection may not do this",
    "404": "The bucket or the object does not exist",
}

_ADVICE = {"NoSuchBucket": " Create it, or correct its name."}

_CHECKSUMS = re.compile(
    r"aws-chunked|chunked|trailer|streaming-|x-amz-(content-sha256|checksum|sdk-checksum|decoded)",
    re.IGNORECASE,
)
_CHECKSUM_CODES = (
    "XAmzContentSHA256Mismatch",
    "NotImplemented",
    "MissingContentLength",
    "InvalidChunkSizeError",
)
_CHECKSUM_ADVICE = (
    " Stores that speak S3 may not know the checksums that boto3 sends with an object (aws-chunked): put "
    '{"config_kwargs": {"request_checksum_calculation": "when_required"}} into the extra of the AWS connection.'
)

_PASSING = {
    "ExpiredToken",
    "NoSuchUpload",
    "OperationAborted",
    "PreconditionFailed",
    "RequestTimeout",
    "TooManyRequests",
}
"""Codes of answers 4xx that a later try need not meet again."""


def lacks_reason(error: ClientError) -> bool:
    """Tell whether the text of a refusal was lost: boto takes the HTTP status for the code then. HEAD has none in any case."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code.isdecimal() and not error.operation_name.startswith("Head")


@contextmanager
def s3_errors(what: str) -> Iterator[None]:
    """Turn boto's errors into one sentence.

    :param what: what is being done, for example ``"write s3://bucket/key"``.
    :raises S3Error: boto's error, with the reason first; not retryable where S3 has said a plain no.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        code = str(said.get("Code", ""))
        if code == "404" and error.operation_name == "HeadBucket":
            # An answer without a body, in which only the request tells what is missing.
            code = "NoSuchBucket"
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        reason = _REASONS.get(code) or str(said.get("Message") or "S3 gave no reason").rstrip(".")
        advice = _ADVICE.get(code, "")
        if error.operation_name in ("PutObject", "UploadPart") and (
            code in _CHECKSUM_CODES or _CHECKSUMS.search(reason)
        ):
            advice = _CHECKSUM_ADVICE
        raise S3Error(
            f"{reason}: could not {what} ({code}, HTTP {status}).{advice}",
            retryable=code in _PASSING
            or lacks_reason(error)
            or (code not in _REASONS and not 400 <= status < 500 and status != 501),
            code=code,
        ) from error
    except (NoCredentialsError, ParamValidationError) as error:
        raise S3Error(f"{str(error).rstrip('.')}: could not {what}.", retryable=False) from error
    except BotoCoreError as error:
        raise S3Error(f"{str(error).rstrip('.')}: could not {what}.", retryable=True) from error
