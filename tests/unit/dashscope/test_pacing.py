from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from heapq import heapify, heappop, heappush
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_wanx.dashscope.api.endpoints import submit_task
from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient, DashScopeClient
from airflow_provider_wanx.dashscope.config import ClientConfig, Limits
from airflow_provider_wanx.dashscope.errors import (
    ApiError,
    RecordStoreError,
    SubmissionQueueError,
    ThrottledError,
)
from airflow_provider_wanx.dashscope.pacing import machine as machine_store
from airflow_provider_wanx.dashscope.pacing.pace import LONGEST_PAUSE_MOMENTS, MARGIN, PaceState
from airflow_provider_wanx.dashscope.pacing.pacer import Pacer
from tests.unit.dashscope.waiting.virtual_time import run
from tests.unit.support.skipped_time import SkippedTime

Reply = tuple[int, str] | None
PICTURE = {
    "service": "aigc/text2image/image-synthesis",
    "model": "wanx-v1",
    "input": {"prompt": "a cat"},
    "parameters": {"size": "512*512", "n": 1},
}
NOW = 1_700_000_000.0


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of the test's own: no other process shares its temporary folder, and its time stands still."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(machine_store, "_HERE", {})
    monkeypatch.setattr(time, "time", lambda: NOW)
    return tmp_path


def _config(url: str = "http://127.0.0.1:1", *, rate: float = 2.0, retry_for: float = 60.0) -> ClientConfig:
    limits = Limits(submissions_per_second=rate)
    return ClientConfig(api_key="sk-pacing", base_url=url, limits=limits, retry_for=retry_for)


def _pacer(config: ClientConfig | None = None, **changes: str) -> Pacer:
    return Pacer(submit_task(**{**PICTURE, **changes}), config or _config())  # type: ignore[arg-type]


@given(
    rate=st.sampled_from([0.5, 1.0, 2.0, 5.0]),
    arrivals=st.lists(st.floats(0, 3), min_size=1, max_size=40),
)
def test_reserved_moments_never_exceed_the_rate_in_any_window(rate: float, arrivals: list[float]) -> None:
    state, now, moments = PaceState(), NOW, []
    for pause in arrivals:
        now += pause
        moments.append(now + state.reserve(rate=rate, now=now, patience=1e9))

    assert all(later - earlier >= 1 / rate for earlier, later in pairwise(moments))


@given(st.lists(st.sampled_from(["refused", "accepted", "reserve", "idle"]), max_size=200))
def test_whatever_happens_a_free_account_is_fast_again_in_the_end(events: list[str]) -> None:
    state, now = PaceState(), NOW
    for event in events:
        now += 0.5
        match event:
            case "refused":
                state.refused(rate=2.0, now=now, retry_after=None)
            case "accepted":
                state.accepted()
            case "reserve":
                state.reserve(rate=2.0, now=now, patience=60)
            case "idle":
                now += 100
    assert state.reserve(rate=2.0, now=now + 60, patience=60) == 0.0


def test_a_single_submission_is_not_held_back() -> None:
    assert _pacer().turn() == 0.0


def test_a_try_whose_record_was_not_written_has_used_its_moment() -> None:
    def refuse() -> None:
        raise RecordStoreError("The store is full.")

    pacer = Pacer(submit_task(**PICTURE), _config(), refuse)  # type: ignore[arg-type]
    assert pacer.turn() == 0.0
    with pytest.raises(RecordStoreError):
        pacer.prepare()
    assert pacer.turn() > 0.0


def test_those_that_want_to_submit_together_get_different_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    # However long a busy machine lets somebody hold the lock.
    monkeypatch.setattr(machine_store, "LOCK_SECONDS", 500.0)
    with ThreadPoolExecutor(10) as threads:
        waits = sorted(threads.map(lambda _: _pacer().turn(), range(10)))

    assert waits == pytest.approx([0.52 * number for number in range(10)], abs=1e-4)


def test_models_and_accounts_do_not_hold_each_other_back() -> None:
    for _ in range(6):
        _pacer().turn()

    assert _pacer(model="wanx-style-repaint-v1").turn() == 0.0
    assert _pacer(ClientConfig(api_key="sk-other", base_url="http://127.0.0.1:1")).turn() == 0.0


