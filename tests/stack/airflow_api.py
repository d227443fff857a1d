"""What the demo and the tests need of Airflow's REST API."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import httpx
from pydantic import BaseModel, ConfigDict

from tests.errors import StackError
from tests.stack.waiting import PATIENCE, PatientClient, checked, wait_until

_PAGE = 100
_ENDED = {"success", "failed"}


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class DagRun(_Row):
    """A run of a DAG."""

    dag_id: str
    dag_run_id: str
    state: str
    conf: dict[str, Any] | None = None


class TaskInstance(_Row):
    """One task of a run, or one of its mapped copies."""

    dag_id: str
    dag_run_id: str
    task_id: str
    map_index: int
    state: str | None
    try_number: int
    max_tries: int
    hostname: str | None = None
    pid: int | None = None
    rendered_fields: dict[str, Any] = {}
    trigger: dict[str, Any] | None = None
    rendered_map_index: str | None = None
    # From Airflow 3.4 on.
    id: str | None = None
    region_id: str | None = None
    region_index: int | None = None

    @property
    def place(self) -> dict[str, Any]:
        """What tells it from its task's other instances, as parameters of requests."""
        if self.region_id is None:
            return {"map_index": self.map_index}
        return {"region_id": self.region_id, "region_index": self.region_index}


class ImportFailure(_Row):
    """A file that Airflow could not make a DAG of."""

    filename: str
    stack_trace: str


