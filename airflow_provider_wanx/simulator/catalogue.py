"""Which models exist under which service path, what they take, and in what shape each answers.

Refused at submission is what the body alone shows: its structure, an unknown style, a URL that is none. What takes
the input's bytes (unreachable, not a picture, too small, too large) fails the task later, as the documented sample of
a failed task does; with ``inspect_on_submit`` it refuses the submission with the same code, as the documented table
of HTTP errors does.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_wanx.simulator.errors import ServiceError, invalid_parameter, invalid_url

# The service's own numbers, those between and beyond them being refused; the English names are for the page at ``/``.
STYLES = {
    -1: "reference image", 0: "retro comic", 1: "3D fairy tale", 2: "anime", 3: "fresh", 4: "future tech",
    5: "traditional Chinese painting", 6: "battle general", 7: "colorful cartoon", 8: "elegant Chinese",
    9: "happy new year", 14: "Chinese fine brush", 15: "new year greetings", 30: "fairy tale world", 31: "clay world",
    32: "pixel world", 33: "adventure world", 34: "manga world", 35: "3D world", 36: "anime world",
    37: "hand-drawn world", 38: "crayon world", 39: "fridge magnet world", 40: "badge world",
}  # fmt: skip
REFERENCE_STYLE = -1
MAX_RESULTS = 6

_URL_KEYS = (
    "image_url", "base_image_url", "ref_image_url", "ref_img", "mask_image_url", "template_image_url",
    "person_image_url", "top_garment_url", "bottom_garment_url", "shoe_image_url", "images", "sketch_image_url",
    "user_urls", "face_image_url",
)  # fmt: skip


class Family(Enum):
    """Models that answer alike."""

    REPAINT = "results[].url, and what style repaint alone tells"
    RESULTS = "results[].url"
    POSTER = "render_urls[] and bg_urls[]"
    BACKGROUND = "results[].url and text_results.urls[].url"
    WORDART = "results[].png_url and .svg_url"
    IMAGE_URL = "image_url"
    RESULT_URL = "result_url"
    OUTPUT_IMAGE_URL = "output_image_url"
    SEGMENTATION = "output_img_url and output_vis_image_url"
    CHOICES = "choices[].message.content[].image"
    TRANSCRIPTIONS = "results[].transcription_url"
    TRANSCRIPTION = "result.transcription_url"
    EMBEDDING = "url"


@dataclass(frozen=True, kw_only=True)
class Service:
    """The models of one kind under one path.

    :param path: what follows ``/api/v1/services/``.
    :param models: their names, with ``*`` where a family of names goes on.
    :param family: how they answer.
    :param submit_rate: documented submissions per second.
    :param concurrency: documented number of jobs at once.
    """

    path: str
    models: tuple[str, ...]
    family: Family
    submit_rate: float = 2.0
    concurrency: int = 1


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
    """

    service: Service
    model: str
    sources: tuple[str, ...] = ()
    style: int | None = None
    prompt: str = field(default="", repr=False)
    count: int = 1
    size: tuple[int, int] = (1024, 1024)


SERVICES: tuple[Service, ...] = (
    Service(
        path="aigc/image-generation/generation",
        models=("wanx-style-repaint-v1", "wanx-style-cosplay-v1"),
        family=Family.REPAINT,
    ),
    Service(
        path="aigc/image-generation/generation",
        models=("wan2.6-image", "wan2.6-t2i", "wan2.7-image*"),
        family=Family.CHOICES,
        submit_rate=5.0,
        concurrency=5,
    ),
    Service(
        path="aigc/text2image/image-synthesis",
        models=("wanx-poster-generation-v1",),
        family=Family.POSTER,
    ),
    Service(
        path="aigc/text2image/image-synthesis",
        models=("wanx-v1", "wanx2.*-t2i*", "wan2.*-t2i*", "flux*", "stable-diffusion*"),
        family=Family.RESULTS,
    ),
    Service(
        path="aigc/text2image/image-synthesis", models=("qwen-image*",), family=Family.RESULTS, concurrency=2
    ),
    Service(
        path="aigc/image2image/image-synthesis",
        models=("wanx2.1-imageedit",),
        family=Family.RESULTS,
        concurrency=2,
    ),
    Service(
        path="aigc/image2image/image-synthesis",
        models=("wan2.5-i2i*", "wanx-x-painting", "wanx-sketch-to-image*"),
        family=Family.RESULTS,
    ),
    Service(
        path="aigc/image2image/image-synthesis",
        models=("aitryon*",),
        family=Family.IMAGE_URL,
        submit_rate=10.0,
        concurrency=5,
    ),
    Service(path="aigc/image2image/image-synthesis", models=("qwen-mt-image",), family=Family.IMAGE_URL),
    Service(
        path="aigc/image2image/image-synthesis",
        models=("image-instance-segmentation",),
        family=Family.SEGMENTATION,
    ),
    Service(
        path="aigc/image2image/image-synthesis",
        models=("image-erase-completion",),
        family=Family.OUTPUT_IMAGE_URL,
    ),
    Service(
        path="aigc/image2image/out-painting",
        models=("image-out-painting",),
        family=Family.OUTPUT_IMAGE_URL,
        concurrency=5,
    ),
    Service(
        path="aigc/background-generation/generation",
        models=("wanx-background-generation-v2",),
        family=Family.BACKGROUND,
    ),
    Service(
        path="aigc/virtualmodel/generation",
        models=("virtualmodel-v2", "wanx-virtualmodel"),
        family=Family.RESULTS,
    ),
    Service(path="aigc/virtualmodel/generation", models=("shoemodel-v1",), family=Family.RESULT_URL),
    Service(path="aigc/wordart/semantic", models=("wordart-semantic",), family=Family.WORDART),
    Service(path="aigc/wordart/texture", models=("wordart-texture",), family=Family.RESULTS),
    Service(path="aigc/wordart/surnames", models=("wordart-surnames",), family=Family.RESULTS),
    Service(path="aigc/album/gen_potrait", models=("facechain-generation",), family=Family.RESULTS),
    Service(
        path="audio/asr/transcription",
        models=("paraformer-*", "fun-asr*", "sensevoice-*"),
        family=Family.TRANSCRIPTIONS,
        submit_rate=20.0,
        concurrency=20,
    ),
    Service(
        path="audio/asr/transcription",
        models=("qwen3-asr-flash-filetrans*",),
        family=Family.TRANSCRIPTION,
        submit_rate=20.0,
        concurrency=20,
    ),
    Service(
        path="embeddings/text-embedding/text-embedding",
        models=("text-embedding-async-v1", "text-embedding-async-v2"),
        family=Family.EMBEDDING,
    ),
)


