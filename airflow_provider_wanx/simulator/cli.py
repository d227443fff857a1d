"""The command line of the simulator."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
from collections.abc import Sequence

from airflow_provider_wanx.simulator.server import READY, SimulatorServer, address, bind
from airflow_provider_wanx.simulator.settings import LIST_ORDERS, RATE_WINDOWS, Settings, is_loopback


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
    return Settings(
        speed=options.speed,
        api_keys=tuple(options.api_key),
        workspaces=tuple(options.workspace),
        duration=options.duration,
        concurrency=options.concurrency,
        queue_limit=options.queue_limit,
        submit_rate=options.submit_rate,
        task_rate=options.task_rate,
        max_page_size=options.max_page_size,
        list_delay=options.list_delay,
        list_order=options.list_order,
        list_totals=not options.no_list_totals,
        rate_windows=options.rate_windows,
        url_lifetime=options.url_lifetime,
        inspect_on_submit=options.inspect_on_submit,
        seed=options.seed,
    )


def _parser() -> argparse.ArgumentParser:
    usual = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_wanx.simulator",
        description="A local DashScope: submits, queues and really paints, without key, cost or network.",
        epilog="All durations are seconds of the service's clock, which --speed scales.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to serve on (default: %(default)s)")
    add("--port", type=int, default=8089, help="port to serve on; 0 takes a free one (default: %(default)s)")
    add("--allow-remote", action="store_true", help="serve on an address that other machines can reach")
    add(
        "--speed",
        type=float,
        default=usual.speed,
        help="service seconds in a real one (default: %(default)s)",
    )
    add("--api-key", action="append", default=[], metavar="KEY", help="accept this key only; repeatable")
    add("--workspace", action="append", default=[], metavar="ID", help="know this workspace only; repeatable")
    add("--duration", type=float, default=usual.duration, help="how long a job runs (default: %(default)s)")
    add("--concurrency", type=int, help="jobs of one model at once (default: as documented, 1 for portraits)")
    add(
        "--queue-limit",
        type=int,
        default=usual.queue_limit,
        help="tasks that may wait (default: %(default)s)",
    )
    add(
        "--submit-rate",
        type=float,
        help="submissions per second and model; 0: any (default: as documented, 2)",
    )
    add(
        "--task-rate",
        type=float,
        default=usual.task_rate,
        help="requests per second on each task endpoint; 0: any",
    )
    add(
        "--max-page-size",
        type=int,
        default=usual.max_page_size,
        help="largest list page (default: %(default)s)",
    )
    add(
        "--list-delay",
        type=float,
        default=usual.list_delay,
        help="how far the list lags (default: %(default)s)",
    )
    add(
        "--list-order",
        choices=LIST_ORDERS,
        default=usual.list_order,
        help="order of the list (default: %(default)s)",
    )
    add("--no-list-totals", action="store_true", help="the list does not say how many rows and pages it has")
    add(
        "--rate-windows",
        choices=RATE_WINDOWS,
        default=usual.rate_windows,
        help="how requests per second are counted (default: %(default)s)",
    )
    add(
        "--url-lifetime",
        type=float,
        default=usual.url_lifetime,
        help="how long a result URL works (default: a day)",
    )
    add("--inspect-on-submit", action="store_true", help="refuse bad inputs at submission, not in the task")
    add("--seed", type=int, default=usual.seed, help="makes faults with a rate reproducible")
    add("--until-input-ends", action="store_true", help="stop when the standard input is closed")
    add("--verbose", action="store_true", help="log every request")
    return parser
