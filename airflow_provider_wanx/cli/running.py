"""Run a command: what comes to its user of errors, and where the service is reached."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from airflow_provider_wanx.cli.output import only_results_on_stdout, say
from airflow_provider_wanx.dashscope.config import DEFAULT_BASE_URL, ClientConfig
from airflow_provider_wanx.dashscope.errors import (
    ConfigurationError,
    InvalidInputError,
    ProviderError,
    WaitTimeoutError,
)

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient

DONE, REFUSED, WRONG_USE, TIME_OVER, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""

KEY_VARIABLE = "DASHSCOPE_API_KEY"
"""Environment variable with the API key, as the official SDK names it."""


def exit_code_of(runs: str, arguments: Namespace) -> int:
    """Run a command; print its error, if it ends in one, in one line.

    :param runs: ``module.function`` below this package; takes the arguments and returns an exit code.
    :param arguments: the command line as it was read.
    """
    module, _, name = runs.rpartition(".")
    try:
        command: Callable[[Namespace], int] = getattr(import_module(f"{__package__}.{module}"), name)
        with only_results_on_stdout():
            code = command(arguments)
    except ProviderError as error:
        say(f"Error: {error}")
        return WRONG_USE if isinstance(error, ConfigurationError | InvalidInputError) else failure_code(error)
    except KeyboardInterrupt:
        say("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python would complain again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def failure_code(error: ProviderError) -> int:
    """Return the exit code for a task that was not waited for to its end, or has not succeeded."""
    return TIME_OVER if isinstance(error, WaitTimeoutError) else REFUSED


def open_client(arguments: Namespace) -> DashScopeClient:
    """Make a client from the connection that the user names, the key in the environment, or the default connection.

    :param arguments: with ``connection`` and ``host``.
    :raises ConfigurationError: none of them can be used.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if key and not arguments.connection:
        config = ClientConfig(api_key=key, base_url=arguments.host or DEFAULT_BASE_URL)
    elif arguments.host:
        raise ConfigurationError(
            f"--host goes with a key in {KEY_VARIABLE}; an Airflow connection has a host of its own."
        )
    else:
        config = _from_airflow(arguments.connection)
    from airflow_provider_wanx.dashscope.client import DashScopeClient  # loads httpx

    return DashScopeClient(config)


def _from_airflow(conn_id: str | None) -> ClientConfig:
    use_airflows_connections()
    from airflow_provider_wanx.hooks.connection import client_config
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook

    conn_id = conn_id or DashScopeHook.default_conn_name
    try:
        connection = DashScopeHook.get_connection(conn_id)
    except Exception as error:  # noqa: BLE001 - Airflow's database, or a secrets backend, may fail in any way
        reason = " ".join(str(error).split())
        raise ConfigurationError(
            f"Airflow connection {conn_id!r} cannot be read ({reason}). Name another with --connection, or put the key "
            f"into {KEY_VARIABLE}."
        ) from None
    return client_config(connection)


def use_airflows_connections() -> None:
    """Let Airflow 3 look for connections in its database too, as its own commands do."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
