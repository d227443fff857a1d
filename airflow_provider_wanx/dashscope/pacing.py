"""Submissions at the account's rate, from however many processes.

Each process that wants to submit reserves the next free moment in a small file that all of them on this machine share, and
sends then: so they queue up instead of running into the limit together. Machines, and containers, do not know of each other.
There, a refusal pauses the whole machine for a random time, which may be twice as long with each further refusal in a row.

Ready-made limiters were looked at first: those that work across processes need a common parent or a database, let each process
try again and again instead of giving it a place in a queue, and keep to one rate however often the service refuses.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from airflow_provider_wanx.dashscope.api.endpoints import Call
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import DashScopeError, ThrottledError
from airflow_provider_wanx.dashscope.observing import HELD_BACK, SUBMISSION_TIME, SUBMISSIONS

try:
    import fcntl
except ImportError:  # Windows has none: there, each process paces itself only.
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")

PATIENCE = 10.0
"""How many times ``retry_for`` a submission may be held back or throttled: it was certainly not accepted, and costs nothing."""

MARGIN = 1.04
"""By how much moments lie further apart than the limit asks: requests do not take equally long on their way."""

LONGEST_PAUSE = 20.0
"""Moments among which the end of a pause is drawn at most. Among 8, a hundred machines are refused half as often again; among
32, the last submissions of a few machines wait for nobody."""

STALE = 3600.0
"""Seconds ahead at which a reserved moment is not believed: then the clock was set back."""

LOCK_TRIES, LOCK_PAUSE = 20, 0.005

KEPT = 24 * 3600.0
"""Seconds after which files of accounts that nobody uses any more are removed."""


class SubmissionQueueError(DashScopeError):
    """So many submissions are queued up on this machine that this one's turn is too far away; nothing was sent."""

    retryable = True


@dataclass
class PaceState:
    """What the processes of one machine share about one account and model. Times are seconds since 1970.

    :param next_at: the first moment that nobody has reserved.
    :param paused_until: when this machine submits again after a refusal.
    :param reach: moments among which the end of the last pause was drawn; 1 after an accepted submission.
    """

    next_at: float = 0.0
    paused_until: float = 0.0
    reach: float = 1.0

    def reserve(self, *, rate: float, now: float, patience: float, held: bool = False) -> float:
        """Take the next free moment, unless it is too far away.

        :param rate: submissions per second that the account allows.
        :param patience: seconds that one is willing to wait.
        :param held: whether a moment that was taken has come; it is lost only if it falls into a pause.
        :return: seconds until the moment.
        """
        if max(self.next_at, self.paused_until) - now > STALE:
            self.next_at = self.paused_until = now
        if held and now >= self.paused_until:
            return 0.0
        moment = max(now, self.next_at, self.paused_until)
        if moment - now <= patience:
            self.next_at = moment + MARGIN / rate
        return moment - now

    def refused(self, *, rate: float, now: float, retry_after: float | None) -> None:
        """Take the news that a submission came too early."""
        self.reach = min(2 * self.reach, LONGEST_PAUSE)
        pause = (retry_after or 0.0) + random.uniform(0, self.reach) * MARGIN / rate
        self.paused_until = max(self.paused_until, now + pause)

    def accepted(self) -> None:
        """Take the news that a submission did not."""
        self.reach = 1.0


