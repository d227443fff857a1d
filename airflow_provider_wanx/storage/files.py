"""Files that Airflow's object storage reads: where they are, and plain errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_wanx.dashscope.errors import InvalidInputError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

_SCHEME = re.compile(r"[A-Za-z][\w+.-]*:")


def stored_path(place: str) -> ObjectStoragePath:
    """Return the place of a file or a folder, as Airflow's object storage has it.

    :param place: a URL, or a path on this machine; a relative one begins in the working directory.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    # The object storage of Airflow 2.11 and 3.1 would begin at the root.
    return ObjectStoragePath(place if _SCHEME.match(place) else str(Path(place).absolute()))


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
        raise InvalidInputError(f"{reason}: {what} cannot be read.") from None
