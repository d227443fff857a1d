"""The ways in which a person can clear a task since Airflow 3.4: some discard its task state, others keep it."""

from __future__ import annotations

from collections.abc import Callable

from tests.stack import StackError
from tests.system.faults.support.case import Case
from tests.system.faults.support.catalogue import Fault, add
from tests.system.faults.support.run import Run

_GOES_BY_THE_RECORD = "is not wanted any more: the Airflow task was cleared"
"""What a try says that has found the record of the one before the clear."""


def _through_command(case: Case, run: Run) -> None:
    # What Airflow calls a regular expression here is, in 3.4, a part of the task's id.
    command = ["tasks", "clear", "--yes", "--task-regex", "repaint", "--downstream"]
    case.stack.airflow.command(*command, run.dag_id)


_WAYS: dict[str, tuple[str, bool, Callable[[Case, Run], None]]] = {
    "api": (
        "through the REST API as it is used without further words, which is also what the web interface sends",
        False,
        lambda case, run: run.clear("repaint"),
    ),
    "api_keeping": (
        "through the REST API with keep_task_state",
        True,
        lambda case, run: run.clear("repaint", keep_task_state=True),
    ),
    "run": ("with its whole run", True, lambda case, run: run.clear_whole()),
    "command": ("with the command airflow tasks clear", True, _through_command),
}


def _play(name: str) -> Callable[[Case], None]:
    _, keeps, clear = _WAYS[name]

    def play(case: Case) -> None:
        case.block()
        run = case.start("alone_command" if name == "command" else "alone")
        run.reaches("repaint", "deferred")
        case.until(lambda: case.looks() > 0, what="the triggerer to begin with the wait")
        clear(case, run)
        case.until(
            lambda: [task["status"] for task in case.tasks()] == ["CANCELED", "PENDING"],
            what="the first task to be canceled and the second one to be made",
        )
        case.release()
        run.ends("success")
        if (_GOES_BY_THE_RECORD in run.log("repaint")) is not keeps:
            raise StackError(f"The record was to be {'kept' if keeps else 'discarded'}: {run.log('repaint')}")

    return play


for _name, (_how, _keeps, _) in _WAYS.items():
    add(
        Fault(
            id=f"cleared_{_name}",
            title=f"Cleared {_how}",
            injected="the operator is cleared while it is deferred and its task is queued; the record is "
            f"{'kept' if _keeps else 'discarded, and the trigger cancels the old task'}",
            play=_play(_name),
            submissions=2,
            allowed=2,
            airflow="3.4.dev0",
        )
    )
