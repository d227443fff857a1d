"""Leaves a planted secret wherever a careless provider could leave a real one: what finds it there, finds any other."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.providers.standard.triggers.file import FileTrigger
from airflow.sdk import DAG, BaseOperator


class Careless(BaseOperator):
    """Logs, returns, stores, defers with and fails with a secret.

    :param words: the secret, under a name that Airflow does not mask
    """

    template_fields = ("words",)

    def __init__(self, *, words: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = words

    def execute(self, context: Any) -> None:
        """Leave it in log, XCom, task state and trigger; the file that the trigger waits for never comes."""
        logging.getLogger(__name__).info("the planted secret is %s", self.words)
        context["ti"].xcom_push(key="careless", value=self.words)
        context["task_state_store"].set("careless", self.words)
        trigger = FileTrigger(filepath=f"/nowhere/{self.words}", recursive=False)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=5))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Leave it in an exception."""
        raise ValueError(f"it was {self.words[::-1]}, read backwards")


with DAG(dag_id="planted", schedule=None, params={"row": "", "words": ""}):
    Careless(task_id="careless", words="{{ params.words }}")