class AirflowApi:
    """A thin, typed client; the methods are named after what a user does.

    :param base_url: address of the API server
    :param user: who logs in with a password that is the same as the name; None where nobody needs to
    """

    root = "/api/v2"
    health_path = "monitor/health"
    manual_run: ClassVar[Mapping[str, Any]] = {"logical_date": None}
    """What starting a run by hand says besides its conf."""
    clearing: ClassVar[Mapping[str, Any]] = {}
    """What clearing tasks says besides which."""

    def __init__(self, *, base_url: str, user: str | None = None) -> None:
        self._user = user
        self._authorized = False
        self._http = PatientClient(base_url=base_url)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def health(self) -> dict[str, str | None]:
        """State of each component, ``healthy`` or not."""
        parts = self._call("GET", f"{self.root}/{self.health_path}")
        return {name: part["status"] for name, part in parts.items()}

    def get(self, path: str) -> bytes:
        """Load what a page shows.

        :param path: address below that of the API server
        """
        return checked(self._answer("GET", path)).content

    def dag_ids(self) -> set[str]:
        """Ids of all DAGs that have been parsed."""
        return {row["dag_id"] for row in self._pages(f"{self.root}/dags", rows="dags")}

    def import_failures(self) -> list[ImportFailure]:
        """Files that Airflow could not make DAGs of."""
        rows = self._pages(f"{self.root}/importErrors", rows="import_errors")
        return [ImportFailure.model_validate(row) for row in rows]

    def set_paused(self, *, dag_id: str, paused: bool) -> None:
        """Pause a DAG, or let it run.

        :param paused: whether it is to be paused
        """
        self._call("PATCH", f"{self.root}/dags/{dag_id}", again=True, json={"is_paused": paused})

    def trigger(self, *, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run by hand.

        :param conf: values for its params
        :return: id of the run
        """
        self.set_paused(dag_id=dag_id, paused=False)
        # An id of our own, like those that Airflow makes: sent again, it starts no second run.
        run_id = f"manual__{datetime.now(UTC).isoformat()}_{secrets.token_hex(4)}"
        body = {**self.manual_run, "conf": dict(conf or {}), "dag_run_id": run_id}
        path = f"{self.root}/dags/{dag_id}/dagRuns"
        response = self._answer("POST", path, again=True, json=body)
        if response.status_code == httpx.codes.CONFLICT:
            return self.run(dag_id=dag_id, run_id=run_id).dag_run_id
        return str(checked(response).json()["dag_run_id"])

    def run(self, *, dag_id: str, run_id: str) -> DagRun:
        """Read a run."""
        return DagRun.model_validate(self._call("GET", self._run(dag_id, run_id)))

    def runs(self, *, dag_id: str) -> list[DagRun]:
        """Read all runs of a DAG, the first one first."""
        rows = self._pages(f"{self.root}/dags/{dag_id}/dagRuns", rows="dag_runs")
        return [DagRun.model_validate(row) for row in rows]

    def create_asset_event(self, *, uri: str, extra: Mapping[str, Any]) -> None:
        """Say that an asset was updated.

        :param uri: the asset's URI
        :param extra: what the event tells
        """
        found = self._pages(f"{self.root}/assets", rows="assets")
        (asset_id,) = [row["id"] for row in found if row["uri"] == uri]
        self._call("POST", f"{self.root}/assets/events", json={"asset_id": asset_id, "extra": dict(extra)})

    def question(self, *, instance: TaskInstance) -> dict[str, Any]:
        """Read what a task asks a person, and what was answered."""
        return self._call("GET", self._question(instance))

    def answer(self, *, instance: TaskInstance, option: str) -> None:
        """Answer a task that asks a person.

        :param option: one of those that it offers
        """
        self._call("PATCH", self._question(instance), json={"chosen_options": [option]})

    def wait_for_run(self, *, dag_id: str, run_id: str, timeout: float = PATIENCE) -> DagRun:
        """Wait until a run has ended, well or not.

        :raises StackError: when the time is over; the message tells the tasks' states
        """

        def ended() -> DagRun | None:
            run = self.run(dag_id=dag_id, run_id=run_id)
            return run if run.state in _ENDED else None

        def states() -> str:
            instances = self.task_instances(dag_id=dag_id, run_id=run_id)
            return ", ".join(f"{each.task_id}[{each.map_index}] {each.state}" for each in instances)

        what = f"{dag_id} {run_id} to end"
        return wait_until(ended, timeout=timeout, interval=0.5, what=what, found=states)

    def task_instances(self, *, dag_id: str, run_id: str, task_id: str | None = None) -> list[TaskInstance]:
        """Read the task instances of a run.

        :param task_id: only those of this task
        """
        rows = self._pages(f"{self._run(dag_id, run_id)}/taskInstances", rows="task_instances")
        instances = [TaskInstance.model_validate(row) for row in rows]
        return [each for each in instances if task_id in (None, each.task_id)]

    def wait_for_state(
        self,
        *,
        dag_id: str,
        run_id: str,
        task_id: str,
        state: str,
        timeout: float = PATIENCE,
        map_index: int = -1,
    ) -> TaskInstance:
        """Wait until a task instance is in a state, as long as its run lasts.

        :param map_index: which of the mapped copies, -1 for a task that is not mapped
        :raises StackError: when the run has ended before, or the time is over
        """
        what = f"{dag_id}.{task_id}[{map_index}] to be {state}"

        def there() -> TaskInstance | None:
            # The run first: what it leads to must be visible in what is read after it.
            run_state = self.run(dag_id=dag_id, run_id=run_id).state
            found = self.task_instances(dag_id=dag_id, run_id=run_id, task_id=task_id)
            for each in found:
                if each.map_index == map_index and each.state == state:
                    return each
            if run_state in _ENDED:
                raise StackError(f"The run ended as {run_state} while this waited for {what}")
            return None

        return wait_until(there, timeout=timeout, interval=0.3, what=what)

    def xcom(
        self, *, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """Read an XCom value as it was pushed.

        :param task_id: id of the task that pushed it
        :param map_index: which of the mapped copies, -1 for a task that is not mapped
        """
        path = f"{self._run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        value = self._call("GET", path, params={"map_index": map_index})["value"]
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            return value

    def links(self, *, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, str | None]:
        """Read the extra links that a task's page shows, by name.

        :param map_index: which of the mapped copies, -1 for a task that is not mapped
        """
        path = f"{self._run(dag_id, run_id)}/taskInstances/{task_id}/links"
        found: dict[str, str | None] = self._call("GET", path, params={"map_index": map_index})["extra_links"]
        return found

    def log(self, *, instance: TaskInstance, try_number: int | None = None) -> str:
        """Read the log of one try, one line for each entry.

        :param try_number: which try, the last one by default
        """
        path = f"{self._run(instance.dag_id, instance.dag_run_id)}/taskInstances/{instance.task_id}/logs/"
        params = {**instance.place, "full_content": True}
        answer = self._call("GET", f"{path}{try_number or instance.try_number}", params=params)
        return "\n".join(_log_lines(answer["content"]))

    def clear(
        self, *, dag_id: str, run_id: str, task_ids: Sequence[str | tuple[str, int]] = (), **more: Any
    ) -> None:
        """Clear tasks whatever their state is, so that they run again.

        :param task_ids: ids, or pairs of id and map index
        :param more: what else the request says
        """
        body = {"dry_run": False, "dag_run_id": run_id, "only_failed": False, **more, **self.clearing}
        if task_ids:
            body["task_ids"] = list(task_ids)
        self._call("POST", f"{self.root}/dags/{dag_id}/clearTaskInstances", json=body)

    def clear_run(self, *, dag_id: str, run_id: str) -> None:
        """Clear all tasks of a run."""
        self._call(
            "POST", f"{self._run(dag_id, run_id)}/clear", json={"dry_run": False, "only_failed": False}
        )

    def discard_task_state(self, *, dag_id: str, run_id: str, task_id: str) -> None:
        """Empty the task state store of a task, in all its mapped copies."""
        path = f"{self._run(dag_id, run_id)}/taskInstances/{task_id}/state-store"
        self._call("DELETE", path, params={"all_map_indices": True})

    def mark(self, *, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Set a task instance's state by hand.

        :param state: ``success``, ``failed`` or ``skipped``
        :param map_index: which of the mapped copies, -1 for a task that is not mapped
        """
        path = f"{self._run(dag_id, run_id)}/taskInstances/{task_id}"
        path += f"/{map_index}" if map_index >= 0 else ""
        self._call("PATCH", path, json={"new_state": state})

    def set_connection(self, *, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Store a connection in Airflow's database, in place of the one that has its id.

        :param connection: its fields; ``extra`` is a dictionary
        """
        fields = {**connection, "connection_id": conn_id, "extra": json.dumps(connection.get("extra", {}))}
        actions = [{"action": "create", "entities": [fields], "action_on_existence": "overwrite"}]
        answer = self._call("PATCH", f"{self.root}/connections", again=True, json={"actions": actions})
        if errors := answer["create"]["errors"]:
            raise StackError(f"Connection {conn_id} was refused: {errors}")

    def _pages(self, path: str, *, rows: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while page := self._call("GET", path, params={"limit": _PAGE, "offset": offset})[rows]:
            yield from page
            offset += len(page)
            if len(page) < _PAGE:
                return

    def _call(self, method: str, path: str, *, again: bool = False, **arguments: Any) -> dict[str, Any]:
        response = checked(self._answer(method, path, again=again, **arguments))
        answer: dict[str, Any] = response.json() if response.content else {}
        return answer

    def _answer(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if not self._authorized:
            if token := self._token():
                self._http.headers["Authorization"] = f"Bearer {token}"
            self._authorized = True
        return self._http.answer(method, path, **arguments)

    def _run(self, dag_id: str, run_id: str) -> str:
        return f"{self.root}/dags/{dag_id}/dagRuns/{run_id}"

    def _question(self, instance: TaskInstance) -> str:
        path = f"{self._run(instance.dag_id, instance.dag_run_id)}/taskInstances/{instance.task_id}"
        return f"{path}/{instance.map_index}/hitlDetails"

    def _token(self) -> str | None:
        if self._user is None:
            answer = self._http.answer("GET", "/auth/token")
        else:
            login = {"username": self._user, "password": self._user}
            answer = self._http.answer("POST", "/auth/token", again=True, json=login)
        token: str = checked(answer).json()["access_token"]
        return token


def _log_lines(content: Sequence[str | dict[str, Any]]) -> Iterator[str]:
    for entry in content:
        if isinstance(entry, str):
            yield entry
            continue
        yield " ".join(str(entry[field]) for field in ("timestamp", "level", "event") if entry.get(field))
        for error in entry.get("error_detail") or ():
            yield f"{error.get('exc_type')}: {error.get('exc_value')}"
