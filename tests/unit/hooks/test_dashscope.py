"""The hook against a local DashScope."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_wanx.dashscope.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidInputError,
    TransportError,
)
from airflow_provider_wanx.dashscope.models import TaskStatus
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.jobs.submitting.submitter import cancel_tasks
from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.support.pictures import picture

SERVICE = "aigc/image-generation/generation"
MODEL = "wanx-style-repaint-v1"


def repaint(simulator: BackgroundSimulator, **more: Any) -> dict[str, Any]:
    """What submits one repaint of the simulator's own portrait."""
    given = {"image_url": simulator.portrait_url, "style_index": 3, **more}
    return {"service": SERVICE, "model": MODEL, "input": given}


class Blocking:
    """The hook's blocking methods, awaitable so that one test serves both kinds."""

    def __init__(self, hook: DashScopeHook) -> None:
        self._hook = hook

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._hook, name)

        async def call(*arguments: Any, **keywords: Any) -> Any:
            return method(*arguments, **keywords)

        return call


class Awaiting:
    """The hook's asynchronous methods."""

    def __init__(self, hook: DashScopeHook) -> None:
        self._hook = hook

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._hook, f"a{name}")
        return method


@pytest.fixture
def hook() -> Iterator[DashScopeHook]:
    with DashScopeHook() as opened:
        yield opened


@pytest.fixture(params=[Blocking, Awaiting])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """The hook, once by its blocking and once by its asynchronous methods."""
    async with AsyncExitStack() as opened:
        hook = DashScopeHook()
        opened.callback(hook.close)
        opened.push_async_callback(hook.aclose)
        yield request.param(hook)


async def test_a_task_is_submitted_read_and_listed(dashscope: BackgroundSimulator, both: Any) -> None:
    submission = await both.submit_task(**repaint(dashscope))
    assert submission.status is TaskStatus.PENDING
    dashscope.advance(9)
    task = await both.get_task(submission.task_id)
    assert (task.status, task.style_index, len(task.results)) == (TaskStatus.SUCCEEDED, 3, 1)
    page = await both.list_tasks(model_name=MODEL, status="SUCCEEDED")
    assert [row.task_id for row in page.tasks] == [submission.task_id]


async def test_only_a_queued_task_is_canceled(at_rest: BackgroundSimulator, both: Any) -> None:
    first, second = [(await both.submit_task(**repaint(at_rest))).task_id for _ in range(2)]
    assert await both.cancel_task(second) is True
    at_rest.advance(9)
    assert await both.cancel_task(first) is False
    assert (await both.get_task(second)).status is TaskStatus.CANCELED


@pytest.mark.parametrize("kind", [str, Path, bytes])
async def test_a_file_is_uploaded_and_the_service_can_read_it(
    dashscope: BackgroundSimulator, both: Any, tmp_path: Path, kind: type
) -> None:
    path = tmp_path / "portrait one.png"
    path.write_bytes(picture())
    given = path.read_bytes() if kind is bytes else kind(path)
    url = await both.upload_file(given, model=MODEL, filename="portrait.png" if kind is bytes else None)
    assert url.startswith("oss://")
    assert url.endswith(".png")
    submission = await both.submit_task(**repaint(dashscope, image_url=url))
    dashscope.advance(9)
    assert (await both.get_task(submission.task_id)).status is TaskStatus.SUCCEEDED


async def test_a_file_that_cannot_be_read_is_told_and_nothing_is_sent(
    dashscope: BackgroundSimulator, both: Any, tmp_path: Path
) -> None:
    with pytest.raises(
        InvalidInputError, match=r"No such file or directory: '.*nowhere\.png' cannot be uploaded"
    ):
        await both.upload_file(tmp_path / "nowhere.png", model=MODEL)
    assert "upload_policy" not in dashscope.ledger(summary=True)["endpoints"]


def test_every_method_about_tasks_has_an_asynchronous_counterpart_with_the_same_arguments() -> None:
    asking = ["submit_task", "get_task", "list_tasks", "cancel_task", "upload_file"]
    for name in asking:
        method, counterpart = getattr(DashScopeHook, name), getattr(DashScopeHook, f"a{name}")
        assert inspect.iscoroutinefunction(counterpart)
        assert inspect.signature(counterpart) == inspect.signature(method)


def test_the_connection_is_read_when_it_is_first_used_and_not_before(
    set_connection: Callable[..., None], dashscope: BackgroundSimulator
) -> None:
    hook = DashScopeHook("made_later")
    set_connection("made_later", dashscope.connection_json())
    with hook:
        assert hook.list_tasks().total == 0


def test_a_closed_hook_opens_again_with_what_the_connection_is_then(
    set_connection: Callable[..., None], dashscope: BackgroundSimulator
) -> None:
    set_connection("rotated", {"conn_type": "dashscope", "host": dashscope.url, "password": "no-key"})
    with DashScopeHook("rotated") as hook:
        with pytest.raises(AuthenticationError):
            hook.list_tasks()
        hook.close()
        set_connection("rotated", dashscope.connection_json())
        assert hook.list_tasks().total == 0