class Pacer:
    """Holds back one submission until its turn has come.

    :param call: the submission.
    :param config: the account and its limits.
    :param before_sending: called each time right before the submission is sent.
    """

    def __init__(
        self, call: Call[Any], config: ClientConfig, before_sending: Callable[[], object] | None = None
    ) -> None:
        self._before_sending = before_sending
        self._model = str((call.json or {}).get("model", ""))
        self._observe = config.observe
        self._rate = config.limits.submissions_per_second
        self._patience = config.retry_for * PATIENCE
        self._store = _Store.of(f"{config.base_url}|{config.api_key}|{self._model}")
        self._began = time.monotonic()
        self._held_back = 0.0
        self._refusal: ThrottledError | None = None
        self._given_up = False
        self._has_moment = False

    def turn(self) -> float:
        """Reserve the next free moment, wait for it, or take it.

        :return: 0 when the submission is to be sent now; else seconds after which to ask again.
        :raises SubmissionQueueError: it is too far away.
        :raises ThrottledError: it is too far away for one more try.
        """
        left = max(self._patience - (time.monotonic() - self._began), 0.0)
        held = self._has_moment
        wait = self._store.update(
            lambda state: state.reserve(rate=self._rate, now=time.time(), patience=left, held=held)
        )
        if wait > left:
            if not self._patience:
                return 0.0
            self._given_up = True
            if self._refusal is not None:
                raise self._refusal
            raise SubmissionQueueError(
                f"Could not submit a task of model {self._model}: the submissions already queued on this machine take "
                f"another {wait:.0f} s at {self._rate:g} a second. Nothing was sent. Trying again later can "
                "succeed."
            )
        self._has_moment = wait > 0
        self._held_back += wait
        return wait

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Learn from how a submission ends that is sent inside."""
        if self._before_sending is not None:
            self._before_sending()
        began = time.monotonic()
        try:
            yield
        except ThrottledError as error:
            self._tell("throttled")
            if came_too_early(error):
                self._refusal = error
                retry_after = error.retry_after
                self._store.update(
                    lambda state: state.refused(rate=self._rate, now=time.time(), retry_after=retry_after)
                )
            raise
        except DashScopeError as error:
            self._tell("refused" if error.certainly_refused else "unconfirmed")
            raise
        self._store.update(PaceState.accepted)
        self._tell("accepted")
        tags = {"model": self._model}
        self._observe(SUBMISSION_TIME, time.monotonic() - began, tags)
        self._observe(HELD_BACK, self._held_back, tags)

    def _tell(self, outcome: str) -> None:
        self._observe(SUBMISSIONS, 1, {"model": self._model, "outcome": outcome})

    def may_go_on(self, error: BaseException | None, *, elapsed: float, config: ClientConfig) -> bool:
        """Tell whether there is time for another try.

        :param error: how the last one ended.
        :param elapsed: seconds since the first one began, and until the next.
        """
        if self._given_up:
            return False
        if came_too_early(error):
            return elapsed < self._patience
        return elapsed - self._held_back < config.retry_for


def came_too_early(error: BaseException | None) -> bool:
    """Tell whether a submission was refused for the rate; a service that is overloaded is another matter."""
    return isinstance(error, ThrottledError) and error.http_status == HTTPStatus.TOO_MANY_REQUESTS


class _Store:
    """Where a :class:`PaceState` is kept: in a file, or in this process where no file can be had."""

    _here: ClassVar[dict[str, PaceState]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, name: str) -> None:
        self._name = name

    @classmethod
    def of(cls, account: str) -> _Store:
        return cls(hashlib.sha256(account.encode()).hexdigest()[:40])

    def update(self, change: Callable[[PaceState], T]) -> T:
        """Read, change and write the state, alone."""
        with contextlib.suppress(OSError), _locked(self._name) as file:
            state = _read(file)
            result = change(state)
            text = json.dumps(asdict(state)).encode()
            os.ftruncate(file, 0)
            os.pwrite(file, text, 0)
            return result
        with self._lock:
            return change(self._here.setdefault(self._name, PaceState()))


@contextmanager
def _locked(name: str) -> Iterator[int]:
    """Open an account's file with the lock held.

    :raises OSError: it cannot be had, or not soon: whoever holds the lock may have been stopped.
    """
    if fcntl is None:
        raise OSError("This system has no file locks.")
    path = _directory() / name
    if not path.exists():
        _remove_old(path.parent)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        for left in reversed(range(LOCK_TRIES)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not left:
                    raise
                time.sleep(LOCK_PAUSE)
            else:
                break
        yield file
    finally:
        os.close(file)


def _directory() -> Path:
    """The directory of this user's files, which nobody else can read or replace.

    :raises OSError: somebody else has taken its name.
    """
    directory = Path(tempfile.gettempdir()) / f"airflow-provider-wanx-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o40077 != 0o40000:
        raise PermissionError(f"{directory} is not a directory of this user alone.")
    return directory


def _remove_old(directory: Path) -> None:
    for path in directory.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > KEPT:
                path.unlink()


def _read(file: int) -> PaceState:
    try:
        known = json.loads(os.pread(file, 4096, 0) or b"{}")
        return PaceState(**{each.name: float(known[each.name]) for each in fields(PaceState)})
    except (ValueError, KeyError, TypeError):
        return PaceState()
