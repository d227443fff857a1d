"""Loops, which Airflow has from 3.4 on: each of three iterations submits once, whatever happens to one of them."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.system.faults.support.case import Case
from tests.system.faults.support.catalogue import Fault, add

_AIRFLOW = "3.4.dev0"
_GROUPS = {"loop": "submit_wait_copy", "loop_deferred": "repaint_copy"}


def _whole(case: Case, *, dag_id: str) -> None:
    case.start(dag_id).ends("success")


def _killed(case: Case, *, dag_id: str, point: str, task: str) -> None:
    """Kill a process of the second iteration."""
    run = case.start(dag_id)
    case.until(lambda: len(case.tasks()) == 1, what="the first iteration to submit")
    # In the first iteration that point is passed, or is still to come only behind the submission.
    if point in ("in_resume", "in_copy"):
        case.until(lambda: len(case.tasks()) == 2, what="the second iteration to submit")
    else:
        run.reaches(f"{_GROUPS[dag_id]}.copy", "success", map_index=0)
    case.order(point)
    run.ends("success")
    run.tried_again(f"{_GROUPS[dag_id]}.{task}")


def _answer_lost(case: Case) -> None:
    """Lose the third iteration's answer within a minute of the others' submissions."""
    run = case.start("loop")
    case.until(lambda: len(case.tasks()) == 2, what="the second iteration to submit")
    case.simulator.add_fault(endpoint="submit", kind="lose_answer", times=1)
    run.ends("success")


def _cleared(case: Case) -> None:
    run = case.start("loop")
    run.ends("success")
    run.clear_iteration("submit_wait_copy", 1)
    run.ends("success")


_PHASES = {
    "before_post": ("loop", "submit", "between the intent's record and the request"),
    "after_post": ("loop", "submit", "between the service's answer and its record"),
    "after_record": ("loop", "submit", "right after the id was recorded"),
    "in_resume": ("loop_deferred", "repaint", "after the trigger's event was read"),
    "in_copy": ("loop", "copy", "with a part of the result read"),
}

_COUNTS: dict[str, Any] = {"submissions": 3, "allowed": 3, "billed": 3, "objects": 3, "airflow": _AIRFLOW}

for _dag_id, _what in {
    "loop": "submit, wait and copy one picture three times",
    "loop_deferred": "the same, and the operator waits itself in the triggerer",
}.items():
    add(
        Fault(
            id=f"{_dag_id}_of_one_picture",
            title="Loop over one picture" + (", deferred" if _dag_id == "loop_deferred" else ""),
            injected=f"nothing: {_what}",
            play=partial(_whole, dag_id=_dag_id),
            **_COUNTS,
        )
    )
add(
    Fault(
        id="loop_of_pictures",
        title="Loop over three pictures",
        injected="nothing: each iteration has a picture of its own",
        play=partial(_whole, dag_id="loop_pictures"),
        images=3,
        billed=3,
        objects=3,
        airflow=_AIRFLOW,
    )
)
add(
    Fault(
        id="loop_of_mapped",
        title="Mapped pictures in a loop",
        injected="nothing: two pictures in each of three iterations",
        play=partial(_whole, dag_id="loop_mapped"),
        images=2,
        submissions=3,
        allowed=3,
        billed=6,
        objects=6,
        airflow=_AIRFLOW,
    )
)
for _point, (_dag_id, _task, _where) in _PHASES.items():
    add(
        Fault(
            id=f"loop_killed_{_point}",
            title=f"Worker killed in a loop: {_task}",
            injected=f"SIGKILL to the task's process in the second iteration, {_where}",
            play=partial(_killed, dag_id=_dag_id, point=_point, task=_task),
            **_COUNTS,
        )
    )
add(
    Fault(
        id="loop_answer_lost",
        title="Answer lost in a loop",
        injected="the third iteration's answer does not arrive, within a minute of the others' submissions",
        play=_answer_lost,
        **_COUNTS,
    )
)
add(
    Fault(
        id="loop_iteration_cleared",
        title="One iteration of a loop cleared",
        injected="submit, wait and copy of the second iteration are cleared once the run has ended",
        play=_cleared,
        **_COUNTS | {"submissions": 4, "allowed": 4, "billed": 4, "objects": 4},
    )
)