def test_a_machine_pauses_longer_with_each_refusal_in_a_row_and_an_accepted_submission_ends_the_row() -> None:
    def pause(refusals: int, *, accepted: bool = False) -> float:
        state = PaceState()
        for _ in range(refusals):
            state.refused(rate=2.0, now=NOW, retry_after=None)
        if accepted:
            state.accepted()
            state.refused(rate=2.0, now=NOW + 60, retry_after=None)
            return state.paused_until - NOW - 60
        return state.paused_until - NOW

    def mean(*, refusals: int, accepted: bool = False) -> float:
        return sum(pause(refusals, accepted=accepted) for _ in range(200)) / 200

    assert mean(refusals=1) > 0
    assert mean(refusals=4) > 2 * mean(refusals=1)
    assert pause(5000) <= LONGEST_PAUSE_MOMENTS
    assert mean(refusals=4, accepted=True) < 2 * mean(refusals=1)


def test_a_moment_that_falls_into_a_pause_is_lost() -> None:
    state = PaceState()
    assert state.reserve(rate=2.0, now=NOW, patience=60) == 0.0
    wait = state.reserve(rate=2.0, now=NOW, patience=60)

    state.refused(rate=2.0, now=NOW, retry_after=5.0)

    assert state.reserve(rate=2.0, now=NOW + wait, patience=60, held=0.0) >= 5.0 - wait
    assert state.reserve(rate=2.0, now=state.paused_until, patience=60, held=0.0) == 0.0


def test_everyone_on_the_machine_waits_as_long_as_the_service_asked_one_of_them() -> None:
    pacer = _pacer()
    with pytest.raises(ThrottledError), pacer.sending():
        raise ThrottledError(
            code="Throttling", service_message="", http_status=429, doing="submit", retry_after=7.0
        )
    pacer.tell_others()

    assert 7.0 <= _pacer().turn() <= 8.5


@pytest.mark.parametrize(
    "written",
    [
        {"next_at": NOW + 3599},
        {"paused_until": NOW + 3599},
        {"next_at": math.inf},
        {"paused_until": math.nan},
        {"reach": -1e300},
        {"reach": math.inf},
        {"next_at": 10**400},
    ],
)
def test_a_pace_that_nobody_can_have_left_is_not_believed(
    written: dict[str, float], caplog: pytest.LogCaptureFixture
) -> None:
    state = PaceState.read(json.dumps({"next_at": 0, "paused_until": 0, "reach": 1, **written}).encode())

    assert state.reserve(rate=2.0, now=NOW, patience=10) == 0.0
    assert ("due in 3599 s" in caplog.text) == (NOW + 3599 in written.values())
    assert state.reserve(rate=2.0, now=NOW, patience=10) > 0


def test_a_pace_that_is_no_pace_is_none() -> None:
    for stored in (b"[" * 100_000, b"[]", b"null", b'{"next_at": "soon"}'):
        assert PaceState.read(stored) == PaceState()


def test_a_queue_is_believed_for_as_long_as_those_in_it_are_willing_to_wait() -> None:
    state = PaceState(next_at=NOW + 5000)

    assert state.reserve(rate=2.0, now=NOW, patience=10, queue=6000) == pytest.approx(5000)


def test_a_turn_that_is_too_far_away_is_an_error_that_says_what_to_do_and_takes_no_place() -> None:
    config = _config(rate=0.1, retry_for=2.0)
    turns = [_pacer(config).turn() for _ in range(2)]
    assert turns[1] > 5

    for _ in range(2):
        with pytest.raises(
            SubmissionQueueError, match=r"another 2\d s at 0.1 a second.*Nothing was sent.*later can"
        ) as caught:
            _pacer(config).turn()
        assert caught.value.retryable
        assert caught.value.certainly_refused


def test_who_has_no_patience_at_all_is_not_held_back() -> None:
    config = _config(rate=0.1, retry_for=0.0)

    assert [_pacer(config).turn() for _ in range(3)] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"[]", b'{"next_at": "x"}', b'{"next_at": 1, "reach": null}']
)
def test_a_damaged_file_is_taken_for_an_empty_one(machine: Path, content: bytes) -> None:
    _pacer().turn()
    (file,) = [path for path in machine.rglob("*") if path.is_file()]
    file.write_bytes(content)

    assert _pacer().turn() == 0.0


def test_the_shared_file_is_for_this_user_only_and_does_not_show_the_key(machine: Path) -> None:
    _pacer().turn()

    (directory,) = machine.iterdir()
    (file,) = directory.iterdir()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"pacing" not in file.read_bytes() + str(file.name).encode()


