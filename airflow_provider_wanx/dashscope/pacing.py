"""Submissions at the account's rate, from however many processes.

Each process that wants to submit reserves the next free moment in a small file that all of them on this machine share, and
sends then: so they queue up instead of running into the limit together. Machines, and containers, do not know of each other.
There, whoever is refused makes the moments of its machine lie further apart, and brings them closer again with every accepted
submission; as long as they are apart only the nearest are given away, so that nobody keeps a late one when it gets better.

Ready-made limiters were looked at first: those that work across processes need a common parent or a database, let each process
try again and again instead of giving it a place in a queue, and keep to one rate however often the service refuses.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from airflow_provider_wanx.dashscope.api.endpoints import Call
from airflow_provider_wanx.dashscope.config import ClientConfig
from airflow_provider_wanx.dashscope.errors import DashScopeError, ThrottledError

try:
    import fcntl
except ImportError:  # Windows has none: there, each process paces itself only.
    fcntl = None  # type: ignore[assignment]

T = TypeVar("T")

PATIENCE = 10.0
"""How many times ``retry_for`` a submission may be held back or throttled: it was certainly not accepted, and costs nothing."""

MARGIN = 1.04
"""By how much moments lie further apart than the limit asks: requests do not take equally long on their way."""

LARGEST_BURST = 2
"""Submissions that are sent together; a faster account gets its pairs more often."""

STEP, STEEP = 0.5, 8.0
"""What a refusal adds to the distance between moments, in distances that the limit asks for: twice as much with each further
one in a row until there is so much between them, then as much as the first time again. With few other machines, being refused
again and again is bad luck; only a crowd of them makes it a rule."""

LONGEST_STRETCH = 32.0

RELAX = 0.75, 0.2
"""What an accepted submission leaves of the distance, and takes off it."""

CROWDED = 1.05
"""Stretch above which other machines are at work: then moments are spread, or the same ones would meet again and again."""

SPREAD = 0.5, 1.5
"""By how much the distance varies then, and the time until one asks again."""

HORIZON = 2.0
"""Seconds ahead for which moments are given away then; whoever gets none asks again after about that time."""

HALF_LIFE = 60.0
"""Seconds in which half of a stretch is forgotten when nobody submits."""

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

    :param slots: the last reserved moments, as many as the service allows in a row.
    :param stretch: how much further apart than the limit asks they are to lie.
    :param refusals: submissions that were refused since the last accepted one.
    :param changed_at: when the stretch was last changed.
    :param paused_until: when the service wants to hear of us again.
    """

    slots: list[float] = field(default_factory=list)
    stretch: float = 1.0
    refusals: int = 0
    changed_at: float = 0.0
    paused_until: float = 0.0

    @property
    def crowded(self) -> bool:
        """Whether other machines are at work."""
        return self.stretch > CROWDED

    def reserve(self, *, rate: float, now: float, patience: float) -> tuple[float, bool]:
        """Take the next free moment, unless it is too far away.

        :param rate: submissions per second that the account allows.
        :param patience: seconds that one is willing to wait.
        :return: seconds until the moment, and whether it is taken.
        """
        self._forget(now)
        burst = min(math.ceil(rate), LARGEST_BURST)
        slot = earliest = max(now, self.paused_until)
        if self.crowded and self.slots:
            slot = max(slot, self.slots[-1] + MARGIN * self.stretch / rate * random.uniform(*SPREAD))
        elif len(self.slots) >= burst:
            slot = max(slot, self.slots[-burst] + MARGIN * burst / rate)
        taken = slot - now <= patience and not (self.crowded and slot - earliest > HORIZON)
        if taken:
            self.slots = sorted([*self.slots, slot])[-burst:]
        return slot - now, taken

    def refused(self, *, now: float, retry_after: float | None) -> None:
        """Take the news that a submission came too early."""
        self.paused_until = max(self.paused_until, now + (retry_after or 0.0))
        # One refusal a second: those that were on their way together say the same thing.
        if now - self.changed_at >= 1.0:
            if self.stretch < STEEP:
                self.stretch = min(self.stretch + STEP * 2**self.refusals, STEEP)
            else:
                self.stretch = min(self.stretch + STEP, LONGEST_STRETCH)
            self.changed_at = now
            self.refusals += 1

    def accepted(self) -> None:
        """Take the news that a submission did not."""
        self.refusals = 0
        self.stretch = max(1.0, self.stretch * RELAX[0] - RELAX[1])

    def _forget(self, now: float) -> None:
        if any(slot - now > STALE for slot in (*self.slots, self.paused_until, self.changed_at)):
            self.slots, self.stretch, self.refusals = [], 1.0, 0
            self.changed_at, self.paused_until = now, 0.0
        idle = now - max((self.changed_at, *self.slots))
        if idle > HALF_LIFE:
            self.stretch = 1 + (self.stretch - 1) * 0.5 ** (idle / HALF_LIFE)


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
        if self._has_moment:
            self._has_moment = False
            return 0.0
        left = max(self._patience - (time.monotonic() - self._began), 0.0)
        wait, taken = self._store.update(
            lambda state: state.reserve(rate=self._rate, now=time.time(), patience=left)
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
        if not taken:
            wait = HORIZON * random.uniform(*SPREAD)
        self._has_moment = taken and wait > 0
        self._held_back += wait
        return wait

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Learn from how a submission ends that is sent inside."""
        if self._before_sending is not None:
            self._before_sending()
        try:
            yield
        except ThrottledError as error:
            if came_too_early(error):
                self._refusal = error
                retry_after = error.retry_after
                self._store.update(lambda state: state.refused(now=time.time(), retry_after=retry_after))
            raise
        self._store.update(PaceState.accepted)

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
        return PaceState(
            slots=[float(slot) for slot in known["slots"]],
            stretch=min(max(float(known["stretch"]), 1.0), LONGEST_STRETCH),
            refusals=int(known["refusals"]),
            changed_at=float(known["changed_at"]),
            paused_until=float(known["paused_until"]),
        )
    except (ValueError, KeyError, TypeError):
        return PaceState()
