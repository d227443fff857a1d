"""What a file system raises, as one sentence."""

from __future__ import annotations

import pytest

from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.storage.files import unreadable_is_refused


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "gone"), "image 'a.png' cannot be read: it does not exist."),
        (PermissionError("not yours"), "image 'a.png' cannot be read: not yours."),
        (ImportError("no module s3fs"), "image 'a.png' cannot be read: no module s3fs."),
        (ValueError("no such file system"), "image 'a.png' cannot be read: no such file system."),
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
