"""What a file system raises, as one sentence."""

from __future__ import annotations

import pytest

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.jobs.pictures.local_files import unreadable_is_refused


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "gone"), "The file does not exist: image 'a.png'."),
        (PermissionError("not yours"), "not yours: image 'a.png' cannot be read."),
        (ImportError("no module s3fs"), "no module s3fs: image 'a.png' cannot be read."),
        (ValueError("no such file system"), "no such file system: image 'a.png' cannot be read."),
        (IsADirectoryError(21, "Is a directory", "/a.png"), "Is a directory: image 'a.png' cannot be read."),
        (InvalidInputError("a.png is text."), "a.png is text."),
    ],
)
def test_an_unreadable_file_is_refused_in_one_sentence(error: Exception, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught, unreadable_is_refused("image 'a.png'"):
        raise error
    assert str(caught.value) == said


def test_an_error_of_the_program_stays_what_it_is() -> None:
    with pytest.raises(KeyError), unreadable_is_refused("image 'a.png'"):
        raise KeyError("x")
