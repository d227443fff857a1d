"""What tells in one sentence that the tests' own equipment has failed, and not what they test."""

from __future__ import annotations


class StackError(RuntimeError):
    """A part of the local stack did not do what it was started for.

    The message says which, and where its log is. What else helps, such as the end of that log, is in the notes.
    """
