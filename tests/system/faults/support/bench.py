"""Everything that the rows are played on: Airflow with PostgreSQL, S3, and what each row has for itself."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.stack import ROOT, Installation, LocalStack, PostgresDatabase, Simulator, StackConfig
from tests.stack.ports import LOOPBACK, free_ports
from tests.stack.s3 import REGION
from tests.system.faults.support.case import BUCKET, Case, Place, Row
from tests.system.faults.support.catalogue import Fault
from tests.system.faults.support.observer import Observer
from tests.system.faults.support.outages import Meeting, Outages
from tests.system.faults.support.proxy import FaultyProxy

HERE = Path(__file__).resolve().parents[1]
DATA = ROOT / ".test" / "faults"

ROWS_AT_ONCE = 10
"""Rows that are played side by side; most of the time most of them wait."""

TASKS_AT_ONCE = 12

DAG_IDS = frozenset(
    {
        "alone",
        "alone_deadline",
        "alone_deadline_retry",
        "alone_deadline_sync",
        "alone_execution_timeout",
        "alone_sync",
        "bulk",
        "chain",
        "chain_resubmit",
        "chain_soft_fail",
        "chain_timeout",
        "chain_two_copies",
        "edited",
        "impatient_airflow",
        "many",
        "planted",
    }
)

_SETTINGS = {
    # The DAG files do not name Airflow.
    "CORE__DAG_DISCOVERY_SAFE_MODE": "False",
    # A lost triggerer's waits are given to another one after that many seconds.
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    # A lost worker's tasks are given up after that many seconds, and looked for so often.
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "45",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    # Likewise for the tasks of a lost scheduler.
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "SCHEDULER__MAX_TIS_PER_QUERY": "64",
    "CORE__MAX_ACTIVE_RUNS_PER_DAG": "50",
}


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Which Airflow the rows are played on.

    :param data: folder for everything that it keeps
    :param dag_bundles: more folders with DAGs by the names of their bundles
    :param dag_ids: DAGs that must be there before anything is played
    :param with_simulator: whether there is a local DashScope for the connection ``dashscope_default`` too
    :param settings: more settings of Airflow as environment variables
    :param installation: the Airflow, by default the one beside this program
    """

    data: Path = DATA
    dag_bundles: Mapping[str, Path] = field(default_factory=dict)
    dag_ids: Collection[str] = DAG_IDS
    with_simulator: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    installation: Installation = field(default_factory=Installation.own)


