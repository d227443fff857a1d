"""HTTP with the service, without this package's clients: every answer is kept as it came, and every image is counted."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import httpx

from airflow_provider_wanx.dashscope import ClientConfig
from airflow_provider_wanx.dashscope.repaint import REPAINT_MODEL, REPAINT_SERVICE
from tests.conformance.core import NotObservedError
from tests.conformance.service.purse import MOST_IMAGES, Purse

_TRIES = 5
_JSON = {"Content-Type": "application/json"}
ASYNC = {"X-DashScope-Async": "enable"}
RESOLVE = {"X-DashScope-OssResourceResolve": "enable"}


class Clock:
    """Passes the time between requests."""

    def now(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the facts are looked for, and with what.

    :param name: for the report.
    :param config: host, key and workspace.
    :param portrait: a picture file with a face.
    :param images: how many images may be paid for.
    :param poll_interval: seconds between two looks at a task.
    :param patience: seconds after which a task is not waited for any longer.
    :param submit_gap: seconds between two submissions.
    :param request_gap: seconds between two other requests.
    :param bursts: whether the limits may be exceeded on purpose.
    :param strict: whether open points have to hold, too.
    :param clock: passes the time between requests.
    :param transport: makes what sends the requests; None for httpx's own.
    """

    name: str
    config: ClientConfig
    portrait: bytes = field(repr=False)
    images: int = MOST_IMAGES
    poll_interval: float = 1.0
    patience: float = 300.0
    submit_gap: float = 0.6
    request_gap: float = 0.06
    bursts: bool = True
    strict: bool = False
    clock: Clock = field(default_factory=Clock)
    transport: Callable[[], httpx.BaseTransport] | None = None


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request and its answer.

    :param sent_at: POSIX time of this machine.
    :param took: seconds until the answer was there.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    sent_at: float
    took: float

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object of the answer.

        :raises ValueError: it is none.
        """
        document = json.loads(self.content)
        if not isinstance(document, dict):
            raise ValueError("the answer is no JSON object")
        return document

    @property
    def output(self) -> dict[str, Any]:
        """The answer's ``output`` object."""
        found: dict[str, Any] = self.body["output"]
        return found

    @property
    def date(self) -> float:
        """The service's clock when it answered, to the second; POSIX time.

        :raises LookupError: the answer has no ``Date``.
        """
        return parsedate_to_datetime(self.headers["date"]).timestamp()

    @property
    def refusal(self) -> str:
        """Status, code and message in one line."""
        try:
            body = self.body
        except ValueError:
            return f"HTTP {self.status}, no JSON"
        return f"HTTP {self.status} {body.get('code', 'without code')}: {body.get('message', '')}"


class Wire:
    """Sends requests to the service as its pages describe them.

    :param target: where to.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.purse = Purse(target.images)
        self._http = httpx.Client(
            transport=target.transport() if target.transport else None,
            timeout=60,
            limits=httpx.Limits(max_connections=40),
        )
        self._turn = threading.Lock()
        self._next: dict[str, float] = {}

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        key: str | None = "",
        headers: Mapping[str, str] | None = None,
        paced: bool = True,
        **request: Any,
    ) -> Exchange:
        """Send a request below ``/api/v1``.

        :param key: another key; None for no key at all.
        :param paced: whether it waits for its turn, and is repeated if it was one too many.
        """
        config = self.target.config
        sent = {} if key is None else {"Authorization": f"Bearer {key or config.api_key}"}
        if config.workspace:
            sent["X-DashScope-WorkSpace"] = config.workspace
        sent.update(headers or {})
        send = partial(self._exchange, method, config.base_url + path, headers=sent, **request)
        return self._patiently(send, repeatable=method == "GET") if paced else send()

    def _patiently(self, send: Callable[[], Exchange], *, repeatable: bool) -> Exchange:
        """Send a request in its turn, again if it was one too many, or if no answer came and asking again does no harm."""
        for number in range(1, _TRIES + 1):
            self._await_turn("request", self.target.request_gap)
            try:
                seen = send()
            except httpx.TransportError:
                if not repeatable or number == _TRIES:
                    raise
            else:
                # Other programs of the account may just have used its limit.
                if seen.status != httpx.codes.TOO_MANY_REQUESTS or number == _TRIES:
                    return seen
            self.target.clock.sleep(self.target.poll_interval)
        raise AssertionError("the last try returns or raises")

    def fetch(self, method: str, url: str, **request: Any) -> Exchange:
        """Send a request to an address that the service named, without the key."""
        return self._exchange(method, url, **request)

    def task(self, task_id: str, *, paced: bool = True) -> Exchange:
        """Ask for a task, and note what it has cost."""
        seen = self.send("GET", f"/tasks/{task_id}", paced=paced)
        if seen.status == httpx.codes.OK:
            self.purse.settle(task_id, seen.body)
        return seen

    def list(self, **query: Any) -> Exchange:
        """Ask for the list of tasks."""
        return self.send("GET", "/tasks", params=query)

    def cancel(self, task_id: str, *, paced: bool = True) -> Exchange:
        """Ask to cancel a task."""
        return self.send("POST", f"/tasks/{task_id}/cancel", paced=paced)

    def submit(
        self,
        given: Any,
        *,
        costs: bool,
        model: str | None = REPAINT_MODEL,
        headers: Mapping[str, str] = ASYNC,
        content: bytes | None = None,
    ) -> Exchange:
        """Submit a task, again if the account has just had its turn.

        :param given: its ``input``; None for none.
        :param costs: whether it may end in a picture that is paid for.
        :raises NotObservedError: the budget does not allow it, or other programs leave no turn.
        """
        body = {"model": model, "input": given}
        sent = (
            content or json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        )
        name = f"submission {time.monotonic_ns()}"
        if costs:
            self.purse.reserve(name)
        for _ in range(_TRIES):
            self.await_turn_to_submit()
            # If no answer comes, the image stays set aside: it may have to be paid for.
            seen = self.send(
                "POST",
                f"/services/{REPAINT_SERVICE}",
                headers={**_JSON, **headers},
                paced=False,
                content=sent,
            )
            if seen.status != httpx.codes.TOO_MANY_REQUESTS:
                break
            self.target.clock.sleep(self.target.poll_interval)
        else:
            self.purse.release(name)
            raise NotObservedError(f"{_TRIES} submissions were refused: {seen.refusal}")
        self._note(name, seen, costs=costs)
        return seen

    def await_turn_to_submit(self) -> None:
        """Keep within the account's submissions a second."""
        self._await_turn("submit", self.target.submit_gap)

    def _note(self, name: str, seen: Exchange, *, costs: bool) -> None:
        if seen.status != httpx.codes.OK:
            self.purse.release(name)
            return
        task_id = seen.output["task_id"]
        if costs:
            self.purse.rename(name, task_id)

    def _await_turn(self, kind: str, gap: float) -> None:
        clock = self.target.clock
        with self._turn:
            now = clock.now()
            turn = max(now, self._next.get(kind, now))
            self._next[kind] = turn + gap
        if turn > now:
            clock.sleep(turn - now)

    def _exchange(self, method: str, url: str, **request: Any) -> Exchange:
        sent_at, began = time.time(), time.monotonic()
        response = self._http.request(method, url, **request)
        return Exchange(
            status=response.status_code,
            headers=response.headers,
            content=response.content,
            sent_at=sent_at,
            took=time.monotonic() - began,
        )