def test_a_bad_connection_is_told_at_the_first_use(set_connection: Callable[..., None]) -> None:
    set_connection("bad", {"conn_type": "dashscope"})
    with pytest.raises(ConfigurationError, match="Connection 'bad': there is no API key"):
        DashScopeHook("bad").get_task("any")


class TestTestConnection:
    """Airflow's "Test" button."""

    def outcome(self, connection: str) -> tuple[bool, str]:
        from airflow_provider_wanx.hooks.dashscope import DashScopeHook

        return DashScopeHook(connection).test_connection()

    def test_a_good_connection_passes_and_costs_nothing(self, dashscope: BackgroundSimulator) -> None:
        host = dashscope.url.removeprefix("http://")
        assert self.outcome("dashscope_default") == (
            True,
            (
                f"{host} accepts the key. 0 task(s) in the last 24 hours. "
                "wanx-style-repaint-v1: 1 task(s) at a time, 1000 waiting."
            ),
        )
        ledger = dashscope.ledger(summary=True)
        assert ledger["totals"]["submissions"] == 0
        assert set(ledger["endpoints"]) == {"list_tasks", "quotas", "models"}

    def test_it_tells_the_documented_limits(
        self, connect_dashscope: Callable[..., BackgroundSimulator]
    ) -> None:
        connect_dashscope()
        assert self.outcome("dashscope_default")[1].endswith(
            "wanx-style-repaint-v1: 2 submission(s) in 1 s, 1 task(s) at a time, 1000 waiting."
        )

    def test_limits_that_cannot_be_read_are_told_and_do_not_fail_it(
        self, dashscope: BackgroundSimulator
    ) -> None:
        dashscope.add_fault(endpoint="quotas", kind="status", status=403)
        passed, message = self.outcome("dashscope_default")
        assert passed
        assert "whether it may use wanx-style-repaint-v1, are not known: Could not" in message

    def test_a_wrong_key_fails_with_advice(
        self, dashscope: BackgroundSimulator, set_connection: Callable[..., None]
    ) -> None:
        set_connection("wrong", {"conn_type": "dashscope", "host": dashscope.url, "password": "wrong-key"})
        passed, message = self.outcome("wrong")
        assert not passed
        assert "Check the API key" in message
        assert "wrong-key" not in message

    def test_an_address_where_nobody_answers_fails(
        self, set_connection: Callable[..., None], unused_tcp_port: int
    ) -> None:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        connection = {"conn_type": "dashscope", "host": url, "password": "sk-x", "extra": {"retry_for": 0}}
        set_connection("nobody", connection)
        passed, message = self.outcome("nobody")
        assert not passed
        assert "cannot be reached" in message
        assert "Check host and port" in message

    def test_a_configuration_mistake_fails_with_its_name(self, set_connection: Callable[..., None]) -> None:
        set_connection("typo", {"conn_type": "dashscope", "password": "sk-x", "extra": {"workspaces": "1"}})
        passed, message = self.outcome("typo")
        assert not passed
        assert "Connection 'typo': extra workspaces is not known" in message

    def test_airflow_finds_the_hook_by_the_connections_type(self, dashscope: BackgroundSimulator) -> None:
        from airflow.models.connection import Connection as StoredConnection

        connection = StoredConnection(
            conn_id="dashscope_default", conn_type="dashscope", host=dashscope.url, password="sk-any"
        )
        assert connection.test_connection()[0]


def test_airflow_makes_the_hook_of_a_connection(dashscope: BackgroundSimulator) -> None:
    hook = DashScopeHook.get_connection("dashscope_default").get_hook()
    assert isinstance(hook, DashScopeHook)
    with hook:
        assert hook.list_tasks().total == 0


def test_canceling_many_goes_on_after_one_that_cannot_be_reached(
    at_rest: BackgroundSimulator, hook: DashScopeHook, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [hook.submit_task(**repaint(at_rest)).task_id for _ in range(4)]
    at_rest.add_fault(endpoint="cancel", kind="status", status=403, task_id=ids[1])
    with caplog.at_level(logging.INFO):
        cancel_tasks(hook.get_conn(), ids, logging.getLogger("task"))
    outcomes = [record.getMessage() for record in caplog.records if record.name == "task"]
    assert f"{ids[0]} is past canceling" in outcomes[0]
    assert f"{ids[1]} could not be canceled: " in outcomes[1]
    assert f"Canceled DashScope task {ids[2]} while it was queued; it is not billed." in outcomes[2]
    assert hook.get_task(ids[3]).status is TaskStatus.CANCELED


def test_canceling_never_raises_the_services_errors(
    set_connection: Callable[..., None], unused_tcp_port: int
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    set_connection(
        "nobody", {"conn_type": "dashscope", "host": url, "password": "sk-x", "extra": {"retry_for": 0}}
    )
    with DashScopeHook("nobody") as hook:
        with pytest.raises(TransportError):
            hook.cancel_task("one")
        cancel_tasks(hook.get_conn(), ["one", "two"], logging.getLogger("task"))
