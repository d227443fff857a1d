"""A destination that does not exist is found before a picture is paid for."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wanx.operators.wanx import WanxStyleRepaintOperator
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.operators.painting import paint
from tests.unit.support.airflow import TaskRunner
from tests.unit.support.s3 import Bucket, connection_json
from tests.unit.support.service import totals


def repaint(image: str, result_bucket: str) -> TaskRunner[WanxStyleRepaintOperator]:
    return TaskRunner(
        lambda: WanxStyleRepaintOperator(
            task_id="repaint", image=image, style="fresh", result_bucket=result_bucket
        )
    )


def test_with_a_bucket_that_does_not_exist_nothing_is_submitted(
    dashscope: BackgroundSimulator, bucket: Bucket
) -> None:
    message = r"^The bucket does not exist: could not use bucket nowhere .* Create it, or correct its name\."
    for runner in (repaint(dashscope.portrait_url, "nowhere"), paint(result_bucket="nowhere")):
        with pytest.raises(AirflowFailException, match=message):
            runner.run_try()
        # Nor does a record say that something might have been submitted.
        assert runner.store is not None
        assert runner.store.values == {}
    assert dashscope.ledger(summary=True)["endpoints"] == {}


def test_with_one_that_exists_it_is_submitted_and_the_name_may_be_a_template(
    dashscope: BackgroundSimulator, bucket: Bucket
) -> None:
    repaint(dashscope.portrait_url, "{{ '" + bucket.name + "' }}").run_try()
    paint(result_bucket=bucket.name, result_aws_conn_id="{{ 'aws_default' }}").run_try()
    assert totals(dashscope)["submissions"] == 2


def test_it_is_looked_for_with_the_connection_that_will_copy(
    dashscope: BackgroundSimulator, bucket: Bucket, s3_url: str, set_connection: object, unused_tcp_port: int
) -> None:
    assert callable(set_connection)
    away = connection_json(f"http://127.0.0.1:{unused_tcp_port}", retries={"max_attempts": 0})
    set_connection("aws_default", away)
    set_connection("aws_results", connection_json(s3_url))
    paint(result_bucket=bucket.name, result_aws_conn_id="aws_results").run_try()
    assert totals(dashscope)["submissions"] == 1


def test_a_task_that_was_paid_for_is_gone_on_with_even_if_the_bucket_is_gone_by_then(
    dashscope: BackgroundSimulator, bucket: Bucket
) -> None:
    runner = paint(result_bucket=bucket.name)
    task_id = runner.run_try()
    bucket.client.delete_bucket(Bucket=bucket.name)
    assert runner.run_try() == task_id
    assert totals(dashscope)["submissions"] == 1
