"""Copying what has not ended, does not arrive, is gone, or is large."""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_wanx.dashscope.client import DashScopeClient
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.s3 import Bucket, connection_json
from tests.unit.support.service import originals, states, submit_lighthouses, submit_repaints, totals
from tests.unit.support.tiny_cloud import File, TinyCloud, plain_body
from tests.unit.transfers.copying import copy


class TestWaiting:
    """Tasks that have not ended."""

    def test_it_fails_with_advice_and_may_be_retried(
        self, connect_dashscope: Callable[..., BackgroundSimulator], bucket: Bucket
    ) -> None:
        simulator = connect_dashscope(speed=0.01, submit_rate=0, task_rate=0)
        (task_id,) = submit_repaints(simulator, 3)
        with pytest.raises(
            AirflowException, match="Wait for it with DashScopeTaskSensor or wait_for_comp"
        ) as caught:
            copy(task_id, bucket.name).run_try()
        assert not isinstance(caught.value, AirflowFailException)
        assert task_id in str(caught.value)

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_it_waits_where_asked_to(
        self, dashscope: BackgroundSimulator, bucket: Bucket, deferrable: bool
    ) -> None:
        ids = submit_repaints(dashscope, 0, 3)
        runner = copy(ids, bucket.name, wait_for_completion=True, deferrable=deferrable)
        assert len(runner.run_try()) == 2
        assert len(runner.events) == int(deferrable)

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_a_wait_out_of_time_cancels_nothing_unless_told_to(
        self, connect_dashscope: Callable[..., BackgroundSimulator], bucket: Bucket, deferrable: bool
    ) -> None:
        simulator = connect_dashscope(speed=0.01, submit_rate=0, task_rate=0)
        ids = submit_repaints(simulator, 0, 3)
        runner = copy(ids, bucket.name, wait_for_completion=True, deferrable=deferrable, wait_timeout=0.2)
        with pytest.raises(AirflowException):
            runner.run_try()
        assert states(simulator) == ["RUNNING", "PENDING"]


