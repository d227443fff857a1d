"""Free ports on the loopback interface."""

from __future__ import annotations

import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


def free_ports(*, count: int) -> list[int]:
    """
    Find ports that nobody listens on; all of them differ.

    :param count: how many
    """
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def free_port() -> int:
    """Find one port that nobody listens on."""
    return free_ports(count=1)[0]
