"""The command line: ``python -m airflow_provider_wanx.simulator``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import partial

from airflow_provider_wanx.simulator.server import READY, SimulatorServer, address, bind
from airflow_provider_wanx.simulator.settings import (
    LIST_ORDERS,
    RATE_WINDOWS,
    UNKNOWN_MODEL_ANSWERS,
    Settings,
    is_loopback,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, or, if that is wanted, until the input ends.

    :param arguments: the command line; None takes the process's own.
    :return: the exit code.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.allow_remote and not is_loopback(options.host):
        parser.error(
            f"{options.host} can be reached from other machines, and whoever reaches the simulator controls it "
            "and makes it fetch addresses; give --allow-remote if that is wanted"
        )
    try:
        settings = _settings(options)
        sock = bind(options.host, options.port)
    except (ValueError, OSError) as error:
        parser.error(str(error))
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
    given = {each.name: getattr(options, each.name) for each in fields(Settings)}
    return Settings(**given | {"api_keys": tuple(options.api_keys), "workspaces": tuple(options.workspaces)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_wanx.simulator",
        description="A local DashScope: submits, queues and really paints, without key, cost or network.",
        epilog="All durations are seconds of the service's clock, which --speed scales.",
    )
    parser.set_defaults(**asdict(Settings()))
    add = parser.add_argument
    number = partial(add, type=float)
    listed = partial(add, action="append", default=[])
    add("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    add("--port", type=int, default=8089, help="port to serve on; 0 takes a free one (default: %(default)s)")
    add("--allow-remote", action="store_true", help="serve on an address that other machines can reach")
    number("--speed", help="service seconds in a real one (default: %(default)s)")
    listed("--api-key", dest="api_keys", metavar="KEY", help="accept this key only; repeatable")
    listed("--workspace", dest="workspaces", metavar="ID", help="know this workspace only; repeatable")
    number("--duration", help="how long a job runs (default: %(default)s)")
    add("--concurrency", type=int, help="jobs of one model at once (default: as documented, 1 for portraits)")
    add("--queue-limit", type=int, help="tasks that may wait (default: %(default)s)")
    number("--submit-rate", help="submissions per second and model; 0: any (default: as documented, 2)")
    number("--task-rate", help="requests per second on each task endpoint; 0: any")
    add("--max-page-size", type=int, help="largest list page (default: %(default)s)")
    number("--list-delay", help="how far the list lags (default: %(default)s)")
    add("--list-order", choices=LIST_ORDERS, help="order of the list (default: %(default)s)")
    totals = "the list does not say how many rows and pages it has"
    add("--no-list-totals", dest="list_totals", action="store_false", help=totals)
    add(
        "--rate-windows",
        choices=RATE_WINDOWS,
        help="how requests per second are counted (default: %(default)s)",
    )
    lifetime = (
        "how long a result URL works after it was handed out (default: until a day after the task's end)"
    )
    number("--url-lifetime", help=lifetime)
    add(
        "--unknown-model",
        choices=UNKNOWN_MODEL_ANSWERS,
        help="how an unknown model is refused: as recorded, with HTTP 404 or 400, or as documented (default: %(default)s)",
    )
    add("--inspect-on-submit", action="store_true", help="refuse bad inputs at submission, not in the task")
    add("--seed", type=int, help="makes faults with a rate reproducible")
    add("--until-input-ends", action="store_true", help="stop when the standard input is closed")
    add("--verbose", action="store_true", help="log every request")
    return parser


if __name__ == "__main__":
    sys.exit(main())
