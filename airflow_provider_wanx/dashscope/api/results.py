"""Find the files in a task's answer, whatever shape the model gives it.

Every asynchronous model has its own: ``results[].url``, ``result_url``, ``output_image_url``, ``video_url``,
``results.video_url``, ``choices[].message.content[].image``, ``text_results.urls[].url`` and more. Instead of a list of
models, which would be out of date at once, the answer is searched for values that are URLs under keys that hold results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_wanx.dashscope.api.answers import error_fields
from airflow_provider_wanx.dashscope.models import ResultFailure, ResultFile

_RESULT_KEYS = frozenset({"url", "image", "video", "audio"})
"""Names of results, as are those that end in ``_url``, and the plurals of all of them for lists."""
_ECHOED_KEYS = frozenset(
    {
        "actual_prompt", "background_image_url", "base_image_url", "bottom_garment_url", "file_url", "file_urls",
        "first_frame_url", "img_url", "last_frame_url", "mask_image_url", "orig_prompt", "person_image_url",
        "ref_image_url", "reference_urls", "shoe_image_url", "style_ref_url", "template_image_url", "top_garment_url",
    }
)  # fmt: skip
"""Names of inputs in the models' pages; no model uses one of them for a result."""
_ECHOED_BRANCHES = frozenset({"input", "parameters"})
_OUTPUT_BRANCHES = frozenset({"results", "result", "output"})
_STATE_KEYS = ("subtask_status", "task_status", "status")
_BAD_STATES = ("FAILED", "CANCELED", "UNKNOWN")


def find_results(output: Mapping[str, Any]) -> tuple[tuple[ResultFile, ...], tuple[ResultFailure, ...]]:
    """Collect result files and partial failures from a task's ``output``.

    :param output: the answer's ``output`` object.
    :return: the files in the answer's order, each URL once, and the parts that failed.
    """
    files: list[ResultFile] = []
    failures: list[ResultFailure] = []
    seen: set[str] = set()
    for path, found in _walk(output, "", 0):
        if isinstance(found, ResultFailure):
            failures.append(found)
        elif found not in seen:
            seen.add(found)
            files.append(ResultFile(url=found, path=path, index=len(files)))
    return tuple(files), tuple(failures)


def _walk(node: object, path: str, depth: int) -> Iterator[tuple[str, str | ResultFailure]]:
    # Answers are shallow; deeper ones are not the service's and are not followed.
    if depth > 12:
        return
    children: Iterator[tuple[str, object, bool]]
    if isinstance(node, Mapping):
        if path and (failure := _failure(node, path)) is not None:
            yield path, failure
            return
        children = (
            (f"{path}.{key}" if path else key, value, _holds_results(key, path))
            for key, value in node.items()
            if isinstance(key, str) and key not in _ECHOED_BRANCHES
        )
    elif isinstance(node, list):
        parent, _, name = path.rpartition(".")
        of_results = _holds_results(name.partition("[")[0], parent)
        children = ((f"{path}[{number}]", item, of_results) for number, item in enumerate(node))
    else:
        return
    for here, value, holds_results in children:
        if not _is_url(value):
            yield from _walk(value, here, depth + 1)
        elif holds_results:
            yield here, str(value)


def _failure(node: Mapping[str, Any], path: str) -> ResultFailure | None:
    """Read a part that has failed: one with a code, a bad state or, where results stand, nothing but words."""
    if any(
        _is_url(value) and _holds_results(key, path) for key, value in node.items() if isinstance(key, str)
    ):
        return None
    code, message = error_fields(node)
    has_failed = code or any(node.get(key) in _BAD_STATES for key in _STATE_KEYS)
    only_words = message and _branch(path) in _OUTPUT_BRANCHES and not set(node) - _ECHOED_KEYS - {"message"}
    return ResultFailure(path=path, code=code, message=message) if has_failed or only_words else None


def _holds_results(key: str, path: str) -> bool:
    """Whether a URL under ``key`` is something the model made, and not an echo of what it was given."""
    one = key.removesuffix("s")
    if key in _ECHOED_KEYS or one in _ECHOED_KEYS:
        return False
    if key == "image_url":
        # At the top it is the one result of the image-to-image models; deeper down it repeats the input, except among results.
        return not path or (root := _branch(path)) in _OUTPUT_BRANCHES or _holds_results(root, "")
    return one in _RESULT_KEYS or one.endswith("_url")


def _branch(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _is_url(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("http://", "https://"))
