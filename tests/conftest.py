"""What holds for all tests: an Airflow home of their own, and no network but loopback."""

from __future__ import annotations

import functools
import gc
import ipaddress
import os
import socket
import ssl
import sys
import tempfile
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from tests.errors import StackError

# Before anything imports Airflow, which writes its settings into its home as soon as it is imported.
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "AWS_", "DASHSCOPE_"))]:
    del os.environ[_name]
_HOME = tempfile.TemporaryDirectory(prefix="wanx-tests-")
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    # One that Airflow makes up is too short for what signs with it, which says so at each use.
    "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-tests-" * 5,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "*",
    # Where commands keep records of what they have submitted.
    "XDG_STATE_HOME": f"{_HOME.name}/state",
}


def _is_local(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _stay_on_loopback(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo" and not _is_local(arguments[0]):
        raise socket.gaierror(socket.EAI_NONAME, f"Tests stay on loopback: {arguments[0]!r}")
    if event == "socket.connect" and isinstance(arguments[1], tuple) and not _is_local(arguments[1][0]):
        raise ConnectionRefusedError(f"Tests stay on loopback: {arguments[1]!r}")


sys.addaudithook(_stay_on_loopback)

# Every client of every test would read the same certificates anew, which takes longer than its requests.
ssl.create_default_context = functools.cache(ssl.create_default_context)


def pytest_xdist_auto_num_workers() -> int:
    """Run three processes on two cores: a third of their time, tests wait."""
    return max(2, 3 * (os.cpu_count() or 1) // 2)


# Looking for garbage takes a fifth of the time in which Airflow and the tests are loaded, and most of what they make stays.
gc.disable()


@pytest.fixture(scope="session")
def foreign_connections() -> Iterator[list[Any]]:
    """Collect the connections that boto3 and the official SDK open."""
    from urllib3.connection import HTTPConnection

    opened: list[Any] = []
    open_one = HTTPConnection._new_conn

    def collected(connection: HTTPConnection) -> Any:
        opened.append(connection)
        return open_one(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPConnection, "_new_conn", collected)
        yield opened


@pytest.fixture(autouse=True)
def close_foreign_connections(foreign_connections: list[Any]) -> Iterator[None]:
    """Close what boto3 and the official SDK leave open: it would be found as garbage later, and whoever runs then be blamed."""
    yield
    while foreign_connections:
        foreign_connections.pop().close()


_told: set[int] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell in one sentence that what tests need has not come up, which every test after that would tell with a traceback."""
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if call.when == "setup" and isinstance(error, StackError):
        notes = [] if id(error) in _told else getattr(error, "__notes__", [])
        _told.add(id(error))
        report.longrepr = "\n".join([str(error), *notes])
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Leave what is loaded by now out of every later garbage collection."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """Do the same with what all tests share: after an application of Airflow a collection takes half a second."""
    value = yield
    if fixturedef.scope == "session":
        gc.freeze()
    return value
