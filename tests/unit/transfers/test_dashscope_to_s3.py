"""Copying results to S3, run as Airflow runs it, from a local DashScope to a local S3."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException, Asset, AssetAlias

from airflow_provider_wanx.identity import identity_of
from airflow_provider_wanx.jobs.copying.gallery_marks import MARK
from airflow_provider_wanx.jobs.copying.result_metadata import AIRFLOW_TASK, AIRFLOW_TASK_INSTANCE, ownership
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.transfers.dashscope_to_s3 import DashScopeToS3Operator
from tests.unit.support.airflow import RUN_ID, DagRun
from tests.unit.support.airflow_names import alias_events, is_mapped, stored_dag
from tests.unit.support.s3 import Bucket, connection_json
from tests.unit.support.service import originals, submit_lighthouses
from tests.unit.support.tiny_cloud import File, TinyCloud
from tests.unit.transfers.copying import KEY, SAFE_RUN_ID, copy


class TestCopying:
    """Bytes, keys, metadata, manifest."""

    def test_the_object_is_the_services_file_byte_by_byte(
        self, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        (task_id,) = painted()
        copy(task_id, bucket.name).run_try()
        (key,) = bucket.keys()
        assert [bucket.body(key)] == originals(task_id)
        assert key == f"repainted/{SAFE_RUN_ID}/31_clay-world_{task_id}_0.jpg"

    def test_it_has_the_files_content_type_and_says_where_it_comes_from(
        self, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        (task_id,) = painted()
        copy(task_id, bucket.name).run_try()
        head = bucket.head(bucket.keys()[0])
        assert head["ContentType"] == "image/jpeg"
        assert head["Metadata"]["dashscope-task-id"] == task_id
        uuid.UUID(head["Metadata"]["dashscope-request-id"])

    def test_it_returns_a_manifest(self, painted: Callable[..., list[str]], bucket: Bucket) -> None:
        (task_id,) = painted()
        runner = copy(task_id, bucket.name)
        manifest = runner.run_try()
        (original,) = originals(task_id)
        assert manifest == [
            {
                "bucket": bucket.name,
                "key": bucket.keys()[0],
                "bytes": len(original),
                "sha256": hashlib.sha256(original).hexdigest(),
                "content_type": "image/jpeg",
                "dashscope_task_id": task_id,
                "index": 0,
                "source": None,
                "style": 31,
                "model": None,
                "written": True,
                "submit_time": manifest[0]["submit_time"],
                "end_time": manifest[0]["end_time"],
                "cost": 0.12,
            }
        ]
        for name in ("submit_time", "end_time"):
            time = datetime.fromisoformat(manifest[0][name])
            assert time.utcoffset() == timedelta(0)
            # The service tells its own time, eight hours ahead and with no offset.
            assert abs(datetime.now(UTC) - time) < timedelta(hours=1)
        assert runner.xcoms["return_value"] == manifest
        assert runner.xcoms[MARK] == {
            "version": 1,
            "kind": "copy",
            "images": 1,
            "cost": 0.12,
        }

    def test_every_result_of_a_task_is_copied(self, dashscope: BackgroundSimulator, bucket: Bucket) -> None:
        task_id = submit_lighthouses(3)
        dashscope.advance(9)
        manifest = copy(task_id, bucket.name, s3_key="{index}{extension}").run_try()
        assert [(entry["index"], entry["key"]) for entry in manifest] == [
            (0, "0.png"),
            (1, "1.png"),
            (2, "2.png"),
        ]
        assert [bucket.body(entry["key"]) for entry in manifest] == originals(task_id)

    def test_every_task_of_a_list_is_copied(self, painted: Callable[..., list[str]], bucket: Bucket) -> None:
        ids = painted(0, 3)
        manifest = copy(ids, bucket.name).run_try()
        assert [(entry["dashscope_task_id"], entry["style"]) for entry in manifest] == [
            (ids[0], 0),
            (ids[1], 3),
        ]
        assert sorted(entry["key"] for entry in manifest) == bucket.keys()

    def test_doing_it_again_gives_the_same_objects(
        self, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        runner = copy(painted(0, 3), bucket.name)
        first = runner.run_try()
        assert runner.run_try() == first
        assert len(bucket.keys()) == 2

    def test_the_file_gets_an_extension_by_its_type_where_its_url_has_none(
        self, set_connection: Callable[..., None], bucket: Bucket
    ) -> None:
        file = File(10, lambda _: iter([b"\x89PNG\r\n\x1a\n.."]), {"Content-Type": "image/png; charset=x"})
        with TinyCloud(file, name="result") as cloud:
            set_connection(
                "dashscope_default", {"conn_type": "dashscope", "host": cloud.url, "password": "sk-x"}
            )
            manifest = copy("id-1", bucket.name, s3_key="a/").run_try()
        assert [(entry["key"], entry["content_type"]) for entry in manifest] == [
            ("a/id-1_0.png", "image/png")
        ]

    def test_nothing_of_a_urls_signature_and_no_key_is_logged(
        self,
        dashscope: BackgroundSimulator,
        painted: Callable[..., list[str]],
        bucket: Bucket,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (task_id,) = painted()
        dashscope.add_fault(endpoint="result", kind="truncate", times=1)
        dashscope.add_fault(endpoint="result", kind="status", status=403, times=1)
        (runner := copy(task_id, bucket.name)).run_try()
        log = capsys.readouterr().out
        (entry,) = runner.xcoms["return_value"]
        copied = f"Copied result 0 of DashScope task {task_id} as s3://{bucket.name}/{entry['key']}"
        assert re.search(rf"{re.escape(copied)} \({entry['bytes']} bytes, \d+\.\d s\)\.", log)
        assert "Asking for its URL again" in log
        assert "Signature" not in log
        assert dashscope.api_key not in log

    def test_many_results_are_written_with_one_client(
        self, dashscope: BackgroundSimulator, bucket: Bucket
    ) -> None:
        task_id = submit_lighthouses(4)
        dashscope.advance(9)
        with mock.patch.object(
            S3Hook, "get_client_type", autospec=True, side_effect=S3Hook.get_client_type
        ) as made:
            assert len(copy(task_id, bucket.name).run_try()) == 4
        # One to check the bucket beforehand, which may be in another process, one to write.
        assert made.call_count == 2


class TestExistingKeys:
    """``replace``."""

    @pytest.fixture
    def taken(self, painted: Callable[..., list[str]], bucket: Bucket) -> str:
        """A task whose key is taken by something else."""
        (task_id,) = painted()
        bucket.put(f"{task_id}.jpg", b"something else")
        return task_id

    def test_an_object_is_replaced_by_default(self, taken: str, bucket: Bucket) -> None:
        (entry,) = copy(taken, bucket.name, s3_key="{dashscope_task_id}.jpg").run_try()
        assert entry["written"]
        assert [bucket.body(f"{taken}.jpg")] == originals(taken)

    def test_an_object_is_kept_and_described_as_it_is(self, taken: str, bucket: Bucket) -> None:
        (entry,) = copy(taken, bucket.name, s3_key="{dashscope_task_id}.jpg", replace="skip").run_try()
        assert (entry["written"], entry["bytes"]) == (False, len(b"something else"))
        assert entry["sha256"] == hashlib.sha256(b"something else").hexdigest()
        assert bucket.body(f"{taken}.jpg") == b"something else"

    def test_an_object_in_the_way_fails_the_task_without_retries(self, taken: str, bucket: Bucket) -> None:
        with pytest.raises(
            AirflowFailException, match=rf"^The key exists: s3://{bucket.name}/{taken}\.jpg\. Choose"
        ):
            copy(taken, bucket.name, s3_key="{dashscope_task_id}.jpg", replace=False).run_try()
        assert bucket.body(f"{taken}.jpg") == b"something else"

    def test_what_an_earlier_try_has_copied_is_not_in_the_way(
        self, dashscope: BackgroundSimulator, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        ids = painted(0, 3)
        runner = copy(ids, bucket.name, replace=False)
        dashscope.add_fault(endpoint="result", kind="truncate", after=1, times=4)
        with pytest.raises(AirflowException, match="broke off"):
            runner.run_try()
        assert len(bucket.keys()) == 1
        manifest = runner.run_try()
        assert [(entry["dashscope_task_id"], entry["written"]) for entry in manifest] == [
            (ids[0], False),
            (ids[1], True),
        ]

    def test_another_word_is_found_out_when_the_dag_is_parsed(self) -> None:
        with pytest.raises(ValueError, match="replace must be True, False or 'skip', not 'no'"):
            copy("id", replace="no")

    def test_two_results_with_one_key_are_found_out_before_the_first_is_written(
        self, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        with pytest.raises(
            AirflowFailException, match=r"the same key: .* Put {dashscope_task_id} and {index}"
        ):
            copy(painted(0, 3), bucket.name, s3_key="same{extension}").run_try()
        assert bucket.keys() == []


class TestArguments:
    """What is passed on to S3."""

    def test_encryption_acl_and_more_are_passed_on(
        self, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        metadata = {"project": "x", AIRFLOW_TASK_INSTANCE: "forged"}
        runner = copy(
            painted()[0],
            bucket.name,
            extra_args={
                "ServerSideEncryption": "AES256",
                "ACL": "public-read",
                "StorageClass": "STANDARD_IA",
                "Tagging": "team=faces",
                "Metadata": metadata,
            },
        )
        runner.run_try()
        (key,) = bucket.keys()
        head = bucket.head(key)
        assert (head["ServerSideEncryption"], head["StorageClass"]) == ("AES256", "STANDARD_IA")
        own = {
            "dashscope-task-id",
            "dashscope-request-id",
            "dashscope-style",
            AIRFLOW_TASK,
            AIRFLOW_TASK_INSTANCE,
        }
        assert head["Metadata"].keys() == {"project", *own}
        assert ownership(identity_of(runner.context()["ti"])).items() <= head["Metadata"].items()
        tags = bucket.client.get_object_tagging(Bucket=bucket.name, Key=key)["TagSet"]
        assert tags == [{"Key": "team", "Value": "faces"}]
        grants = bucket.client.get_object_acl(Bucket=bucket.name, Key=key)["Grants"]
        assert "READ" in {grant["Permission"] for grant in grants if "URI" in grant["Grantee"]}

    def test_a_key_of_ones_own_encrypts(self, painted: Callable[..., list[str]], bucket: Bucket) -> None:
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key-1"}
        copy(painted()[0], bucket.name, extra_args=extra).run_try()
        head = bucket.head(bucket.keys()[0])
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["SSEKMSKeyId"].endswith("key-1")

    def test_a_content_type_of_ones_own_goes_first(
        self, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        copy(painted()[0], bucket.name, extra_args={"ContentType": "image/pjpeg"}).run_try()
        assert bucket.head(bucket.keys()[0])["ContentType"] == "image/pjpeg"

    @pytest.mark.parametrize("waits", [True, False])
    def test_what_cannot_work_is_found_out_before_anything_is_waited_for(
        self, dashscope: BackgroundSimulator, bucket: Bucket, waits: bool
    ) -> None:
        mistakes: list[tuple[dict[str, Any], str]] = [
            (
                {"s3_bucket": "no-such-bucket"},
                "^The bucket does not exist: could not use bucket no-such-bucket",
            ),
            ({"s3_bucket": "no bucket!"}, "Invalid bucket name"),
            ({"s3_key": "{task_id}"}, r"s3_key has {task_id}, which is not known"),
            ({"extra_args": {"Encryption": "x"}}, "extra_args has Encryption, which boto3 does not know"),
            ({"dashscope_task_id": ""}, "dashscope_task_id is empty"),
            ({"dashscope_task_id": []}, "dashscope_task_id is empty"),
        ]
        for arguments, problem in mistakes:
            runner = copy("id", bucket.name, **{"wait_for_completion": waits, **arguments})
            with pytest.raises(AirflowFailException, match=problem):
                runner.run_try()
        assert dashscope.ledger(summary=True)["endpoints"] == {}

    def test_a_wrong_key_of_s3_is_told_without_it(
        self, dashscope: BackgroundSimulator, set_connection: Callable[..., None], unused_tcp_port: int
    ) -> None:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        set_connection("aws_nobody", connection_json(url, retries={"max_attempts": 0}))
        with pytest.raises(
            AirflowException, match=r"^Could not connect .*: could not use bucket bucket"
        ) as caught:
            copy("id", aws_conn_id="aws_nobody").run_try()
        assert not isinstance(caught.value, AirflowFailException)

    def test_arguments_are_templates(self, painted: Callable[..., list[str]], bucket: Bucket) -> None:
        (task_id,) = painted()
        runner = copy(
            "{{ ti.xcom_pull(task_ids='wait', map_indexes=-1) }}",
            "{{ '" + bucket.name + "' }}",
            s3_key="{{ run_id[:6] }}/{dashscope_task_id}{extension}",
            extra_args={"Tagging": "run={{ run_id[:6] }}"},
            aws_conn_id="{{ 'aws_default' }}",
            dashscope_conn_id="{{ 'dashscope_default' }}",
        )
        runner.run = DagRun(xcoms={("wait", -1): {"return_value": task_id}})
        runner.run_try()
        assert bucket.keys() == [f"{RUN_ID[:6]}/{task_id}.jpg"]

    def test_it_can_be_mapped_and_survives_airflows_serialization(self) -> None:
        with DAG("mapped") as dag:
            DashScopeToS3Operator.partial(task_id="copy", s3_bucket="b", s3_key=KEY, replace="skip").expand(
                dashscope_task_id=["a", "b"]
            )
        stored = stored_dag(dag)
        assert is_mapped(stored.get_task("copy"))
        unmapped = dag.get_task("copy").unmap({"dashscope_task_id": "b"})
        assert isinstance(unmapped, DashScopeToS3Operator)
        assert (unmapped.dashscope_task_id, unmapped.replace, unmapped.s3_key) == ("b", "skip", KEY)


class TestOutlets:
    """Asset events."""

    def test_an_asset_gets_the_manifest(self, painted: Callable[..., list[str]], bucket: Bucket) -> None:
        asset = Asset("s3://portraits")
        runner = copy(painted()[0], bucket.name, outlets=[asset])
        manifest = runner.run_try()
        assert runner.outlet_events[asset].extra == {"objects": manifest}

    def test_an_alias_gets_an_asset_for_every_object(
        self, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        alias = AssetAlias("portraits")
        runner = copy(painted(0, 3), bucket.name, outlets=[alias])
        manifest = runner.run_try()
        events = alias_events(runner.outlet_events[alias])
        assert [uri for uri, _ in events] == [f"s3://{bucket.name}/{entry['key']}" for entry in manifest]
        assert [extra["sha256"] for _, extra in events] == [entry["sha256"] for entry in manifest]