def test_files_of_accounts_that_nobody_uses_any_more_are_removed(machine: Path) -> None:
    _pacer().turn()
    (old,) = next(machine.iterdir()).iterdir()
    os.utime(old, (1, 1))

    _pacer(model="another").turn()

    assert not old.exists()


@pytest.mark.parametrize(
    "obstacle", ["not a directory", "readable by all", "somebody holds the lock", "link"]
)
def test_without_a_usable_file_each_process_still_paces_itself(machine: Path, obstacle: str) -> None:
    directory = machine / f"airflow-provider-wanx-{os.getuid()}"
    held: list[int] = []
    match obstacle:
        case "not a directory":
            directory.write_text("")
        case "readable by all":
            directory.mkdir(mode=0o755)
        case "link":
            (machine / "elsewhere").mkdir(mode=0o700)
            directory.symlink_to(machine / "elsewhere")
        case _:
            _pacer().turn()
            (file,) = directory.iterdir()
            file.write_text("")
            held.append(os.open(file, os.O_RDWR))
            fcntl.flock(held[0], fcntl.LOCK_EX)

    waits = [_pacer().turn() for _ in range(4)]

    assert waits[0] == 0.0
    assert waits[3] > 0.8
    for file_descriptor in held:
        os.close(file_descriptor)


def test_a_lock_that_is_given_back_soon_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    _pacer().turn()
    (file,) = machine_store.private_directory().iterdir()
    with file.open() as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        pauses = iter(range(3))

        def pause(_: float) -> None:
            if next(pauses) == 2:
                fcntl.flock(holder, fcntl.LOCK_UN)

        monkeypatch.setattr(time, "sleep", pause)
        machine_store.update(file.name, lambda _: b"{}")
    assert file.read_bytes() == b"{}"


_TAKE_TURNS = """
import sys, tempfile, time
from airflow_provider_wanx.dashscope.pacing import machine
from airflow_provider_wanx.dashscope.pacing.pacer import Pacer
from airflow_provider_wanx.dashscope.api.endpoints import submit_task
from airflow_provider_wanx.dashscope.config import ClientConfig, Limits

tempfile.tempdir = sys.argv[1]
time.time = lambda: float(sys.argv[2])
# However long a busy machine lets somebody hold the lock.
machine.LOCK_SECONDS = 500.0
config = ClientConfig(api_key="sk-pacing", base_url="http://127.0.0.1:1", limits=Limits(submissions_per_second=10.0))
call = submit_task(service="aigc/a", model="wanx-v1", input={"prompt": "a cat"})
print("ready", flush=True)
sys.stdin.readline()
for _ in range(50):
    print(Pacer(call, config).turn())
"""


def test_processes_share_the_rate_without_losing_a_moment(machine: Path) -> None:
    command = [sys.executable, "-c", _TAKE_TURNS, str(machine), str(NOW)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(4)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=120)[0] for process in processes]

    waits = sorted(float(line) for output in outputs for line in output.splitlines())
    # The same moments as if one process had taken all of them.
    assert waits == pytest.approx([number * MARGIN / 10 for number in range(200)], abs=1e-4)


class _Account:
    """A service that accepts two submissions in any second, by whatever clock.

    :param now: the clock.
    :param refuses: how it refuses a submission at some second after its first one; None where it does not.
    """

    def __init__(self, now: Callable[[], float], refuses: Callable[[float], Reply] | None = None) -> None:
        self._now = now
        self._refuses = refuses or self._too_many
        self._first: float | None = None
        self.accepted: list[float] = []
        self.refused = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        now = self._now()
        self._first = now if self._first is None else self._first
        if refusal := self._refuses(now - self._first):
            self.refused += 1
            status, code = refusal
            return httpx.Response(status, json={"code": code, "message": "no"})
        self.accepted.append(now)
        output = {"task_id": f"task-{len(self.accepted)}", "task_status": "PENDING"}
        return httpx.Response(200, json={"output": output, "request_id": "r"})

    def _too_many(self, seconds: float) -> Reply:
        recent = [moment for moment in self.accepted if moment > self._now() - 1]
        return (429, "Throttling.RateQuota") if len(recent) >= 2 else None