class Bench:
    """Starts everything on entering and ends everything on leaving.

    :param faults: the rows that will be played
    :param scratch: an empty folder
    :param ground: what they are played on; without, on the Airflow of all rows of the fault run
    """

    def __init__(self, *, faults: Sequence[Fault], scratch: Path, ground: Ground | None = None) -> None:
        self.faults = list(faults)
        self.ground = ground or Ground(
            dag_bundles={"faults": HERE / "dags", "edited": scratch / "edited"},
        )
        self.orders = scratch / "orders"
        self.edited_dags = scratch / "edited"
        self.fernet_key = base64.urlsafe_b64encode(os.urandom(32)).decode()
        self.aws_secret = secrets.token_hex(20)
        self.keys: list[str] = []
        self._began = time.monotonic()
        database_port, *self._ports = free_ports(count=1 + len(self.faults))
        data = self.ground.data
        self.database = PostgresDatabase(
            folder=data / "postgres",
            port=database_port,
            logs=data / "logs",
            installation=self.ground.installation,
        )
        self.observer = Observer(dsn=self.database.dsn, airflow=self.ground.installation.airflow)
        self.places = {
            fault.id: self._place(fault, port) for fault, port in zip(self.faults, self._ports, strict=True)
        }
        self.stack = LocalStack(config=self._config())
        self._rows: dict[str, Future[Row]] = {}
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        self.orders.mkdir(parents=True)
        self.edited_dags.mkdir(parents=True)
        shutil.copyfile(HERE / "edited" / "before.py", self.edited_dags / "edited.py")
        with ExitStack() as stack:
            for place in self.places.values():
                for proxy in (place.proxy, place.s3_proxy):
                    if proxy is not None:
                        stack.enter_context(proxy)
            stack.enter_context(self.stack)
            self.stack.s3.client.create_bucket(Bucket=BUCKET)
            stack.callback(self.observer.stop)
            self.observer.start()
            players = ThreadPoolExecutor(max_workers=ROWS_AT_ONCE, thread_name_prefix="row")
            stack.callback(players.shutdown, cancel_futures=True)
            # Whoever waits for something gives up before the players are waited for.
            stack.callback(self.observer.stop)
            for fault in sorted(self.faults, key=lambda each: not each.slow):
                if fault.outage is None:
                    self._rows[fault.id] = players.submit(self._play, fault)
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def row(self, fault: Fault) -> Row:
        """Return a row; if it is about an outage, all rows of that outage are played now, when nothing else is."""
        if fault.outage is not None and fault.id not in self._rows:
            wait(self._rows.values())
            self._play_outage(fault.outage)
        return self._rows[fault.id].result()

    def finish(self) -> None:
        """Play every row to its end."""
        for fault in self.faults:
            self.row(fault)

    def rows(self) -> list[Row]:
        """All rows that were played, in the order of the table."""
        return [self._rows[fault.id].result() for fault in self.faults if fault.id in self._rows]

    def describe(self) -> str:
        """Tell on what the rows are played, and how long it has taken so far."""
        ((postgres,),) = self.observer.query("SHOW server_version")
        minutes = (time.monotonic() - self._began) / 60
        return f"Airflow {self.ground.installation.airflow}, PostgreSQL {postgres.split()[0]}, {minutes:.0f} minutes."

    def new_key(self) -> str:
        """Make an API key."""
        key = f"sk-{secrets.token_hex(16)}"
        self.keys.append(key)
        return key

    def store_connection(self, fault: Fault, *, key: str) -> None:
        """Keep a row's connection in Airflow's database."""
        connection = _connection(fault, self.places[fault.id]) | {"password": key}
        self.stack.airflow.api.set_connection(conn_id=fault.id, connection=connection)

    def is_parsed(self, dag_id: str, *, task_id: str) -> bool:
        """Whether Airflow knows of a task in a DAG."""
        rows = self.observer.query(
            "SELECT 1 FROM serialized_dag WHERE dag_id = %s AND data::text LIKE %s", dag_id, f'%"{task_id}"%'
        )
        return bool(rows)

    def _play_outage(self, name: str) -> None:
        faults = [fault for fault in self.faults if fault.outage == name]
        outages = Outages(airflow=self.stack.airflow, database=self.database)
        meeting = Meeting(parties=len(faults), strike=lambda: outages.strike(name))
        with outages.setting(name), ThreadPoolExecutor(max_workers=len(faults)) as players:
            for fault in faults:
                self._rows[fault.id] = players.submit(self._play, fault, meeting)

    def _play(self, fault: Fault, meeting: Meeting | None = None) -> Row:
        """Play a row with a simulator of its own."""
        with self._case(fault, meeting) as case:
            try:
                fault.play(case)
                return case.audit()
            # Whatever happened, it belongs into the row, and the other rows go on.
            except Exception as error:  # noqa: BLE001
                if meeting is not None:
                    meeting.give_up()
                return case.broken(error)

    @contextmanager
    def _case(self, fault: Fault, meeting: Meeting | None) -> Iterator[Case]:
        place = self.places[fault.id]
        simulator = Simulator(
            port=place.simulator_port,
            logs=self.ground.data / "logs" / fault.id,
            keys=(place.key,),
            arguments=fault.service,
        )
        simulator.process.start()
        try:
            simulator.process.wait_ready(simulator.ready)
            if fault.stored:
                self.store_connection(fault, key=place.key)
            case = Case(fault=fault, place=place, bench=self, meeting=meeting)
            with closing(case.simulator):
                yield case
        finally:
            simulator.process.stop()

    def _place(self, fault: Fault, port: int) -> Place:
        url = f"http://{LOOPBACK}:{port}"
        return Place(
            key=self.new_key(),
            simulator_port=port,
            simulator_url=url,
            proxy=FaultyProxy(target=lambda: url) if fault.proxied else None,
            s3_proxy=FaultyProxy(target=lambda: self.stack.s3.url) if fault.failing_s3 else None,
        )

    def _config(self) -> StackConfig:
        connections: dict[str, dict[str, Any]] = {}
        for fault in self.faults:
            place = self.places[fault.id]
            if not fault.stored:
                connections[fault.id] = _connection(fault, place)
            if place.s3_proxy is not None:
                connections[f"s3_{fault.id}"] = self._aws_connection(place.s3_proxy.url)
        return StackConfig(
            data=self.ground.data,
            dag_bundles=self.ground.dag_bundles,
            dag_ids=self.ground.dag_ids,
            with_simulator=self.ground.with_simulator,
            connections=connections,
            parallelism=TASKS_AT_ONCE,
            database=self.database,
            settings={
                **{f"AIRFLOW__{name}": value for name, value in _SETTINGS.items()},
                **self.database.settings,
                "AIRFLOW__CORE__FERNET_KEY": self.fernet_key,
                "WANX_FAULT_ORDERS": str(self.orders),
                **self.ground.settings,
            },
            installation=self.ground.installation,
        )

    def _aws_connection(self, url: str) -> dict[str, Any]:
        return {
            "conn_type": "aws",
            "login": "AKIAFAULTSFAULTSFAUL",
            "password": self.aws_secret,
            "extra": {
                "endpoint_url": url,
                "region_name": REGION,
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            },
        }


def _connection(fault: Fault, place: Place) -> dict[str, Any]:
    url = place.proxy.url if place.proxy is not None else place.simulator_url
    return {
        "conn_type": "dashscope",
        "host": url,
        "password": place.key,
        "extra": dict(fault.connection),
    }
