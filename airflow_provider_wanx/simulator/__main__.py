"""The command line: ``python -m airflow_provider_wanx.simulator``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields

from airflow_provider_wanx.simulator.options import DESCRIPTION, EPILOG, add_options
from airflow_provider_wanx.simulator.server import READY, SimulatorServer, address, bind
from airflow_provider_wanx.simulator.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, or, if that is wanted, until the input ends.

    :param arguments: the command line; None takes the process's own.
    :return: the exit code.
    """
    parser = _parser()
    try:
        return serve(parser.parse_args(arguments))
    except (ValueError, OSError) as error:
        parser.error(str(error))


def serve(options: argparse.Namespace) -> int:
    """Serve with options that were read already.

    :param options: see :func:`~airflow_provider_wanx.simulator.options.add_options`.
    :return: the exit code.
    :raises ValueError: an option is wrong, or other machines can reach the host.
    :raises OSError: the port cannot be had.
    """
    settings = _settings(options)
    sock = bind(options.host, options.port, allow_remote=options.allow_remote)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    # The inputs that it fetches are the ledger's business.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    where = address(sock)
    server = SimulatorServer(settings=settings, verbose=options.verbose, ready=lambda: _announce(where))
    if options.until_input_ends:
        threading.Thread(target=_stop_with_input, args=(server,), daemon=True).start()
    server.run(sockets=[sock])
    return 0 if server.started else 1


def _stop_with_input(server: SimulatorServer) -> None:
    # Not through sys.stdin, whose lock a thread that is still reading would hold when the process ends.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.stop()


def _announce(where: str) -> None:
    sys.stdout.write(f"{READY}{where}\n")
    sys.stdout.flush()


def _settings(options: argparse.Namespace) -> Settings:
    given = {
        name: getattr(options, name) for name in (each.name for each in fields(Settings)) if name in options
    }
    return Settings(**given | {"api_keys": tuple(options.api_keys), "workspaces": tuple(options.workspaces)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_wanx.simulator", description=DESCRIPTION, epilog=EPILOG
    )
    add_options(parser.add_argument)
    return parser


if __name__ == "__main__":
    sys.exit(main())