def test_submissions_of_one_process_are_all_accepted_at_the_first_try(skipped_time: SkippedTime) -> None:
    account = _Account(time.time)

    with DashScopeClient(_config(), transport=httpx.MockTransport(account)) as client:
        ids = {client.submit_task(**PICTURE).task_id for _ in range(16)}

    assert len(ids) == 16
    assert account.refused == 0


def test_submissions_at_the_same_time_are_all_accepted_at_the_first_try() -> None:
    async def submit() -> _Account:
        account = _Account(asyncio.get_running_loop().time)
        async with AsyncDashScopeClient(_config(), transport=httpx.MockTransport(account)) as client:
            made = await asyncio.gather(*(client.submit_task(**PICTURE) for _ in range(16)))
        assert len({each.task_id for each in made}) == 16
        return account

    account = run(submit())

    # Sent at once, all but two would be.
    assert account.refused == 0
    assert account.accepted[-1] - account.accepted[0] == pytest.approx(15 * MARGIN / 2)


def _submit(skipped_time: SkippedTime, refuses: Callable[[float], Reply], *, retry_for: float) -> _Account:
    account = _Account(time.time, refuses)
    config = _config(rate=20, retry_for=retry_for)
    with (
        DashScopeClient(config, transport=httpx.MockTransport(account)) as client,
        contextlib.suppress(ApiError),
    ):
        client.submit_task(**PICTURE)
    return account


def test_a_throttled_submission_is_borne_for_longer_than_other_errors(skipped_time: SkippedTime) -> None:
    def refuses(seconds: float) -> Reply:
        return (429, "Throttling.RateQuota") if seconds < 100 else None

    account = _submit(skipped_time, refuses, retry_for=30)

    assert len(account.accepted) == 1


def test_an_outage_is_borne_for_no_longer_than_for_other_calls(skipped_time: SkippedTime) -> None:
    account = _submit(skipped_time, lambda seconds: (503, "ServiceUnavailable"), retry_for=30)

    assert account.refused >= 2
    assert skipped_time.skipped <= 30


def test_throttling_without_end_ends_in_the_services_error(skipped_time: SkippedTime) -> None:
    account = _Account(time.time, lambda seconds: (429, "Throttling.RateQuota"))

    with (
        DashScopeClient(_config(rate=5, retry_for=6), transport=httpx.MockTransport(account)) as client,
        pytest.raises(ThrottledError),
    ):
        client.submit_task(**PICTURE)

    assert skipped_time.skipped <= 60
    assert 2 <= account.refused < 100


@pytest.mark.parametrize("fixed_windows", [False, True])
@pytest.mark.parametrize(
    ("machines", "tasks", "most_refused"),
    [(1, 8, 0.0), (2, 64, 1.0), (4, 32, 1.3), (8, 16, 2.5), (32, 4, 5.0), (100, 1, 12.0)],
)
def test_machines_that_do_not_know_of_each_other_find_a_common_rate(
    machines: int, tasks: int, most_refused: float, fixed_windows: bool
) -> None:
    service, limit = deque[float](maxlen=2), 2.0
    refused, accepted = 0, list[float]()
    # What happens next: its time, on which machine, and whether a process asks for a moment, has one, or has sent.
    coming: list[tuple[float, int, str]] = []
    states = [PaceState() for _ in range(machines)]
    for number in range(machines):
        coming += [(NOW + random.uniform(0, 0.05), number, "asks") for _ in range(min(tasks, 8))]
    left = [tasks - min(tasks, 8)] * machines
    heapify(coming)
    while coming:
        now, number, step = heappop(coming)
        state = states[number]
        if step != "has sent":
            wait = state.reserve(
                rate=limit, now=now, patience=1e9, held=0.0 if step == "has a moment" else None
            )
            on_the_way = random.uniform(0.003, 0.02)
            heappush(
                coming,
                (now + wait, number, "has a moment") if wait else (now + on_the_way, number, "has sent"),
            )
        elif len(service) == 2 and service[0] > (math.floor(now) if fixed_windows else now - 1.0):
            refused += 1
            state.refused(rate=limit, now=now, retry_after=None)
            heappush(coming, (now, number, "asks"))
        else:
            service.append(now)
            accepted.append(now)
            state.accepted()
            if left[number]:
                left[number] -= 1
                heappush(coming, (now, number, "asks"))

    assert len(accepted) == machines * tasks
    assert (len(accepted) - 1) / (accepted[-1] - accepted[0]) >= 0.6 * limit
    assert refused <= most_refused * len(accepted)