def find_service(*, path: str, model: str) -> Service:
    """Find the service of a model under a path.

    :raises ServiceError: there is no such path, or no such model under it.
    """
    under_path = [service for service in SERVICES if service.path == path.strip("/")]
    if not under_path:
        raise invalid_parameter("url error, please check url!")
    for service in under_path:
        if any(fnmatchcase(model, pattern) for pattern in service.models):
            return service
    raise ServiceError(status=404, code="ModelNotFound", message="Model can not be found.")


def read_order(*, path: str, body: Any) -> Order:
    """Read a submission's body.

    :param path: what follows ``/api/v1/services/``.
    :param body: the parsed JSON.
    :raises ServiceError: the submission is refused.
    """
    if not isinstance(body, dict):
        raise ServiceError(code="BadRequest.IllegalInput", message="The input is not a valid JSON object.")
    model, given, parameters = body.get("model"), body.get("input"), body.get("parameters") or {}
    if not isinstance(model, str) or not model:
        raise ServiceError(
            code="BadRequest.EmptyModel", message='Required parameter "model" missing from request.'
        )
    service = find_service(path=path, model=model)
    if not isinstance(given, dict) or not given:
        raise ServiceError(
            code="BadRequest.EmptyInput", message='Required parameter "input" missing from request.'
        )
    if not isinstance(parameters, dict):
        raise invalid_parameter('"parameters" must be an object.')
    if service.family is Family.REPAINT:
        return _read_repaint(service, model, given)
    return _read_other(service, model, given, parameters)


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
    count = parameters.get("n", 1)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_RESULTS:
        raise invalid_parameter(f"parameters.n must be an integer from 1 to {MAX_RESULTS}.")
    sources = _sources(service.family, given)
    prompt = str(
        given.get("prompt") or given.get("text") or given.get("messages") or given.get("title") or ""
    )
    if not sources and not prompt:
        raise invalid_parameter("input has neither a prompt nor a file.")
    return Order(
        service=service,
        model=model,
        sources=tuple(_url(source, "input") for source in sources),
        prompt=prompt,
        count=count,
        size=_size(parameters.get("size")),
    )


def _sources(family: Family, given: dict[str, Any]) -> list[Any]:
    if family is Family.TRANSCRIPTIONS:
        urls = given.get("file_urls")
        if not isinstance(urls, list) or not 1 <= len(urls) <= 100:
            raise invalid_parameter("input.file_urls must be a list of 1 to 100 URLs.")
        return urls
    if family is Family.TRANSCRIPTION:
        return [given.get("file_url")]
    if family is Family.EMBEDDING:
        return [given.get("url")]
    found: list[Any] = []
    for key in _URL_KEYS:
        value = given.get(key)
        found += value if isinstance(value, list) else [value] if value else []
    for message in given.get("messages") or []:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            found += [part["image"] for part in content if isinstance(part, dict) and part.get("image")]
    return found


def _url(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise invalid_parameter(f"{name} is missing.")
    if not value.startswith(("http://", "https://", "data:", "oss://")) or not value.isascii():
        raise invalid_url()
    # Ten thousand orders of one inlined picture must not hold it ten thousand times.
    return sys.intern(value)


def _size(value: Any) -> tuple[int, int]:
    if value is None:
        return (1024, 1024)
    try:
        width, height = (int(side) for side in str(value).replace("x", "*").split("*"))
    except ValueError as error:
        raise invalid_parameter("parameters.size must look like 1024*1024.") from error
    if not (64 <= width <= 4096 and 64 <= height <= 4096):
        raise invalid_parameter("parameters.size is out of range.")
    return (width, height)
