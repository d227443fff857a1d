"""Submissions of many machines that agree upon their pace at a shared place: the real code, in virtual time."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from airflow_provider_wanx.dashscope.api.endpoints import submit_task
from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient, DashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig, Limits
from airflow_provider_wanx.dashscope.errors import (
    ConflictError,
    ProviderError,
    SubmissionQueueError,
    UnconditionalStoreError,
)
from airflow_provider_wanx.dashscope.pacing import machine as machine_store
from airflow_provider_wanx.dashscope.pacing import pace
from airflow_provider_wanx.dashscope.pacing.pace import PaceState
from airflow_provider_wanx.dashscope.store import ABSENT, Version
from tests.unit.support.virtual_processes import VirtualProcesses

KEY = "sk-shared-0123456789"
PICTURE = {
    "service": "aigc/text2image/image-synthesis",
    "model": "wanx-v1",
    "input": {"prompt": "a cat"},
    "parameters": {"size": "512*512", "n": 1},
}


@pytest.fixture(autouse=True)
def _nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(machine_store, "_HERE", {})
    monkeypatch.setattr(pace.Pace, "_missed_until", {})
    # What happens is drawn, but the same at every run.
    random.seed(20261125)


class _Place:
    """What S3 does: an object that is replaced by whoever has seen the last version, and answers that take some time."""

    def __init__(self, processes: VirtualProcesses) -> None:
        self._processes = processes
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.requests: list[float] = []
        self.trouble: Callable[[], Exception | None] = lambda: None

    def url(self, name: str = "") -> str:
        return "s3://bucket/records"

    def read(self, name: str) -> Version:
        with_time = self._request()
        body, etag = self.objects.get(name, (b"", ABSENT))
        self._answer()
        return Version(body, etag, with_time)

    def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
        self._request()
        _, etag = self.objects.get(name, (b"", ABSENT))
        if etag == replacing:
            self.objects[name] = (body, f"v{len(self.requests)}")
        self._answer()
        if etag != replacing:
            raise ConflictError("Somebody else was quicker.")
        return self.objects[name][1]

    def delete(self, name: str) -> None:
        raise NotImplementedError

    def _request(self) -> float:
        self._answer()
        self.requests.append(self._processes.now)
        if (error := self.trouble()) is not None:
            raise error
        return float(int(self._processes.true_time))

    def _answer(self) -> None:
        self._processes.sleep(random.lognormvariate(math.log(0.02), 0.5))


class _Account:
    """A service that accepts two submissions in any second, and takes some time for one."""

    def __init__(self, processes: VirtualProcesses, *, fixed_windows: bool = False) -> None:
        self._processes = processes
        self._fixed_windows = fixed_windows
        self._recent = deque[float](maxlen=2)
        self.accepted: list[float] = []
        self.refused = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self._processes.sleep(random.uniform(0.003, 0.02))
        now = self._processes.now
        if len(self._recent) == 2 and self._recent[0] > (math.floor(now) if self._fixed_windows else now - 1):
            self.refused += 1
            return httpx.Response(429, json={"code": "Throttling.RateQuota", "message": "no"})
        self._recent.append(now)
        self.accepted.append(now)
        self._processes.sleep(0.3)
        output = {"task_id": f"task-{len(self.accepted)}", "task_status": "PENDING"}
        return httpx.Response(200, json={"output": output, "request_id": "r"})

    @property
    def share_of_limit(self) -> float:
        return (len(self.accepted) - 1) / (self.accepted[-1] - self.accepted[0]) / 2


class _World:
    """Machines whose processes submit to one account."""

    def __init__(
        self,
        *,
        clocks: dict[int, float] | None = None,
        fixed_windows: bool = False,
        retry_for: float = 60.0,
    ) -> None:
        self.processes = VirtualProcesses(clocks)
        self.place = _Place(self.processes)
        self.account = _Account(self.processes, fixed_windows=fixed_windows)
        self.client = DashScopeClient(
            ClientConfig(
                api_key=KEY, base_url="http://127.0.0.1:1", retry_for=retry_for, shared_place=self.place
            ),
            transport=httpx.MockTransport(self.account),
        )
        self.errors: list[ProviderError] = []

    def submit(self, *, machine: int, tasks: int = 1, at: float | None = None) -> None:
        def work() -> None:
            for _ in range(tasks):
                try:
                    self.client.send(submit_task(**PICTURE), before_sending=self._record)  # type: ignore[arg-type]
                except ProviderError as error:
                    self.errors.append(error)

        self.processes.start(work, machine=machine, at=random.uniform(0, 0.05) if at is None else at)

    def _record(self) -> None:
        self.processes.sleep(random.lognormvariate(math.log(0.08), 0.5))


@pytest.mark.parametrize(
    ("machines", "processes", "tasks", "fixed_windows"),
    [(2, 1, 10, False), (4, 8, 1, False), (32, 1, 2, False), (32, 1, 2, True), (100, 1, 1, False)],
)
def test_machines_that_share_their_pace_are_hardly_ever_refused_and_lose_no_time(
    machines: int, processes: int, tasks: int, fixed_windows: bool
) -> None:
    world = _World(fixed_windows=fixed_windows)
    for machine in range(machines):
        for _ in range(processes):
            world.submit(machine=machine, tasks=tasks)
    world.processes.run()

    assert not world.errors
    assert len(world.account.accepted) == machines * processes * tasks
    assert world.account.refused <= 0.06 * len(world.account.accepted)
    assert world.account.share_of_limit >= 0.85


@pytest.mark.parametrize("wrong_by", [0.005, 1.0, 600.0, 7200.0])
def test_clocks_that_differ_cost_refusals_and_nothing_else(wrong_by: float) -> None:
    world = _World(clocks={machine: wrong_by * (machine - 1) for machine in range(4)})
    for machine in range(4):
        world.submit(machine=machine, tasks=12)
    world.processes.run()

    assert not world.errors
    assert len(world.account.accepted) == 48
    assert world.account.refused <= (0.1 if wrong_by < 0.01 else 0.8) * 48
    # Nobody waits for the time that somebody else's clock shows.
    assert world.account.accepted[-1] < 120


def test_a_process_that_dies_while_it_waits_costs_one_moment() -> None:
    world = _World()
    world.submit(machine=0, tasks=2)

    def die() -> None:
        (name,) = world.place.objects
        seen = world.place.read(name)
        world.place.write(name, _one_moment_later(seen.body), replacing=seen.etag)

    world.processes.start(die, machine=1, at=0.4)
    world.submit(machine=2, tasks=2, at=0.6)
    world.processes.run()

    assert len(world.account.accepted) == 4
    assert world.account.refused == 0
    assert world.account.accepted[-1] < 5


def _one_moment_later(body: bytes) -> bytes:
    state = PaceState.read(body)
    state.next_at += 0.52
    return state.model_dump_json().encode()


def test_nothing_is_asked_of_the_place_between_an_accepted_submission_and_its_record() -> None:
    world = _World()
    world.submit(machine=0)
    world.processes.run()

    assert len(world.place.requests) == 2
    assert max(world.place.requests) < world.account.accepted[0]


def test_a_submission_is_recorded_ahead_of_its_moment_and_sent_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda least, most: least)
    world = _World()
    for machine in range(6):
        world.submit(machine=machine, at=machine * 0.1)
    recorded: list[float] = []
    monkeypatch.setattr(
        world, "_record", lambda: (recorded.append(world.processes.now), world.processes.sleep(0.1))
    )
    world.processes.run()

    pauses = [
        later - earlier
        for earlier, later in zip(world.account.accepted, world.account.accepted[1:], strict=False)
    ]
    assert pauses == pytest.approx([0.52] * 5, abs=0.01)
    assert all(
        sent - 0.3 < before < sent for before, sent in zip(recorded, world.account.accepted, strict=True)
    )


def test_a_refusal_on_one_machine_pauses_all() -> None:
    world = _World()
    world.account._recent.extend([2.0, 2.0])  # somebody else has submitted twice, at second 2
    for machine in range(4):
        world.submit(machine=machine, at=0.0)
    world.processes.run()

    assert len(world.account.accepted) == 4
    # Without, each of the four would have been refused in turn.
    assert 1 <= world.account.refused < 8
    assert any(b'"paused_until":18' in body for body, _ in world.place.objects.values())


@pytest.mark.parametrize("error", [OSError("no route"), KeyError("anything"), TimeoutError()])
def test_without_the_place_submissions_go_on_at_the_machines_own_pace_with_one_line_in_the_log(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    world = _World()
    world.place.trouble = lambda: error
    for _ in range(4):
        world.submit(machine=0, tasks=2)
    with caplog.at_level(logging.INFO, logger=pace.__name__):
        world.processes.run()

    assert not world.errors
    assert len(world.account.accepted) == 8
    assert world.account.refused <= 2
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "s3://bucket/records: " in record.message
    assert "tried again every 60 seconds" in record.message


def test_a_place_that_comes_back_is_used_again_and_its_next_loss_is_told_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = _World()
    lost = OSError("no route")
    world.place.trouble = lambda: lost if not 30 < world.processes.now < 90 else None
    world.submit(machine=0, tasks=200)
    world.processes.run()

    assert len(world.account.accepted) == 200
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 2
    assert len([moment for moment in world.place.requests if moment < 30]) == 1
    assert len([moment for moment in world.place.requests if 60 < moment < 90]) > 50
    assert len([moment for moment in world.place.requests if moment > 90]) == 1


def test_a_place_that_cannot_be_shared_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    world = _World()
    world.place.trouble = lambda: UnconditionalStoreError("only S3 knows conditional writes")
    with caplog.at_level(logging.INFO, logger=pace.__name__):
        world.submit(machine=0, tasks=150)
        world.processes.run()

    assert len(world.place.requests) == 1
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert "s3://bucket/records: only S3 knows conditional writes. This does no harm" in record.message


def test_whoever_is_never_quick_enough_goes_on_without(monkeypatch: pytest.MonkeyPatch) -> None:
    world = _World()

    def write(name: str, body: bytes, *, replacing: str | None) -> str:
        raise ConflictError("Somebody else was quicker.")

    monkeypatch.setattr(world.place, "write", write)
    world.submit(machine=0)
    world.processes.run()

    assert 300 < world.account.accepted[0] < 360


def test_a_queue_of_all_machines_that_is_too_long_says_so() -> None:
    world = _World(retry_for=3.0)
    for machine in range(80):
        world.submit(machine=machine, at=machine * 0.1)
    world.processes.run()

    # What ten times three seconds and the time of their coming have room for.
    assert 40 <= len(world.account.accepted) < 80
    assert len(world.errors) == 80 - len(world.account.accepted)
    queued = [error for error in world.errors if isinstance(error, SubmissionQueueError)]
    assert len(queued) > len(world.errors) / 2  # the others had been refused before
    assert "already queued on this account take another" in str(queued[0])


def test_a_damaged_object_is_replaced() -> None:
    world = _World()
    world.submit(machine=0)
    world.processes.run()
    (name,) = world.place.objects
    world.place.objects[name] = (b"garbage", "damaged")
    world.submit(machine=0)
    world.processes.run()

    assert len(world.account.accepted) == 2
    assert world.place.objects[name][0] != b"garbage"


def test_the_object_does_not_show_the_key() -> None:
    world = _World()
    world.submit(machine=0)
    world.processes.run()

    (name,) = world.place.objects
    assert KEY not in name + world.place.objects[name][0].decode()
    assert name.startswith("pace-")


async def test_the_event_loop_goes_on_while_the_place_is_asked() -> None:
    threads = set()

    class Place:
        def url(self, name: str = "") -> str:
            return "s3://bucket/records"

        def read(self, name: str) -> Version:
            threads.add(threading.get_ident())
            return Version()

        def write(self, name: str, body: bytes, *, replacing: str | None) -> str:
            return "1"

        def delete(self, name: str) -> None:
            raise NotImplementedError

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"output": {"task_id": "task-1", "task_status": "PENDING"}})

    config = ClientConfig(
        api_key=KEY,
        base_url="http://127.0.0.1:1",
        limits=Limits(submissions_per_second=100),
        shared_place=Place(),
    )
    async with AsyncDashScopeClient(config, transport=httpx.MockTransport(answer)) as client:
        submissions = await asyncio.gather(*(client.submit_task(**PICTURE) for _ in range(3)))

    assert len(submissions) == 3
    assert threads
    assert threading.get_ident() not in threads
