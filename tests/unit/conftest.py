"""Connections to a local DashScope and a local S3."""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import json
import logging
import os
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from packaging.version import Version

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.stack.ports import free_port
from tests.unit.support.s3 import Bucket, connection_json

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

# How long an example takes is up to the machine.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_ABSENT: pytest.StashKey[Any] = pytest.StashKey()
# Not asked of Airflow itself, which takes a second to load: the process that only hands tests out to others does without.
_AIRFLOW_VERSION = importlib.metadata.version("apache-airflow")


def pytest_configure(config: pytest.Config) -> None:
    """Register the one way in which a test says that its subject is not there on some versions of Airflow."""
    config.addinivalue_line(
        "markers",
        "needs_airflow(version, subject): what is tested needs this version of Airflow; with an older one the test is "
        "left out, and counted by its subject",
    )
    config.stash[_ABSENT] = Counter()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the installed Airflow cannot do. Its absence has tests of its own, which are never left out."""
    left_out = {item: subject for item in items if (subject := _absent(item))}
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=list(left_out))
    # Whole applications of Airflow are made for them. Idle processes take tests over from the end of what another one has.
    items.sort(key=lambda item: "plugins" not in item.path.parts)
    config.stash[_ABSENT] = Counter(left_out.values())
    if hasattr(config, "workeroutput"):
        config.workeroutput["absent"] = dict(config.stash[_ABSENT])


def _absent(item: pytest.Item) -> str | None:
    for mark in item.iter_markers("needs_airflow"):
        needed, subject = mark.args
        if Version(_AIRFLOW_VERSION).release < Version(needed).release:
            return f"{subject} (Airflow {needed})"
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process of pytest-xdist has left out; all of them collect the same."""
    node.config.stash[_ABSENT] = Counter(getattr(node, "workeroutput", {}).get("absent"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print one line for each subject that this Airflow does not have."""
    absent = config.stash[_ABSENT]
    if absent:
        terminalreporter.section(f"absent on Airflow {_AIRFLOW_VERSION}: {absent.total()} tests left out")
        for subject, tests in sorted(absent.items()):
            terminalreporter.write_line(f"absent: {subject}: {tests} tests")


@pytest.fixture
def set_connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Define Airflow connections the way users do it in a deployment: through the environment."""

    def define(conn_id: str, connection: str | dict[str, Any]) -> None:
        text = connection if isinstance(connection, str) else json.dumps(connection)
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", text)

    return define


@pytest.fixture
def connect_dashscope(
    dashscope_simulator_factory: Callable[..., BackgroundSimulator],
    set_connection: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., BackgroundSimulator]:
    """Start a local DashScope with settings of the test's choice, behind ``dashscope_default``."""
    # Where submissions leave their pace; this machine's own folder would fill with accounts of one test each.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def start(**settings: Any) -> BackgroundSimulator:
        simulator = dashscope_simulator_factory(**settings)
        # Nothing here is about pacing.
        limits = {"submissions_per_second": 1000, "requests_per_second": 1000}
        set_connection("dashscope_default", simulator.connection_json(retry_for=2, timeout=60, **limits))
        return simulator

    return start


@pytest.fixture
def dashscope(connect_dashscope: Callable[..., BackgroundSimulator]) -> BackgroundSimulator:
    """A local DashScope behind ``dashscope_default`` whose rate limits no test meets by accident, and whose jobs are short."""
    return connect_dashscope(submit_rate=0, task_rate=0, duration=2.0)


@pytest.fixture
def at_rest(connect_dashscope: Callable[..., BackgroundSimulator]) -> BackgroundSimulator:
    """A local DashScope whose clock only moves when a test moves it, as far as a test can tell."""
    return connect_dashscope(speed=0.01, submit_rate=0, task_rate=0)


@pytest.fixture
def slow(connect_dashscope: Callable[..., BackgroundSimulator]) -> BackgroundSimulator:
    """A service that works on one task at a time and takes an hour for each, unless a test moves its clock."""
    return connect_dashscope(speed=0.01, submit_rate=0, task_rate=0, concurrency=1, duration=3600.0)


@pytest.fixture
def painted(dashscope: BackgroundSimulator) -> Callable[..., list[str]]:
    """Have portraits repainted."""
    # Here, because it loads Airflow.
    from tests.unit.support.service import submit_repaints

    def ended(*styles: int) -> list[str]:
        ids = submit_repaints(dashscope, *(styles or (31,)))
        for _ in ids:
            dashscope.advance(9)
        return ids

    return ended


@pytest.fixture
def queued(at_rest: BackgroundSimulator) -> tuple[BackgroundSimulator, str]:
    """A local DashScope that does not get on, and the id of a task in its queue."""
    # As above.
    from tests.unit.support.service import submit_repaints

    return at_rest, submit_repaints(at_rest, 0, 1, 2)[-1]


def _made_once(make: Callable[..., Any]) -> Callable[..., Any]:
    """Give hooks with the same arguments and the same connection the same client: it takes longer to make than most uses."""
    made: dict[Any, Any] = {}

    def client(hook: AwsGenericHook[Any], **arguments: Any) -> Any:
        text = os.environ.get(f"AIRFLOW_CONN_{str(hook.aws_conn_id).upper()}")
        config = vars(hook.config).get("_user_provided_options") if hook.config else None
        key = (type(hook), text, hook.region_name, hook.verify, repr(config), repr(arguments))
        if key not in made:
            made[key] = make(hook, **arguments)
        return made[key]

    return client


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """Address of a local S3. What this process asks it is answered in place; HTTP is for those who have a URL only."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with pytest.MonkeyPatch.context() as patch:
        # moto reads it when it is imported.
        patch.setenv("MOTO_S3_CUSTOM_ENDPOINTS", url)
        import botocore.session
        from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
        from moto import mock_aws
        from moto.backend_index import backend_url_patterns
        from moto.core import botocore_stubber
        from moto.s3.models import S3Backend
        from moto.server import ThreadedMotoServer

        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        # Every client of every test would read some megabytes of JSON anew.
        patch.setattr(botocore.session, "create_loader", functools.cache(botocore.session.create_loader))
        # Only for the user agent, every hook would read the source of every function that leads to it, pytest's too.
        patch.setattr(AwsGenericHook, "_generate_user_agent_extra_field", lambda *_, **__: "")
        patch.setattr(AwsGenericHook, "get_client_type", _made_once(AwsGenericHook.get_client_type))
        # Else parts of large objects, which boto3 takes as bytearray, are no body to what answers in place.
        stubber = botocore_stubber.BotocoreStubber
        answer = stubber.process_request
        patch.setattr(stubber, "process_request", lambda self, request: answer(self, _with_bytes(request)))
        # Every request would be compared with the addresses of 200 services, and those of S3 be put together anew.
        only_s3 = [(service, pattern) for service, pattern in backend_url_patterns if service == "s3"]
        patch.setattr(vars(botocore_stubber)["backend_index"], "backend_url_patterns", only_s3)
        patch.setattr(
            S3Backend, "urls", property(functools.cache(inspect.getattr_static(S3Backend, "urls").fget))
        )
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        server.start()
        with mock_aws(config={"core": {"mock_credentials": False}}):
            yield url
        server.stop()


def _with_bytes(request: Any) -> Any:
    if isinstance(request.body, bytearray):
        request.body = bytes(request.body)
    return request


@pytest.fixture
def bucket(s3_url: str, set_connection: Callable[..., None]) -> Bucket:
    """An empty bucket behind ``aws_default``."""
    set_connection("aws_default", connection_json(s3_url))
    return Bucket(url=s3_url, name=f"bucket-{uuid.uuid4()}")
