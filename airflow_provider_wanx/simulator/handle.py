"""What a test holds in its hands: the address of a simulator, and its controls."""

from __future__ import annotations

import json
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any, Self

import httpx

_TIMEOUT = 300.0  # seconds


class SimulatorHandle:
    """A running simulator.

    :param url: its address, to be used as the host of a connection.
    :param api_key: a key that it accepts.
    """

    def __init__(self, *, url: str, api_key: str) -> None:
        self.url = url
        self.api_key = api_key
        self._control: httpx.Client | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that authorize a plain request."""
        return {"Authorization": f"Bearer {self.api_key}"}

    @property
    def portrait_url(self) -> str:
        """A portrait that the simulator itself serves, to be submitted; add ``?seed=N`` for another person."""
        return f"{self.url}/simulator/portrait.jpg"

    def ledger(self, *, summary: bool = False, since: float | None = None) -> dict[str, Any]:
        """Return the ledger: ``totals``, ``endpoints`` and, unless a summary is enough, ``tasks``.

        :param since: only tasks submitted from this POSIX time on.
        """
        params: dict[str, float] = {"summary": int(summary)}
        if since is not None:
            params["since"] = since
        return self._json("GET", "/simulator/ledger", params=params)

    def add_fault(self, **fault: Any) -> str:
        """Add a fault and return its id; :class:`~airflow_provider_wanx.simulator.faults.FaultOrder` tells the fields.

        :raises ValueError: the fault makes no sense.
        """
        return str(self._json("POST", "/simulator/faults", json=fault)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """Return all faults and how often each struck."""
        found: list[dict[str, Any]] = self._json("GET", "/simulator/faults")["faults"]
        return found

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._json("DELETE", "/simulator/faults")

    def advance(self, seconds: float) -> None:
        """Jump ahead, and return when everything that is due by then has happened.

        :param seconds: of the service's clock.
        """
        self._json("POST", "/simulator/clock", json={"advance": seconds})

    def accept_keys(self, *keys: str) -> None:
        """Accept these keys only; none at all accepts any that begins with ``sk-`` again."""
        self._json("POST", "/simulator/keys", json={"keys": list(keys)})

    def reset(self) -> None:
        """Forget all tasks, uploads, faults and counts."""
        self._json("POST", "/simulator/reset")

    def connection_json(self, **extra: Any) -> str:
        """Return an Airflow connection to it, as JSON for ``AIRFLOW_CONN_…``.

        :param extra: goes into the connection's extra.
        """
        connection: dict[str, Any] = {"conn_type": "dashscope", "host": self.url, "password": self.api_key}
        return json.dumps(connection | {"extra": extra} if extra else connection)

    def close(self) -> None:
        """Close the control connection; the simulator goes on."""
        if self._control is not None:
            self._control.close()
            self._control = None

    def stop(self) -> None:
        """End the simulator, where this process has started it."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _json(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        if self._control is None:
            # No proxy may come in between, and no certificates are read: that takes longer than a request.
            self._control = httpx.Client(
                base_url=self.url, timeout=_TIMEOUT, trust_env=False, verify=SSLContext(PROTOCOL_TLS_CLIENT)
            )
        response = self._control.request(method, path, **request)
        if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise ValueError(response.json()["error"])
        response.raise_for_status()
        content: dict[str, Any] = response.json() if response.content else {}
        return content
