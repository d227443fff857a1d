"""A secret goes to the house that it belongs to: nothing is sent with a connection of another type."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_wanx.cli.definition import make_parser
from airflow_provider_wanx.dashscope.errors import ConfigurationError
from airflow_provider_wanx.hooks.connection import shared_config
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.hooks.storage import s3_destination
from airflow_provider_wanx.s3.hook import s3_hook
from tests.unit.dashscope.support.scripted_server import ScriptedServer

SECRET = "sk-0123456789abcdef"

TYPES = ["aws", "http", "postgres", "dashscope_eu", "DashScope", "", None]


@pytest.fixture
def house() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


def in_a_triggerer(conn_id: str) -> Any:
    return asyncio.run(shared_config(conn_id))


def in_a_program(conn_id: str) -> Any:
    async def listed() -> Any:
        async with DashScopeHook(conn_id) as hook:
            return await hook.alist_tasks()

    return asyncio.run(listed())


WAYS: dict[str, Callable[[str], Any]] = {
    "hook": lambda conn_id: DashScopeHook(conn_id).list_tasks(),
    "asynchronous hook": in_a_program,
    "triggerer": in_a_triggerer,
    "record": lambda conn_id: DashScopeHook(conn_id).record_path(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("conn_type", TYPES)
def test_nothing_is_sent_with_a_connection_of_another_type(
    set_connection: Callable[..., None], house: ScriptedServer, conn_type: str | None, way: str
) -> None:
    fields = {"host": "127.0.0.1", "schema": "http", "port": house.port, "password": SECRET}
    set_connection("chosen", fields | ({} if conn_type is None else {"conn_type": conn_type}))

    with pytest.raises(
        ConfigurationError, match=r"Connection 'chosen': it .*needs one of type 'dashscope'"
    ) as error:
        WAYS[way]("chosen")

    assert house.connections == 0
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("scheme", ["aws", "http", "https", "postgresql", "dashscope-eu", "dashscope+http"])
def test_the_scheme_of_a_uri_is_its_type(
    set_connection: Callable[..., None], house: ScriptedServer, scheme: str
) -> None:
    set_connection("chosen", f"{scheme}://:{SECRET}@127.0.0.1:{house.port}/http")

    with pytest.raises(ConfigurationError, match="needs one of type 'dashscope'"):
        DashScopeHook("chosen").list_tasks()
    assert house.connections == 0


def test_the_form_and_the_command_line_say_the_same(
    set_connection: Callable[..., None], house: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    set_connection(
        "chosen", {"conn_type": "http", "host": f"http://127.0.0.1:{house.port}", "password": SECRET}
    )

    passed, said = DashScopeHook("chosen").test_connection()
    arguments = make_parser().parse_args(["tasks", "list", "--connection", "chosen"])
    with pytest.raises(SystemExit) as ended:
        arguments.func(arguments)

    assert not passed
    assert "is of type 'http'" in said
    assert "is of type 'http'" in capsys.readouterr().err
    assert ended.value.code == 2
    assert house.connections == 0


@pytest.mark.parametrize("conn_type", ["dashscope", "http", "postgres"])
def test_s3_is_not_signed_with_the_secret_of_another_service(
    set_connection: Callable[..., None], house: ScriptedServer, conn_type: str
) -> None:
    extra = {"endpoint_url": f"http://127.0.0.1:{house.port}", "region_name": "eu-west-1"}
    set_connection("chosen", {"conn_type": conn_type, "login": "someone", "password": SECRET, "extra": extra})

    with pytest.raises(ConfigurationError, match=f"Connection 'chosen' is of type '{conn_type}'.*'aws'"):
        s3_destination(aws_conn_id="chosen", bucket="results").check()
    assert house.connections == 0


def test_an_aws_connection_that_does_not_exist_is_named_and_the_default_one_need_not_exist() -> None:
    with pytest.raises(ConfigurationError, match="There is no AWS connection 'aws_resluts'"):
        s3_hook("aws_resluts")
    # Whoever has none takes the credentials of the machine.
    assert s3_hook("aws_default").conn_config.login is None
    assert s3_hook(None).aws_conn_id is None
