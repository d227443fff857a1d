"""What is played on a row's Airflow: the main example DAG, and workers that are killed while they submit."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from packaging.version import Version

import tests.system.faults.scenarios  # noqa: F401 - they register themselves
from airflow_provider_wanx.dashscope.client import DashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.simulator.handle import SimulatorHandle
from tests.matrix.environments import Environment
from tests.stack import ROOT, StackError
from tests.stack.dashscope import API_KEY
from tests.system.faults.support.bench import HERE, Bench, Ground
from tests.system.faults.support.case import BUCKET, download
from tests.system.faults.support.catalogue import FAULTS, Fault

MAIN_DAG = "wanx_style_repaint"
RECORDS = f"s3://{BUCKET}/_records"

_FAULT_DAGS = ("chain.py", "fault_points.py", "shapes.py")
_DAGS_3_4 = ("alone.py", "loops.py", "policies.py")
_PORTRAIT = ROOT / "tests" / "data" / "portraits" / "astronaut.png"
_WARNING = re.compile(r"This Airflow keeps no state between tries [^\n]*?pays, again\.")

_KILLED = "killed_after_post"
_LOST = "worker_lost_after_post"
# How many tasks of an image there are without any record: after a try that has submitted and died, the next one submits.
_SUBMITTING = {
    "killed_before_post": 1,
    _KILLED: 2,
    "killed_after_record": 2,
    _LOST: 2,
    "answer_lost": 1,
    "cleared_after_success": 2,
}

_FAILS_THE_KILLED = (
    "retries after SIGKILL to a task's process alone: 3.0 fails the task, so its whole worker is killed here"
)

# As those of the fault run, under the names that Airflow 2 has for them.
_AIRFLOW_2_SETTINGS = {
    "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "45",
    "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "5",
}


@dataclass(frozen=True, kw_only=True)
class Played:
    """What was seen.

    :param faults: one entry for each fault, with or without a record path
    :param absent: what this Airflow does not do, each with the message that tells so
    """

    faults: Sequence[Mapping[str, Any]]
    absent: Sequence[Mapping[str, str | None]]


def play(made: Environment, *, dag_ids: Sequence[str], whole: bool) -> Played:
    """Start a row's Airflow with everything around it and play.

    :param made: the row's environment
    :param dag_ids: example DAGs that it must have
    :param whole: whether every fault is played that the fault run does not play on this Airflow
    :raises StackError: when something does not start, or the main DAG does not do what it should
    """
    airflow = Version(made.row.line.airflow)
    faults = _faults(airflow, whole=whole)
    dags = made.folder / "dags"
    dags.mkdir()
    for name in (*_FAULT_DAGS, *(_DAGS_3_4 if _has_loops(airflow) else ())):
        shutil.copyfile(HERE / "dags" / name, dags / name)
    ground = Ground(
        data=made.folder / "stack",
        dag_bundles={"examples": ROOT / "dags", "faults": dags},
        dag_ids=[*dag_ids, "chain"],
        with_simulator=True,
        settings=_AIRFLOW_2_SETTINGS if made.installation.is_airflow_2 else {},
        installation=made.installation,
    )
    with (
        tempfile.TemporaryDirectory(prefix="wanx-matrix-") as scratch,
        Bench(faults=faults, scratch=Path(scratch) / "bench", ground=ground) as bench,
    ):
        warning = _run_main_dag(bench)
        bench.finish()
        rows = [
            asdict(row) | {"record_path": "record_path" in fault.connection}
            for fault, row in zip(bench.faults, bench.rows(), strict=True)
        ]
    if (warning is None) != _has_state(airflow):
        raise StackError(f"The main DAG's warning about records is {warning!r}")
    absent: list[dict[str, str | None]] = []
    if warning is not None:
        absent.append({"what": "records of submissions without record_path", "message": warning})
    if not _retries_the_killed(airflow):
        absent.append({"what": _FAILS_THE_KILLED, "message": None})
    return Played(faults=rows, absent=absent)


def _faults(airflow: Version, *, whole: bool) -> list[Fault]:
    if not whole:
        return [_with_records(FAULTS[_KILLED if _retries_the_killed(airflow) else _LOST])]
    faults = [FAULTS[name] for name in _SUBMITTING]
    if _has_loops(airflow):
        # The fault run plays all others, on 3.3.
        faults = [fault for fault in FAULTS.values() if Version(fault.airflow) > Version("3.3")]
        in_loops = [fault for fault in faults if "loop" in fault.id]
        recorded = [replace(_with_records(fault), id=f"{fault.id}_recorded") for fault in in_loops]
        return [_with_records(FAULTS[_KILLED]), *faults, *recorded]
    has_state = _has_state(airflow)
    return [*map(_with_records, faults), *(_without_records(fault, has_state) for fault in faults)]


def _with_records(fault: Fault) -> Fault:
    return replace(fault, connection={"record_path": RECORDS})


def _without_records(fault: Fault, has_state: bool) -> Fault:
    count = fault.submissions if has_state else _SUBMITTING[fault.id]
    name = f"{fault.id}_unrecorded"
    return replace(fault, id=name, submissions=count, allowed=count, billed=count)


def _has_state(airflow: Version) -> bool:
    """Whether Airflow itself keeps what a task leaves for its next try."""
    return airflow >= Version("3.3")


def _has_loops(airflow: Version) -> bool:
    """Whether Airflow can repeat a task group; a pre-release of 3.4 can."""
    return airflow.release >= (3, 4)


def _retries_the_killed(airflow: Version) -> bool:
    """Whether Airflow tries a task again whose process was killed, and not only one whose whole worker was lost."""
    return not Version("3.0") <= airflow < Version("3.1")


def _run_main_dag(bench: Bench) -> str | None:
    """Run the main DAG from bucket to bucket; return what it warned of."""
    stack, api = bench.stack, bench.stack.airflow.api
    simulator = SimulatorHandle(url=stack.simulator.url, api_key=API_KEY)
    image, bucket = "s3://inputs/astronaut.png", "wanx-results"
    stack.s3.put(bucket="inputs", key="astronaut.png", body=_PORTRAIT.read_bytes())
    stack.s3.client.create_bucket(Bucket=bucket)
    run_id = api.trigger(dag_id=MAIN_DAG, conf={"image": image, "style": "anime", "bucket": bucket})
    ended = api.wait_for_run(dag_id=MAIN_DAG, run_id=run_id)
    tasks = simulator.ledger()["tasks"]
    (submit,) = api.task_instances(dag_id=MAIN_DAG, run_id=run_id, task_id="submit")
    log = api.log(instance=submit, try_number=1)
    if ended.state != "success" or len(tasks) != 1:
        raise StackError(
            f"{MAIN_DAG} ended as {ended.state} with {len(tasks)} tasks submitted\n{log[-2000:]}"
        )
    (stored,) = stack.s3.list(bucket=bucket)
    wanted = _result(simulator, tasks[0]["task_id"])
    if stack.s3.get(bucket=bucket, key=stored.key) != wanted:
        raise StackError(f"{stored.key} is not the file that the service has made")
    found = _WARNING.search(log)
    return found.group() if found else None


def _result(simulator: SimulatorHandle, task_id: str) -> bytes:
    config = ClientConfig(api_key=simulator.api_key, base_url=simulator.url)
    with DashScopeClient(config) as client:
        (result,) = client.get_task(task_id).results
    return download(result.url)
