"""Submissions that are recorded at a place of the user's, as Airflow before 3.3 needs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_wanx.jobs.submitting.submission_record import STATE_KEY, Record, SubmissionRecord
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from airflow_provider_wanx.triggers.dashscope import SUBMITTED_KEY
from tests.unit.operators.painting import iterations, paint
from tests.unit.support.airflow import DagRun, deferral
from tests.unit.support.s3 import Bucket
from tests.unit.support.service import states, totals


class KilledError(BaseException):
    """The worker was killed."""


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for records, in Airflow's configuration."""
    folder = tmp_path / "records"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__DASHSCOPE__RECORD_PATH", folder.as_uri())
    return folder


def _kill(patch: pytest.MonkeyPatch, *, write: int, written: bool) -> None:
    """Kill the worker before or after one of its writes of the record: of the intent, or of the id."""
    inner, writes = SubmissionRecord.write, iter(range(9))

    def dying(self: SubmissionRecord, record: Record) -> None:
        last = next(writes) == write
        if last and not written:
            raise KilledError
        inner(self, record)
        if last:
            raise KilledError

    patch.setattr(SubmissionRecord, "write", dying)


@pytest.mark.parametrize("in_bucket", [False, True])
@pytest.mark.parametrize(("write", "written"), [(0, False), (0, True), (1, False), (1, True)])
def test_a_worker_that_is_killed_at_any_step_leaves_one_submission(
    at_rest: BackgroundSimulator,
    records: Path,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    write: int,
    written: bool,
    in_bucket: bool,
) -> None:
    if in_bucket:
        monkeypatch.setenv("AIRFLOW__DASHSCOPE__RECORD_PATH", f"s3://{bucket.name}/records")
    runner = paint(keeps_state=False)
    with monkeypatch.context() as patch:
        _kill(patch, write=write, written=written)
        with pytest.raises(KilledError):
            runner.run_try()
    task_id = runner.run_try()
    assert runner.run_try() == task_id
    assert [task["task_id"] for task in at_rest.ledger()["tasks"]] == [task_id]
    keys = bucket.keys()
    in_s3 = [key for key in keys if not key.startswith("records/pace-")]
    assert (len(list(records.iterdir())), len(in_s3)) == ((0, 1) if in_bucket else (1, 0))
    assert (len(keys) > len(in_s3)) == in_bucket


