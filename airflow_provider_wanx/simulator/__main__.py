"""The command line: ``python -m airflow_provider_wanx.simulator``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from airflow_provider_wanx.simulator.server import READY, SimulatorServer, address, bind
from airflow_provider_wanx.simulator.settings import DESCRIPTION, EPILOG, Settings, add_options


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, or, if that is wanted, until the input ends.

    :param arguments: the command line; None takes the process's own.
    :return: the exit code.
    """
    name = "python -m airflow_provider_wanx.simulator"
    parser = argparse.ArgumentParser(prog=name, description=DESCRIPTION, epilog=EPILOG)
    add_options(parser.add_argument)
    try:
        return serve(parser.parse_args(arguments))
    except (ValueError, OSError) as error:
        parser.error(str(error))


def serve(options: argparse.Namespace) -> int:
    """Serve with options that were read already.

    :param options: see :func:`~airflow_provider_wanx.simulator.settings.add_options`.
    :return: the exit code.
    :raises ValueError: an option is wrong, or other machines can reach the host.
    :raises OSError: the port cannot be had.
    """
    settings = _settings(options)
    sock = bind(options.host, options.port, allow_remote=options.allow_remote)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    # The inputs that it fetches are the ledger's business.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    announce = partial(print, READY, address(sock), sep="", flush=True)
    server = SimulatorServer(settings=settings, verbose=options.verbose, ready=announce)
    if options.until_input_ends:
        threading.Thread(target=_stop_with_input, args=(server,), daemon=True).start()
    server.run(sockets=[sock])
    return 0 if server.started else 1


def _stop_with_input(server: SimulatorServer) -> None:
    # Not through sys.stdin, whose lock a thread that is still reading would hold when the process ends.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.stop()


def _settings(options: argparse.Namespace) -> Settings:
    given: dict[str, Any] = {}
    for each in fields(Settings):
        value = getattr(options, each.name)
        given[each.name] = tuple(value) if isinstance(value, list) else value
    return Settings(**given)


if __name__ == "__main__":
    sys.exit(main())
