"""Free ports on the loopback interface."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack, suppress

LOOPBACK = "127.0.0.1"

# Below the range from which the system gives ports to outgoing connections and to whoever asks for any: minutes may pass before
# somebody listens on one of these, and other tests open thousands of connections meanwhile.
_RANGE = range(12_000, 32_000)


def free_ports(*, count: int) -> list[int]:
    """Find ports that nobody listens on, and that the system gives to nobody; all of them differ.

    :param count: how many
    """
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            # Whatever a test has made of the usual source of chance.
            port = secrets.choice(_RANGE)
            with suppress(OSError):
                stack.enter_context(socket.socket()).bind((LOOPBACK, port))
                found.append(port)
    return found


def free_port() -> int:
    """Find one port that nobody listens on, and that the system gives to nobody."""
    return free_ports(count=1)[0]
