"""Submissions that were understood.

Refused at submission is what the body alone shows: its structure, an unknown style, a URL that is none. What takes
the input's bytes (unreachable, not a picture, too small, too large) fails the task later, as the documented sample of
a failed task does; with ``inspect_on_submit`` it refuses the submission with the same code, as the documented table
of HTTP errors does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_wanx.simulator.catalogue import REFERENCE_STYLE, STYLES, Family, Service
from airflow_provider_wanx.simulator.errors import ServiceError, invalid_parameter, invalid_url

MAX_RESULTS = 6
MAX_SECONDS = 15

_PROMPT_KEYS = ("prompt", "text", "ref_prompt", "messages", "title")
_SCHEMES = ("http://", "https://", "data:", "oss://")
_NAMED_SIZES = {"1K": (1280, 1280), "2K": (2048, 2048)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A submission that was understood: what is to be made of what.

    :param service: where it was sent.
    :param model: the model's name.
    :param sources: the URLs to read, in the order in which the model uses them.
    :param style: the style number of a repaint.
    :param prompt: the words to paint from.
    :param count: how many pictures are wanted.
    :param size: width and height that were asked for.
    :param seconds: how long a video was asked for.
    """

    service: Service
    model: str
    sources: tuple[str, ...] = ()
    style: int | None = None
    prompt: str = field(default="", repr=False)
    count: int = 1
    size: tuple[int, int] = (1024, 1024)
    seconds: int = 0


def read_model(body: Any) -> str:
    """Read the model's name out of a submission's body, the parsed JSON.

    :raises ServiceError: it names none.
    """
    if not isinstance(body, dict):
        raise ServiceError("BadRequest.IllegalInput", "The input is not a valid JSON object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise _missing("model", "BadRequest.EmptyModel")
    return model


def read_order(service: Service, body: dict[str, Any]) -> Order:
    """Read a submission's body, which names a model of the service.

    :raises ServiceError: the submission is refused.
    """
    model, given, parameters = body["model"], body.get("input"), body.get("parameters") or {}
    if not isinstance(given, dict) or not given:
        raise _missing("input", "BadRequest.EmptyInput")
    if not isinstance(parameters, dict):
        raise invalid_parameter('"parameters" must be an object.')
    if service.family is Family.REPAINT:
        return _read_repaint(service, model, given)
    return _read_other(service, model, given, parameters)


def _missing(name: str, code: str) -> ServiceError:
    return ServiceError(code, f'Required parameter "{name}" missing from request.')


def _read_repaint(service: Service, model: str, given: dict[str, Any]) -> Order:
    style = given.get("style_index")
    if not isinstance(style, int) or isinstance(style, bool):
        raise invalid_parameter("input.style_index must be an integer.")
    if style not in STYLES:
        raise invalid_parameter(f"input.style_index must be one of {sorted(STYLES)}.")
    sources = [_url(given.get("image_url"), "input.image_url")]
    if style == REFERENCE_STYLE:
        sources.append(_url(given.get("style_ref_url"), "input.style_ref_url"))
    return Order(service=service, model=model, sources=tuple(sources), style=style)


def _read_other(service: Service, model: str, given: dict[str, Any], parameters: dict[str, Any]) -> Order:
    sources = tuple(_url(source, "input") for source in _urls(given))
    prompt = str(next((given[key] for key in _PROMPT_KEYS if given.get(key)), ""))
    if not sources and not prompt:
        raise invalid_parameter("input has neither a prompt nor a file.")
    video = service.family.makes_video
    return Order(
        service=service,
        model=model,
        sources=sources,
        prompt=prompt,
        count=_number(parameters, "n", default=1, largest=MAX_RESULTS),
        size=_size(parameters.get("size"), default=(1280, 720) if video else (1024, 1024)),
        seconds=_number(parameters, "duration", default=5, largest=MAX_SECONDS) if video else 0,
    )


def _number(parameters: dict[str, Any], name: str, *, default: int, largest: int) -> int:
    value = parameters.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= largest:
        raise invalid_parameter(f"parameters.{name} must be an integer from 1 to {largest}.")
    return value


def _urls(given: Any) -> Iterator[str]:
    """Find the URLs in an input, wherever the model has them."""
    if isinstance(given, str) and given.startswith(_SCHEMES):
        yield given
    elif isinstance(given, dict | list):
        for each in given.values() if isinstance(given, dict) else given:
            yield from _urls(each)


def _url(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise invalid_parameter(f"{name} is missing.")
    if not value.startswith(_SCHEMES) or not value.isascii():
        raise invalid_url()
    # Ten thousand orders of one inlined picture must not hold it ten thousand times.
    return sys.intern(value)


def _size(value: Any, *, default: tuple[int, int]) -> tuple[int, int]:
    if value is None:
        return default
    if str(value) in _NAMED_SIZES:
        return _NAMED_SIZES[str(value)]
    try:
        width, height = (int(side) for side in str(value).replace("x", "*").split("*"))
    except ValueError as error:
        raise invalid_parameter("parameters.size must look like 1024*1024.") from error
    if not (64 <= width <= 4096 and 64 <= height <= 4096):
        raise invalid_parameter("parameters.size is out of range.")
    return (width, height)
