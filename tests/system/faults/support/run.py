"""One run of a DAG, as a scenario sees and handles it."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from itertools import groupby
from typing import Any

from tests.stack import AirflowApi, StackError
from tests.stack.waiting import PATIENCE
from tests.system.faults.support.observer import Instance, Observer, RunKey, Snapshot

MANY = 3
"""Equal states in a row that are written out."""

_ERRORS = re.compile(r"^\w*(?:Exception|Timeout|Error|Skip)\w*: .*", re.MULTILINE)


class Run:
    """A run.

    :param api: Airflow's API, for what a user does
    :param observer: Airflow's database, for what becomes of it
    """

    def __init__(self, *, api: AirflowApi, observer: Observer, dag_id: str, run_id: str) -> None:
        self._api = api
        self._observer = observer
        self.dag_id = dag_id
        self.run_id = run_id

    @property
    def key(self) -> RunKey:
        """Ids of DAG and run."""
        return self.dag_id, self.run_id

    def reaches(self, task_id: str, state: str, *, map_index: int = -1, try_number: int = 1) -> Instance:
        """Wait until a task is in a state.

        :param map_index: which of the mapped copies
        :param try_number: in this try or a later one
        :raises StackError: it does not come to that
        """

        def there(snapshot: Snapshot) -> Instance | None:
            found = snapshot.instance(self.key, task_id, map_index)
            there = found is not None and found.state == state and found.try_number >= try_number
            if not there and snapshot.runs.get(self.key) in ("success", "failed"):
                raise StackError(f"The run ended while this waited for {what}: {self.states()}")
            return found if there else None

        what = f"{self.dag_id}.{task_id} to be {state}"
        return self._observer.until(there, timeout=PATIENCE, what=what)

    def all_reach(self, task_id: str, state: str, *, count: int) -> None:
        """Wait until so many copies of a mapped task are in a state."""
        self._observer.until(
            lambda snapshot: snapshot.count(self.key, task_id, state) >= count,
            timeout=PATIENCE,
            what=f"{count} of {self.dag_id}.{task_id} to be {state}",
        )

    def ends(self, state: str, *, work: float = 0.0) -> None:
        """Wait until the run ends.

        :param state: how it must end
        :param work: seconds for which the service still has to work
        :raises StackError: it ends otherwise, or not at all
        """
        ended = self._observer.until(
            lambda snapshot: snapshot.runs.get(self.key) in ("success", "failed") and snapshot.runs[self.key],
            timeout=PATIENCE + work,
            what=f"{self.dag_id} {self.run_id} to end ({self.states()})",
        )
        if ended != state:
            raise StackError(f"The run was to end as {state}: {self.states()}: {self.last_words()}")

    def clear(
        self,
        *task_ids: str,
        downstream: bool = True,
        discard_state: bool = False,
        keep_task_state: bool = False,
    ) -> None:
        """Clear tasks, as a user does.

        :param task_ids: their ids
        :param downstream: whether the tasks after them are cleared too
        :param discard_state: whether their task state goes too, as in the Airflow that comes after 3.3. It goes first: nothing
            reads it between the end of one try and the start of the next
        :param keep_task_state: whether Airflow 3.4 or later is told to keep it
        """
        for task_id in task_ids if discard_state else ():
            self._api.discard_task_state(dag_id=self.dag_id, run_id=self.run_id, task_id=task_id)
        keep = {"keep_task_state": True} if keep_task_state else {}
        self._clear(task_ids=task_ids, include_downstream=downstream, **keep)

    def _clear(self, **what: Any) -> None:
        self._api.clear(dag_id=self.dag_id, run_id=self.run_id, **what)
        self._observer.catch_up()

    def clear_whole(self) -> None:
        """Clear the run with all its tasks, as a user does."""
        self._api.clear_run(dag_id=self.dag_id, run_id=self.run_id)
        self._observer.catch_up()

    def clear_iteration(self, group_id: str, index: int) -> None:
        """Clear one iteration of a loop with all its tasks, as a user does."""
        instances = self._api.task_instances(dag_id=self.dag_id, run_id=self.run_id)
        ids = [
            each.id
            for each in instances
            if each.task_id.startswith(f"{group_id}.")
            and not each.task_id.endswith("__loop_gate")
            and each.region_index == index
        ]
        # A loop's task instances have nothing but their own ids.
        self._clear(task_instance_ids=ids, include_later_loop_iterations=False)

    def mark(self, task_id: str, state: str) -> None:
        """Set a task's state by hand, as a user does."""
        self._api.mark(dag_id=self.dag_id, run_id=self.run_id, task_id=task_id, state=state)
        self._observer.catch_up()

    def kill(self, instance: Instance) -> None:
        """Send SIGKILL to the process that works on a task."""
        if instance.pid is None:
            raise StackError("This task instance has no process")
        os.kill(instance.pid, signal.SIGKILL)

    def tries(self, task_id: str) -> list[str]:
        """State of each try of a task; of the copy or iteration that has had most of them."""
        found = [states for key, states in self._observer.tries(self.key).items() if key[0] == task_id]
        return max(found, key=len, default=[])

    def tried_again(self, task_id: str) -> None:
        """Check that a task's fault has cost it a try.

        :raises StackError: it has not
        """
        if len(self.tries(task_id)) < 2:
            raise StackError(f"{task_id} was never tried again: {self.states()}")

    def states(self) -> str:
        """States of each task's tries, for the table."""
        by_task: dict[str, Counter[str]] = {}
        for (task_id, *_), states in self._observer.tries(self.key).items():
            by_task.setdefault(task_id, Counter())[_in_a_row(states)] += 1
        return "; ".join(
            f"{task_id}: " + ", ".join(_counted(states, number) for states, number in sorted(counter.items()))
            for task_id, counter in by_task.items()
        )

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        """Read what a task has pushed."""
        return self._api.xcom(dag_id=self.dag_id, run_id=self.run_id, task_id=task_id, key=key)

    def log(self, task_id: str, *, try_number: int | None = None) -> str:
        """Log of a task's try, the last one by default."""
        (instance,) = self._api.task_instances(dag_id=self.dag_id, run_id=self.run_id, task_id=task_id)
        return self._api.log(instance=instance, try_number=try_number)

    def failed_tasks(self) -> list[str]:
        """Tasks that have failed in the end, those left out because of others not among them."""
        found = self._observer.tries(self.key)
        return sorted({task_id for (task_id, *_), states in found.items() if states[-1] == "failed"})

    def last_words(self) -> str:
        """What the failed tasks' logs give as the reasons."""
        words: list[str] = []
        for task_id in self.failed_tasks():
            instances = self._api.task_instances(dag_id=self.dag_id, run_id=self.run_id, task_id=task_id)
            for instance in instances[:3]:
                # Tracebacks are told line by line; what counts is the exception that Airflow ended the task with.
                log = self._api.log(instance=instance)
                errors = _ERRORS.findall(log)
                words.append(f"{task_id}: {errors[0] if errors else '(nothing)'}")
        return "; ".join(words)


def _in_a_row(states: list[str]) -> str:
    """Write the states of a task's tries one after the other; many equal ones as a number."""
    runs = [(state, len(list(equal))) for state, equal in groupby(states)]
    written = [
        f"{number} × {state}" if number > MANY else " → ".join([state] * number) for state, number in runs
    ]
    return " → ".join(written)


def _counted(states: str, number: int) -> str:
    return states if number == 1 else f"{number} × {states}"
