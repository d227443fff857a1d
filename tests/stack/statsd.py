"""A StatsD that keeps what it is sent."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

from tests.stack.ports import LOOPBACK


class StatsdListener:
    """Listens on a free UDP port of this machine and keeps the lines that come.

    :param prefix: what all names begin with; it is what Airflow's ``statsd_prefix`` must be
    """

    def __init__(self, *, prefix: str = "airflow") -> None:
        self.prefix = prefix
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((LOOPBACK, 0))
        self._values: dict[tuple[str, str], list[float]] = {}
        self._thread = threading.Thread(target=self._listen, daemon=True)

    @property
    def settings(self) -> dict[str, str]:
        """Airflow's settings, as environment variables, with which it sends its metrics here."""
        section = "AIRFLOW__METRICS__STATSD"
        port = self._socket.getsockname()[1]
        return {
            f"{section}_ON": "True",
            f"{section}_HOST": LOOPBACK,
            f"{section}_PORT": str(port),
            f"{section}_PREFIX": self.prefix,
        }

    def received(self, *, below: str = "") -> dict[tuple[str, str], list[float]]:
        """Return what has come: the values by name, without the prefix, and type (``c``, ``g`` or ``ms``).

        :param below: what the names begin with
        """
        start = f"{self.prefix}."
        return {
            (name.removeprefix(start), kind): list(values)
            for (name, kind), values in list(self._values.items())
            if name.startswith(start + below)
        }

    def _listen(self) -> None:
        while True:
            try:
                packet = self._socket.recv(65535)
            except OSError:
                return
            for line in packet.decode(errors="replace").splitlines():
                name, _, rest = line.partition(":")
                value, _, kind = rest.partition("|")
                self._values.setdefault((name, kind.partition("|")[0]), []).append(float(value))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A thread in recv is woken by a packet, not by the socket's end.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._socket.close()
