"""Files of this machine, as pictures and as input: only regular ones, and plain errors."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.jobs.pictures.source_rule import local_path


@contextmanager
def opened_here(place: str) -> Iterator[BinaryIO]:
    """Open a file of this machine to read it.

    :param place: a path, or a ``file://`` URL.
    :raises InvalidInputError: it is a device, a pipe or a folder, which may have no end, or elsewhere.
    :raises OSError: the file system refuses.
    """
    if (path := local_path(place)) is None:
        raise InvalidInputError(f"Only an Airflow connection leads to {quoted(place)}.")
    # Without O_NONBLOCK, a pipe that nobody writes to would hold the worker for ever.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise InvalidInputError(f"Only regular files are read, and this is none: {path}.")
        yield file


@contextmanager
def unreadable_is_refused(what: str) -> Iterator[None]:
    """Turn what a file system raises into one sentence.

    :param what: what is being read, for example ``"image '/data/a.png'"``.
    :raises InvalidInputError: it is not there, may not be read, or Airflow does not know its file system.
    """
    try:
        yield
    except InvalidInputError:
        raise
    except (OSError, ValueError, ImportError) as error:
        if isinstance(error, FileNotFoundError):
            raise InvalidInputError(f"The file does not exist: {what}.") from None
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        scheme = re.search(r"\b(gs|abfss?)://", what)
        if scheme and (isinstance(error, ImportError) or re.search("(?i)protocol|filesystem", reason)):
            provider = "google" if scheme[1] == "gs" else "microsoft-azure"
            reason = f"{reason.rstrip('.')}; it needs apache-airflow-providers-{provider}"
        raise InvalidInputError(f"{reason}: {what} cannot be read.") from None