class TestTrouble:
    """Downloads that break, addresses that expire, tasks that are gone."""

    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "truncate"},
            {"kind": "reset"},
            {"kind": "empty"},
            {"kind": "garbage"},
            {"kind": "status", "status": 503},
            {"kind": "status", "status": 403, "code": "AccessDenied", "message": "Request has expired."},
            {"kind": "status", "status": 404, "code": "NoSuchKey"},
        ],
        ids=lambda fault: f"{fault['kind']}{fault.get('status', '')}",
    )
    def test_a_download_that_fails_is_begun_anew_with_a_fresh_url(
        self,
        dashscope: BackgroundSimulator,
        painted: Callable[..., list[str]],
        bucket: Bucket,
        fault: dict[str, Any],
    ) -> None:
        (task_id,) = painted()
        dashscope.add_fault(endpoint="result", times=2, **fault)
        (entry,) = copy(task_id, bucket.name).run_try()
        assert bucket.keys() == [entry["key"]]
        assert dashscope.ledger()["tasks"][0]["polls"] == 3
        assert [bucket.body(entry["key"])] == originals(task_id)

    def test_an_address_that_has_really_expired_is_fetched_anew(
        self, connect_dashscope: Callable[..., BackgroundSimulator], bucket: Bucket
    ) -> None:
        simulator = connect_dashscope(speed=1, submit_rate=0, task_rate=0, url_lifetime=60)
        (task_id,) = submit_repaints(simulator, 3)
        simulator.advance(9)
        runner = copy(task_id, bucket.name)
        original = DashScopeClient.get_task
        looks: list[str] = []

        def look_and_dawdle(client: DashScopeClient, wanted: str) -> Any:
            task = original(client, wanted)
            if not looks:
                simulator.advance(61)
            looks.append(wanted)
            return task

        with mock.patch.object(DashScopeClient, "get_task", autospec=True, side_effect=look_and_dawdle):
            assert len(runner.run_try()) == 1
        assert len(looks) == 2

    def test_a_download_that_never_succeeds_leaves_no_object_and_may_be_retried(
        self, dashscope: BackgroundSimulator, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        (task_id,) = painted()
        dashscope.add_fault(endpoint="result", kind="truncate")
        with pytest.raises(
            AirflowException, match=rf"result 0 of DashScope task {task_id} broke off"
        ) as caught:
            copy(task_id, bucket.name).run_try()
        assert not isinstance(caught.value, AirflowFailException)
        assert bucket.keys() == []

    def test_a_task_that_has_expired_is_a_permanent_error(
        self, dashscope: BackgroundSimulator, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        (task_id,) = painted()
        dashscope.advance(25 * 3600)
        with pytest.raises(AirflowFailException, match="deleted 24 hours after they were made"):
            copy(task_id, bucket.name).run_try()
        assert bucket.keys() == []

    def test_a_task_that_expires_between_two_downloads_is_a_permanent_error(
        self, dashscope: BackgroundSimulator, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        (task_id,) = painted()
        dashscope.add_fault(endpoint="get_task", kind="unknown", after=1)
        dashscope.add_fault(endpoint="result", kind="status", status=403)
        with pytest.raises(AirflowFailException, match=f"{task_id} is UNKNOWN"):
            copy(task_id, bucket.name).run_try()

    def test_of_a_list_all_that_succeeded_is_copied_before_the_failure_of_the_others_is_told(
        self, dashscope: BackgroundSimulator, bucket: Bucket
    ) -> None:
        dashscope.add_fault(endpoint="job", kind="outcome", outcome="FAILED", code="InvalidURL", style=1)
        ids = submit_repaints(dashscope, 0, 1, 3)
        runner = copy(ids, bucket.name, wait_for_completion=False)
        dashscope.advance(9)
        dashscope.advance(9)
        dashscope.advance(9)
        with pytest.raises(
            AirflowFailException, match=rf"{ids[1]} is FAILED .*2 other task\(s\) succeeded"
        ) as caught:
            runner.run_try()
        assert "To submit again, clear the Airflow task that submitted it, and all after it." in str(
            caught.value
        )
        manifest = runner.xcoms["return_value"]
        assert [entry["dashscope_task_id"] for entry in manifest] == [ids[0], ids[2]]
        assert sorted(entry["key"] for entry in manifest) == bucket.keys()

    def test_one_result_that_cannot_be_had_does_not_keep_the_others_from_being_copied(
        self, dashscope: BackgroundSimulator, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        ids = painted(0, 1, 3)
        dashscope.add_fault(endpoint="result", kind="status", status=500, after=1, times=4)
        runner = copy(ids, bucket.name)
        with pytest.raises(AirflowException, match=f"result 0 of DashScope task {ids[1]}") as caught:
            runner.run_try()
        assert not isinstance(caught.value, AirflowFailException)
        assert [entry["dashscope_task_id"] for entry in runner.xcoms["return_value"]] == [ids[0], ids[2]]
        assert len(runner.run_try()) == 3

    def test_a_part_that_failed_at_the_service_is_logged_and_the_rest_copied(
        self, dashscope: BackgroundSimulator, bucket: Bucket, capsys: pytest.CaptureFixture[str]
    ) -> None:
        dashscope.add_fault(
            endpoint="job", kind="outcome", outcome="PARTIAL", code="DataInspectionFailed", message="Bad."
        )
        task_id = submit_lighthouses(3)
        dashscope.advance(9)
        assert len(copy(task_id, bucket.name).run_try()) == 2
        assert re.search(
            rf"Part results\[2\] of DashScope task {task_id} failed: DataInspectionFailed: Bad\.",
            capsys.readouterr().out,
        )

    def test_what_s3_refuses_ends_it_at_once(
        self, dashscope: BackgroundSimulator, painted: Callable[..., list[str]], bucket: Bucket
    ) -> None:
        ids = painted(0, 3)
        runner = copy(ids, bucket.name, extra_args={"StorageClass": "NO_SUCH_CLASS"})
        with pytest.raises(
            AirflowFailException, match=rf": could not write s3://{bucket.name}/.* \(InvalidStorageCla"
        ):
            runner.run_try()
        assert totals(dashscope)["downloads"] == 1
        assert runner.xcoms["return_value"] == []

    def test_a_success_without_any_result_is_told(
        self, set_connection: Callable[..., None], bucket: Bucket
    ) -> None:
        with TinyCloud(None) as cloud:
            set_connection(
                "dashscope_default", {"conn_type": "dashscope", "host": cloud.url, "password": "sk-x"}
            )
            with pytest.raises(
                AirflowException, match="id-1 has succeeded, yet its answer holds no result URL"
            ):
                copy("id-1", bucket.name).run_try()

    def test_what_is_no_picture_does_not_become_one_in_the_bucket(
        self, set_connection: Callable[..., None], bucket: Bucket
    ) -> None:
        page = b"<html>Please sign in</html>"
        with TinyCloud(File(len(page), lambda _: iter([page]))) as cloud:
            set_connection(
                "dashscope_default", {"conn_type": "dashscope", "host": cloud.url, "password": "sk-x"}
            )
            with pytest.raises(AirflowException, match="is no picture: it begins with b'<html>Please'"):
                copy("id-1", bucket.name).run_try()
            assert cloud.downloads == 4
        assert bucket.keys() == []


FILM = {"Content-Type": "video/mp4"}


class TestLargeFiles:
    """Files of many parts."""

    SIZE = 48 * 1024 * 1024

    @pytest.fixture
    def large(self) -> Iterator[TinyCloud]:
        with TinyCloud(File(self.SIZE, lambda _: plain_body(self.SIZE), FILM), name="film.mp4") as cloud:
            yield cloud

    def test_memory_does_not_grow_with_the_file(
        self, large: TinyCloud, set_connection: Callable[..., None]
    ) -> None:
        set_connection("dashscope_default", {"conn_type": "dashscope", "host": large.url, "password": "sk-x"})
        set_connection("aws_default", connection_json(large.url))
        runner = copy("id-1")
        tracemalloc.start()
        try:
            (entry,) = runner.run_try()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        (upload,) = large.uploads.values()
        assert (entry["bytes"], upload.size, upload.done) == (self.SIZE, self.SIZE, True)
        assert entry["sha256"] == upload.digest.hexdigest()
        # A part of 8 MiB, twice at the moment in which it is put together, and what two web servers need.
        assert peak < 24 * 1024 * 1024

    @pytest.mark.parametrize("announced", [True, False])
    def test_a_break_after_the_first_parts_leaves_neither_object_nor_parts(
        self, set_connection: Callable[..., None], bucket: Bucket, announced: bool
    ) -> None:
        size = 20 * 1024 * 1024
        headers = {"Content-Type": "video/mp4", "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
        file = File(
            size if announced else None,
            lambda _: plain_body(size // 2 if announced else size),
            headers if not announced else {"Content-Type": "video/mp4"},
        )
        with TinyCloud(file, name="film.mp4") as cloud:
            set_connection(
                "dashscope_default", {"conn_type": "dashscope", "host": cloud.url, "password": "sk-x"}
            )
            with pytest.raises(AirflowException, match=r"broke off after|was damaged on the way"):
                copy("id-1", bucket.name).run_try()
        assert bucket.keys() == []
        assert bucket.unfinished() == []

    def test_a_break_is_mended_by_beginning_anew(
        self, set_connection: Callable[..., None], bucket: Bucket
    ) -> None:
        size = 12 * 1024 * 1024
        broken = {1: size - 1, 2: size // 2}
        file = File(size, lambda number: plain_body(broken.get(number, size)), FILM)
        with TinyCloud(file, name="film.mp4") as cloud:
            set_connection(
                "dashscope_default", {"conn_type": "dashscope", "host": cloud.url, "password": "sk-x"}
            )
            (entry,) = copy("id-1", bucket.name).run_try()
            assert cloud.downloads == 3
        assert entry["bytes"] == bucket.head(entry["key"])["ContentLength"] == size
        assert bucket.unfinished() == []
