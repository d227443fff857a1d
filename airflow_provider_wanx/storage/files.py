"""Files that Airflow's object storage reads: plain errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_wanx.dashscope.errors import InvalidInputError


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
