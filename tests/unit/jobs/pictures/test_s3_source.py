"""How pictures in S3 are made reachable for the service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
import pytest

from airflow_provider_wanx.dashscope.config import QUEUE_TIMEOUT_SECONDS
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.hooks.storage import image_source
from airflow_provider_wanx.jobs.pictures.image_source import Picture
from airflow_provider_wanx.jobs.pictures.s3_source import PRESIGNED_FOR_SECONDS
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.pictures import picture
from tests.unit.support.s3 import Bucket, connection_json
from tests.unit.support.signed_s3 import SignedS3, signed_s3

Open = Callable[..., Picture]
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}


@pytest.fixture
def open_image() -> Iterator[Open]:
    with DashScopeHook() as hook:

        def open_(image: str, **more: Any) -> Picture:
            given = {
                "model": "wanx-style-repaint-v1",
                "aws_conn_id": "aws_default",
                "transfer": "link",
                **more,
            }
            source = image_source(client=hook.get_conn, rule=ANYWHERE, **given)
            return source.open(image, field="image")

        yield open_


@pytest.fixture
def only_v4(s3_url: str, set_connection: Callable[..., None]) -> Iterator[SignedS3]:
    """A store over HTTP. The fixture of the local S3 makes clients faster to make."""
    with signed_s3() as s3:
        set_connection("aws_default", connection_json(s3.url))
        yield s3


def expires(url: str) -> int:
    return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])


@pytest.mark.parametrize("key", ["a.png", "people/ä b?&+%20=~.png", "a//b.png"])
def test_a_store_that_takes_version_4_alone_takes_the_link(
    only_v4: SignedS3, open_image: Open, key: str
) -> None:
    opened = open_image(only_v4.put(f"bucket/{key}", picture()))
    answer = httpx.get(opened.publish(), trust_env=False)
    assert (answer.status_code, answer.content) == (200, picture())
    assert opened.doubts == ()


def test_the_store_of_that_test_refuses_version_2_and_a_changed_address(only_v4: SignedS3) -> None:
    only_v4.put("bucket/a.png", picture())
    refused = httpx.get(
        f"{only_v4.url}/bucket/a.png?AWSAccessKeyId=x&Signature=y&Expires=9999999999", trust_env=False
    )
    assert (refused.status_code, "InvalidRequest" in refused.text) == (400, True)
    client = boto3.client("s3", endpoint_url=only_v4.url, region_name="eu-central-1", **KEYS)
    good = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "a.png"})
    assert httpx.get(good, trust_env=False).status_code == 200
    assert httpx.get(good.replace("Expires=3600", "Expires=3601"), trust_env=False).status_code == 403


@pytest.mark.parametrize("key", ["photo.heic", "photo", "photo.png"])
def test_the_store_answers_a_link_with_the_type_of_the_content(
    only_v4: SignedS3, open_image: Open, key: str
) -> None:
    opened = open_image(only_v4.put(f"bucket/{key}", picture(kind="JPEG"), "image/heic"))
    assert httpx.get(opened.publish(), trust_env=False).headers["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("region", "name", "place"),
    [
        ("ap-east-1", "portraits-hk", "portraits-hk.s3.ap-east-1.amazonaws.com/"),
        ("us-east-1", "portraits-us", "portraits-us.s3.us-east-1.amazonaws.com/"),
        ("eu-central-1", "portraits.eu", "s3.eu-central-1.amazonaws.com/portraits.eu/"),
        ("cn-north-1", "portraits-cn", "portraits-cn.s3.cn-north-1.amazonaws.com.cn/"),
    ],
)
def test_a_link_leads_to_the_host_of_the_buckets_own_region(
    s3_url: str, set_connection: Callable[..., None], open_image: Open, region: str, name: str, place: str
) -> None:
    client = boto3.client("s3", region_name=region, **KEYS)
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    client.create_bucket(Bucket=name, **location)
    client.put_object(Bucket=name, Key="a.png", Body=picture())
    # The region of the connection is another one, within what one account reaches.
    elsewhere = "cn-northwest-1" if region.startswith("cn-") else "us-west-2"
    extra = {"region_name": elsewhere}
    set_connection(
        "aws_default",
        json.dumps({"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}),
    )
    url = open_image(f"s3://{name}/a.png").publish()
    assert url.startswith(f"https://{place}a.png?")
    assert f"%2F{region}%2Fs3%2Faws4_request" in url


class TestCredentials:
    """A URL ends with the credentials that have signed it."""

    @pytest.fixture
    def credentials_for(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        only_v4: SignedS3,
        set_connection: Callable[..., None],
    ) -> Callable[[float], None]:
        """Let the AWS connection find credentials that end, as those of a role do."""

        def make(seconds: float) -> None:
            end = datetime.now(UTC) + timedelta(seconds=seconds)
            keys = {"AccessKeyId": "A", "SecretAccessKey": "testing", "SessionToken": "t", "Version": 1}
            (tmp_path / "keys").write_text(json.dumps({**keys, "Expiration": end.isoformat()}))
            (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path}/keys\n")
            extra = json.loads(connection_json(only_v4.url))["extra"]
            set_connection("aws_default", json.dumps({"conn_type": "aws", "extra": extra}))

        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        return make

    def test_a_link_ends_no_later_than_they_do_and_the_log_says_so(
        self, only_v4: SignedS3, open_image: Open, credentials_for: Callable[[float], None]
    ) -> None:
        credentials_for(40 * 60)
        opened = open_image(only_v4.put("bucket/a.png", picture()))
        url = opened.publish()
        # Not long ago there were 40 minutes left.
        assert expires(url) <= 40 * 60
        assert expires(url) > 20 * 60
        assert httpx.get(url, trust_env=False).status_code == 200
        (doubt,) = opened.doubts
        assert "with the credentials of the AWS connection" in doubt
        assert "image_transfer='upload'" in doubt

    def test_credentials_that_live_longer_than_the_queue_leave_no_doubt(
        self, only_v4: SignedS3, open_image: Open, credentials_for: Callable[[float], None]
    ) -> None:
        credentials_for(2 * PRESIGNED_FOR_SECONDS)
        opened = open_image(only_v4.put("bucket/a.png", picture()))
        assert expires(opened.publish()) == PRESIGNED_FOR_SECONDS > QUEUE_TIMEOUT_SECONDS
        assert opened.doubts == ()

    def test_a_session_token_leaves_a_doubt(
        self, only_v4: SignedS3, set_connection: Callable[..., None], open_image: Open
    ) -> None:
        given = json.loads(connection_json(only_v4.url))
        given["extra"]["aws_session_token"] = "token"
        set_connection("aws_default", json.dumps(given))
        (doubt,) = open_image(only_v4.put("bucket/a.png", picture())).doubts
        assert "session token" in doubt

    def test_many_pictures_of_a_bucket_share_one_doubt(
        self, only_v4: SignedS3, credentials_for: Callable[[float], None]
    ) -> None:
        credentials_for(40 * 60)
        with DashScopeHook() as hook:
            source = image_source(
                client=hook.get_conn, model="m", aws_conn_id="aws_default", rule=ANYWHERE, transfer="link"
            )
            urls = [only_v4.put(f"bucket/{number}.png", picture()) for number in range(5)]
            doubts = [doubt for url in urls for doubt in source.open(url, field="image").doubts]
        assert len(doubts) == 1


def test_a_picture_may_be_uploaded_instead_of_linked(
    dashscope: BackgroundSimulator, bucket: Bucket, open_image: Open
) -> None:
    place = bucket.put("people/photo.heic", picture(kind="JPEG"))
    linked, uploaded = open_image(place), open_image(place, transfer="upload")
    # A change of the way is no other picture, and is not paid for again.
    assert linked.identity == uploaded.identity
    url = uploaded.publish()
    assert url.startswith("oss://")
    assert url.endswith("photo.jpg")
    assert dashscope.ledger(summary=True)["endpoints"]["upload"]["requests"] == 1
