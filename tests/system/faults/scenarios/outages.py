"""What hits all of Airflow: its own parts and its database."""

from __future__ import annotations

from tests.system.faults.support.case import Case
from tests.system.faults.support.catalogue import Fault, add
from tests.system.faults.support.outages import API_SERVER_DOWN, DATABASE_DOWN

WAITS = 100
WAITS_FOR_TWO = 100

AT_A_TIME = 10


def _waits_survive(case: Case) -> None:
    count = case.fault.images
    # All of ours are queued, so that a needless cancellation would be seen.
    case.block(times=AT_A_TIME)
    run = case.start("many", count=count, people=10)
    run.all_reach("repaint", "deferred", count=count)
    case.until(lambda: case.looks() > 0 and not case.lost_waits(), what="the triggerers to begin")
    case.meet_outage()
    struck_at = case.now()
    if not case.lost_waits(struck_at):
        raise AssertionError("the triggerer that was killed had no waits")
    looks = case.looks(well=True)
    case.until(
        lambda: not case.lost_waits(struck_at) and case.looks(well=True) > looks,
        what="every wait to be taken up again",
    )
    case.release()
    run.ends("success")


def _work_survives(case: Case) -> None:
    """Two deferred waits, and one on a worker, for one task that runs and two that are queued."""
    case.hold()
    runs = [case.start("chain"), case.start("alone"), case.start("alone_sync")]
    runs[0].reaches("wait", "deferred")
    runs[1].reaches("repaint", "deferred")
    runs[2].reaches("repaint", "running")
    case.until(
        lambda: len(case.tasks()) == 3 and case.looks() >= 3,
        what="all to be waited for",
    )
    case.meet_outage()
    for _ in runs:
        case.release()
    for run in runs:
        run.ends("success")


def _submission_survives(case: Case) -> None:
    """The service accepts the submission while nobody may be there any more to be told."""
    struck = case.simulator.add_fault(endpoint="submit", kind="delay", seconds=5, times=1)
    run = case.start("chain")
    case.until(
        lambda: any(fault["id"] == struck and fault["struck"] for fault in case.simulator.faults()),
        what="the POST to arrive",
    )
    case.meet_outage()
    run.ends("success")


add(
    Fault(
        id="triggerer_killed",
        title=f"Triggerer killed with {WAITS} waits",
        injected="SIGKILL to the only triggerer, which is started again",
        play=_waits_survive,
        outage="triggerer",
        images=WAITS,
        billed=WAITS,
        objects=WAITS,
        service=("--duration", "2", "--concurrency", str(AT_A_TIME), "--submit-rate", "0"),
        connection={"submissions_per_second": 10},
    )
)
add(
    Fault(
        id="one_triggerer_killed",
        title=f"Triggerer killed with {WAITS_FOR_TWO} waits, a second one alive",
        injected="SIGKILL to the triggerer that has the waits; it stays away",
        play=_waits_survive,
        outage="one triggerer of two",
        images=WAITS_FOR_TWO,
        billed=WAITS_FOR_TWO,
        objects=WAITS_FOR_TWO,
        service=("--duration", "2", "--concurrency", str(AT_A_TIME), "--submit-rate", "0"),
        connection={"submissions_per_second": 10},
    )
)

for _outage, _title, _injected in (
    (
        "scheduler",
        "Scheduler killed",
        "SIGKILL to the scheduler with its executor and all tasks at work; it is started again",
    ),
    (
        "API server",
        "API server killed",
        f"SIGKILL to the API server, which is started again after {API_SERVER_DOWN:.0f} s",
    ),
    (
        "database",
        f"Database cut off for {DATABASE_DOWN:.0f} s",
        f"PostgreSQL is shut down at once, breaking every connection, and started again after {DATABASE_DOWN:.0f} s",
    ),
):
    _id = _outage.replace(" ", "_").lower()
    add(
        Fault(
            id=f"{_id}_lost",
            title=f"{_title}: waits",
            injected=f"{_injected}; two deferred waits, one on a worker",
            play=_work_survives,
            outage=_outage,
            images=3,
            billed=3,
            objects=3,
        )
    )
    add(
        Fault(
            id=f"{_id}_lost_in_post",
            title=f"{_title}: submission",
            injected="the same while the POST is under way, which the service accepts 5 s after it came",
            play=_submission_survives,
            outage=_outage,
        )
    )
