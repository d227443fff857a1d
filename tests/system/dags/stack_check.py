"""A DAG that touches every component once: a worker, a trigger that waits for a file, a worker again."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.standard.triggers.file import FileTrigger
from airflow.sdk import BaseOperator, Param, dag, task


class WaitForFile(BaseOperator):
    """Wait in the triggerer until a file appears."""

    template_fields = ("path",)

    def __init__(self, *, path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path

    def execute(self, context: Any) -> None:
        """Leave the worker at once."""
        trigger = FileTrigger(filepath=self.path, recursive=False, poke_interval=0.5)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Any, event: Any = None) -> str:
        """Come back to a worker."""
        return self.path


@dag(schedule=None, catchup=False, params={"path": Param("", type="string")})
def stack_check() -> None:
    """Push, wait, push."""

    @task
    def push(**context: Any) -> dict[str, int]:
        logging.getLogger(__name__).info("a line for the log")
        return {"try_number": context["ti"].try_number}

    # Airflow 3.3.2 fails a task that resumes before the scheduler has seen that the deferring process ended.
    push() >> WaitForFile(
        task_id="wait", path="{{ params.path }}", retries=2, retry_delay=timedelta(seconds=1)
    )


stack_check()
