"""What hits all of Airflow at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.stack import Airflow, PostgresDatabase, StackError, wait_until

API_SERVER_DOWN = 10.0
DATABASE_DOWN = 20.0


class Outages:
    """Outages by name.

    :param airflow: whom they hit
    """

    def __init__(self, *, airflow: Airflow, database: PostgresDatabase) -> None:
        self._airflow = airflow
        self._database = database
        self._strikes: dict[str, Callable[[], None]] = {
            "triggerer": self._kill_triggerer,
            "one triggerer of two": self._kill_one_triggerer,
            "scheduler": self._kill_scheduler,
            "API server": self._kill_api_server,
            "database": self._cut_database,
            # The row itself kills, and wants the others out of the way.
            "random kills": lambda: None,
        }

    def strike(self, name: str) -> None:
        """Cause an outage, and return when Airflow works again."""
        self._strikes[name]()

    @contextmanager
    def setting(self, name: str) -> Iterator[None]:
        """What has to be there before an outage, and to be put right after it."""
        if name == "one triggerer of two":
            second = self._airflow.add_triggerer()
            try:
                yield
            finally:
                if not self._airflow.triggerer.running:
                    self._airflow.triggerer.start()
                second.stop()
        elif name == "database":
            with self._service_manager():
                yield
        else:
            yield

    def _kill_triggerer(self) -> None:
        self._airflow.triggerer.kill(signal.SIGKILL)
        self._airflow.triggerer.start()

    def _kill_one_triggerer(self) -> None:
        self._airflow.triggerer.kill(signal.SIGKILL)

    def _kill_scheduler(self) -> None:
        # With its executor, supervisors and tasks, as the end of a pod or a machine does.
        self._airflow.scheduler.kill(signal.SIGKILL)
        self._airflow.scheduler.start()

    def _kill_api_server(self) -> None:
        self._airflow.api_server.kill(signal.SIGKILL)
        time.sleep(API_SERVER_DOWN)
        self._airflow.api_server.start()
        self._wait_for_api()

    def _cut_database(self) -> None:
        with self._database.cut_off():
            time.sleep(DATABASE_DOWN)
        self._wait_for_api()

    def _wait_for_api(self) -> None:
        wait_until(
            lambda: self._airflow.api.health().get("metadatabase") == "healthy",
            what="the API server to answer again",
        )

    @contextmanager
    def _service_manager(self) -> Iterator[None]:
        """Start again what ends by itself, as systemd or Kubernetes does."""
        over = threading.Event()
        wanted = [process for process in self._airflow.processes if process.running]

        def watch() -> None:
            while not over.wait(1.0):
                for process in wanted:
                    if not process.running:
                        process.start()

        thread = threading.Thread(target=watch, name="service-manager")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class Meeting:
    """Where the rows that share an outage wait for each other before it strikes.

    :param parties: how many rows
    :param strike: causes the outage
    """

    def __init__(self, *, parties: int, strike: Callable[[], None]) -> None:
        self._barrier = threading.Barrier(parties, action=strike)

    def wait(self, *, timeout: float) -> None:
        """Wait until every row is where the outage is to find it, and until that is over.

        :raises StackError: another row did not come that far
        """
        try:
            self._barrier.wait(timeout)
        except threading.BrokenBarrierError:
            raise StackError("The rows did not come together for the outage") from None

    def give_up(self) -> None:
        """Let the others know that one row will not come."""
        self._barrier.abort()
