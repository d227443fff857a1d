"""Plain errors of S3."""

from __future__ import annotations

import uuid

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from airflow_provider_wanx.dashscope.errors import InvalidInputError, S3Error
from airflow_provider_wanx.s3.error_messages import s3_errors
from tests.unit.support.s3 import Bucket


def refusal(code: str, status: int, message: str = "Because", *, operation: str = "PutObject") -> ClientError:
    """What boto raises when S3 says no."""
    answer = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {
            "HTTPStatusCode": status,
            "HTTPHeaders": {},
            "RequestId": "",
            "HostId": "",
            "RetryAttempts": 0,
        },
    }
    return ClientError(answer, operation)


@pytest.mark.parametrize(
    ("code", "status", "reason", "retryable"),
    [
        ("NoSuchBucket", 404, "The bucket does not exist", False),
        ("NoSuchKey", 404, "The object does not exist", False),
        ("AccessDenied", 403, "The AWS connection may not do this", False),
        ("InvalidAccessKeyId", 403, "The AWS connection's key is wrong", False),
        ("SignatureDoesNotMatch", 403, "The AWS connection's secret is wrong", False),
        ("InvalidRange", 416, "The object is empty", False),
        ("EntityTooLarge", 400, "Because", False),
        ("ExpiredToken", 400, "Because", True),
        ("NoSuchUpload", 404, "Because", True),
        ("RequestTimeout", 400, "Because", True),
        ("OperationAborted", 409, "Because", True),
        ("SlowDown", 503, "Because", True),
        ("InternalError", 500, "Because", True),
    ],
)
def test_an_answer_becomes_one_sentence_and_says_whether_to_try_again(
    code: str, status: int, reason: str, retryable: bool
) -> None:
    with pytest.raises(S3Error) as caught, s3_errors("write s3://bucket/key"):
        raise refusal(code, status)
    told = f"{reason}: could not write s3://bucket/key ({code}, HTTP {status})."
    assert str(caught.value).removesuffix(" Create it, or correct its name.") == told
    assert caught.value.retryable is retryable


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_whose_text_was_lost_may_be_tried_again_and_one_that_never_has_any_is_believed(
    status: int,
) -> None:
    told = {}
    for operation in ("HeadObject", "GetObject"):
        with pytest.raises(S3Error) as caught, s3_errors("read it"):
            raise refusal(str(status), status, operation=operation)
        told[operation] = caught.value.retryable
    assert told == {"HeadObject": False, "GetObject": True}


def test_an_answer_without_a_word_is_an_error_too() -> None:
    with pytest.raises(S3Error, match=r"^S3 gave no reason: could not read it"), s3_errors("read it"):
        raise ClientError({}, "GetObject")


def test_a_missing_bucket_on_a_real_server_is_a_permanent_error(bucket: Bucket) -> None:
    with (
        pytest.raises(S3Error, match=r"^The bucket does not exist: .* Create it") as caught,
        s3_errors("use bucket nowhere"),
    ):
        bucket.client.head_bucket(Bucket=f"nowhere-{uuid.uuid4()}")
    assert not caught.value.retryable


def test_a_server_that_cannot_be_reached_may_be_tried_again(unused_tcp_port: int) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{unused_tcp_port}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(retries={"max_attempts": 0}, proxies={}),
    )
    with pytest.raises(S3Error, match="Could not connect to the endpoint") as caught, s3_errors("use it"):
        client.head_bucket(Bucket="bucket")
    assert caught.value.retryable


def test_missing_credentials_are_a_permanent_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    client = boto3.session.Session().client(
        "s3", endpoint_url="http://127.0.0.1:1", region_name="us-east-1", config=Config(proxies={})
    )
    with pytest.raises(S3Error, match="Unable to locate credentials") as caught, s3_errors("use it"):
        client.head_bucket(Bucket="bucket")
    assert not caught.value.retryable


def test_a_name_that_no_bucket_can_have_is_a_permanent_error(bucket: Bucket) -> None:
    with pytest.raises(S3Error, match="Invalid bucket name") as caught, s3_errors("use it"):
        bucket.client.head_bucket(Bucket="not a bucket!")
    assert not caught.value.retryable


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(InvalidInputError, match="mine"), s3_errors("do it"):
        raise InvalidInputError("mine")
