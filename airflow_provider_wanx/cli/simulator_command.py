"""``simulator``: serve the local DashScope."""

from __future__ import annotations

from argparse import Namespace
from contextlib import redirect_stdout

from airflow_provider_wanx.cli.output import results
from airflow_provider_wanx.dashscope.errors import ConfigurationError, InvalidInputError


def serve_simulator(arguments: Namespace) -> int:
    """Serve until interrupted."""
    try:
        from airflow_provider_wanx.simulator.__main__ import serve
    except ImportError as error:
        raise ConfigurationError(
            f"The simulator needs {error.name}: install airflow-provider-wanx[simulator]."
        ) from None
    try:
        with redirect_stdout(results()):
            return serve(arguments)
    except (ValueError, OSError) as error:
        raise InvalidInputError(str(error)) from None
