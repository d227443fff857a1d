"""Ends what a vanished parent left behind.

Runs as a script of its own, with the standard library only, so that it is there before anything else and outlives
whatever happens to its parent. It reads lines from standard input: ``+<sid>`` for a session that was started, ``-<sid>``
for one that has ended. When the input closes, its parent is gone, by whatever means, and every session still listed is ended.

Sessions and not process groups, because Airflow gives each task a process group of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.05


def session_members(*, session: int) -> list[int]:
    """Process ids of all living processes of a session.

    :param session: id of the session, which is the process id of its leader
    """
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            # The name in parentheses may hold blanks and parentheses itself: everything after the last one is regular.
            state, _parent, _group, sid = entry.joinpath("stat").read_text().rpartition(")")[2].split()[:4]
            if int(sid) == session and state not in "ZX":
                members.append(int(entry.name))
    return members


def send_signal(*, pid: int, signum: int) -> bool:
    """Send a signal to a process, which may have ended since it was listed.

    :param pid: id of the process
    :param signum: number of the signal
    :return: whether there is such a process
    """
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return False
    return True


def signal_session(*, session: int, signum: int) -> None:
    """Send a signal to every process of a session.

    :param signum: number of the signal
    """
    for pid in session_members(session=session):
        send_signal(pid=pid, signum=signum)


def end_sessions(*, sessions: Iterable[int], grace: float) -> None:
    """End sessions: politely first, then for certain.

    :param grace: seconds between SIGTERM and SIGKILL
    """
    left = set(sessions)
    for session in left:
        signal_session(session=session, signum=signal.SIGTERM)
    deadline = time.monotonic() + grace
    while left := {session for session in left if session_members(session=session)}:
        if time.monotonic() > deadline:
            for session in left:
                signal_session(session=session, signum=signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def main() -> None:
    """Keep the list of sessions until the parent is gone, then end those that are left."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        session = int(line[1:])
        if line.startswith("+"):
            sessions.add(session)
        else:
            sessions.discard(session)
    end_sessions(sessions=sessions, grace=GRACE_SECONDS)


if __name__ == "__main__":
    main()
