"""Files of this machine, and files that Airflow's object storage reads: where they are, and plain errors."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.jobs.sources import local_path

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath


def stored_path(place: str) -> ObjectStoragePath:
    """Return the place of a file or a folder, as Airflow's object storage has it.

    :param place: a URL, or a path on this machine; a relative one begins in the working directory.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    # The object storage of Airflow 2.11 and 3.1 would begin a relative path at the root.
    return ObjectStoragePath(local_path(place) or place)


@contextmanager
def opened(place: str) -> Iterator[BinaryIO]:
    """Open a file to read it.

    :param place: a URL that Airflow's object storage knows, or a path on this machine.
    :raises InvalidInputError: it is a device, a pipe or a folder, which may have no end.
    :raises OSError: the file system refuses.
    """
    path = local_path(place)
    if path is None:
        there = stored_path(place)
        with there.fs.open(there.path, "rb") as file:
            yield cast("BinaryIO", file)
        return
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