def test_the_log_says_where_the_record_is_and_does_not_warn(
    at_rest: BackgroundSimulator, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint(keeps_state=False).run_try()
    log = capsys.readouterr().out
    assert f"The record of this task's submission is {records.as_uri()}/dag.manual__" in log
    assert "keeps no state" not in log


def test_mapped_tasks_have_a_record_each(at_rest: BackgroundSimulator, records: Path) -> None:
    run = DagRun()
    runners = [paint(run=run, map_index=number, keeps_state=False) for number in range(3)]
    ids = [runner.run_try() for runner in runners]
    assert len(set(ids)) == len(list(records.iterdir())) == 3
    assert [runner.run_try() for runner in runners] == ids


def test_iterations_of_a_loop_have_a_record_each(slow: BackgroundSimulator, records: Path) -> None:
    runners = iterations(3, keeps_state=False)
    ids = [runner.run_try() for runner in runners]
    assert len(set(ids)) == len(list(records.iterdir())) == 3
    assert [runner.run_try() for runner in runners] == ids
    runners[1].max_tries += 1
    assert runners[1].run_try() not in ids
    assert states(slow)[:3] == ["RUNNING", "CANCELED", "PENDING"]
    assert [runners[0].run_try(), runners[2].run_try()] == [ids[0], ids[2]]


def test_iterations_with_different_inputs_do_not_cancel_each_other(
    slow: BackgroundSimulator, records: Path
) -> None:
    for number, runner in enumerate(iterations(3, keeps_state=False)):
        make = runner.build
        runner.build = partial(_with_prompt, make, f"Lighthouse {number}")
        runner.run_try()
    assert len(states(slow)) == 3
    assert "CANCELED" not in states(slow)


def _with_prompt(make: Any, prompt: str) -> Any:
    operator = make()
    operator.input = {"prompt": prompt}
    return operator


def test_a_clear_cancels_the_queued_task_and_submits_anew(slow: BackgroundSimulator, records: Path) -> None:
    paint(keeps_state=False, task_id="other").run_try()
    runner = paint(keeps_state=False)
    first = runner.run_try()
    runner.max_tries += 1
    assert runner.run_try() != first
    assert states(slow)[1:] == ["CANCELED", "PENDING"]


def test_a_retry_after_a_crash_during_the_wait_waits_for_the_same_task(
    dashscope: BackgroundSimulator, records: Path
) -> None:
    runner = paint(keeps_state=False, wait_for_completion=True, deferrable=True)
    deferral(runner.start)
    assert runner.run_try()
    assert totals(dashscope)["submissions"] == 1


def test_an_id_whose_xcom_was_deleted_is_taken_from_the_record(
    at_rest: BackgroundSimulator, records: Path
) -> None:
    runner = paint(keeps_state=False)
    task_id = runner.run_try()
    del runner.xcoms[SUBMITTED_KEY]
    assert runner.build().awaited_ids(runner.context()) == [task_id]


def test_if_the_record_cannot_be_written_nothing_is_submitted(
    at_rest: BackgroundSimulator, records: Path
) -> None:
    records.rmdir()
    runner = paint(keeps_state=False)
    with pytest.raises(
        AirflowException,
        match=r"^The folder does not exist: could not write .*/records/dag\..*\. Check record_path.* Nothing was sent",
    ) as caught:
        runner.run_try()
    # A retry may find the share mounted again.
    assert not isinstance(caught.value, AirflowFailException)
    assert totals(at_rest)["submissions"] == 0
    records.mkdir()
    assert runner.run_try()


def test_if_it_cannot_be_read_nothing_is_submitted(at_rest: BackgroundSimulator, records: Path) -> None:
    records.rmdir()
    records.touch()
    with pytest.raises(AirflowException, match=r"Not a directory.*: could not read the record"):
        paint(keeps_state=False).run_try()
    assert totals(at_rest)["submissions"] == 0


def test_if_only_the_id_cannot_be_written_the_task_goes_on_with_it(
    at_rest: BackgroundSimulator,
    records: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    runner = paint(keeps_state=False)
    replace = Path.replace

    def fail(self: Path, target: Path) -> Path:
        if at_rest.ledger()["tasks"]:
            raise OSError("No space left on device")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        task_id = runner.run_try()
    assert f"DashScope task {task_id} could not be recorded" in capsys.readouterr().out
    # The next try has the intent only, and the task list.
    assert runner.run_try() == task_id
    assert totals(at_rest)["accepted"] == 1


def test_a_refusal_is_told_even_if_the_record_cannot_be_deleted(
    at_rest: BackgroundSimulator, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_rest.add_fault(endpoint="submit", kind="status", status=400, code="Arrearage", times=1)
    runner = paint(keeps_state=False)

    def fail(*_: object) -> None:
        raise OSError("Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("fsspec.implementations.local.LocalFileSystem.rm_file", fail)
        with pytest.raises(AirflowFailException, match="Settle the account's billing"):
            runner.run_try()
    assert runner.run_try()
    assert totals(at_rest)["accepted"] == 1


def test_a_record_of_a_later_version_stops_the_task_and_is_named(
    at_rest: BackgroundSimulator, records: Path
) -> None:
    runner = paint(keeps_state=False)
    runner.run_try()
    (file,) = records.iterdir()
    content = json.loads(file.read_text())
    content[STATE_KEY]["version"] = 2
    file.write_text(json.dumps(content))
    with pytest.raises(AirflowFailException, match=r"cannot be read by this version.* Delete it") as caught:
        runner.run_try()
    assert file.name in str(caught.value)
    assert totals(at_rest)["submissions"] == 1


def test_the_connection_goes_before_the_configuration_and_both_before_the_task_state(
    at_rest: BackgroundSimulator, records: Path, tmp_path: Path, set_connection: Callable[..., None]
) -> None:
    runner = paint()
    assert runner.store is not None
    runner.run_try()
    assert (len(list(records.iterdir())), runner.store.values) == (1, {})
    (own := tmp_path / "own").mkdir()
    set_connection("dashscope_default", at_rest.connection_json(record_path=own.as_uri()))
    paint().run_try()
    assert (len(list(records.iterdir())), len(list(own.iterdir()))) == (1, 1)


def test_a_bad_place_is_found_out_before_anything_is_sent(
    at_rest: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__DASHSCOPE__RECORD_PATH", "records")
    with pytest.raises(AirflowFailException, match="record_path must be the URL of a folder"):
        paint().run_try()
    assert totals(at_rest)["submissions"] == 0


def test_the_record_holds_neither_the_key_nor_what_was_sent(
    at_rest: BackgroundSimulator, records: Path
) -> None:
    prompt: dict[str, Any] = {"prompt": "https://example.com/a.png?signature=0123456789"}
    paint(keeps_state=False, input=prompt).run_try()
    (file,) = records.iterdir()
    assert at_rest.api_key not in file.read_text()
    assert "example.com" not in file.read_text()
    assert "0123456789" not in file.read_text()
