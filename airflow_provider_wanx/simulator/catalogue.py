"""Which models exist under which service path, what they may be asked for, and in what shape each answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from airflow_provider_wanx.simulator.errors import invalid_parameter, unknown_model

# The service's own numbers, those between and beyond them being refused; the English names are for the page at ``/``.
STYLES = {
    -1: "reference image", 0: "retro comic", 1: "3D fairy tale", 2: "anime", 3: "fresh", 4: "future tech",
    5: "traditional Chinese painting", 6: "battle general", 7: "colorful cartoon", 8: "elegant Chinese",
    9: "happy new year", 14: "Chinese fine brush", 15: "new year greetings", 30: "fairy tale world", 31: "clay world",
    32: "pixel world", 33: "adventure world", 34: "manga world", 35: "3D world", 36: "anime world",
    37: "hand-drawn world", 38: "crayon world", 39: "fridge magnet world", 40: "badge world",
}  # fmt: skip
REFERENCE_STYLE = -1


class Family(Enum):
    """Models that answer alike."""

    REPAINT = "results[].url, and what style repaint alone tells"
    RESULTS = "results[].url"
    POSTER = "render_urls[] and bg_urls[]"
    BACKGROUND = "results[].url, and text_results.urls[].url for a title"
    WORDART = "results[].png_url and .svg_url"
    IMAGE_URL = "image_url"
    OUTPUT_IMAGE_URL = "output_image_url"
    SEGMENTATION = "output_image_url and output_vis_image_url"
    CHOICES = "choices[].message.content[].image"
    TRANSCRIPTIONS = "results[].transcription_url"
    TRANSCRIPTION = "result.transcription_url"
    EMBEDDING = "url"
    VIDEO = "video_url"
    VIDEO_RESULTS = "results.video_url"

    @property
    def makes_video(self) -> bool:
        """Whether the result is a video."""
        return self in (Family.VIDEO, Family.VIDEO_RESULTS)


@dataclass(frozen=True, kw_only=True)
class Service:
    """The models of one kind under one path.

    :param path: what follows ``/api/v1/services/``.
    :param models: their names, with ``*`` where a family of names goes on.
    :param family: how they answer.
    :param submit_rate: documented submissions per second.
    :param concurrency: documented number of jobs at once.
    :param counts_failures: whether a failed task has a usage, of no image.
    """

    path: str
    models: tuple[str, ...]
    family: Family
    submit_rate: float = 2.0
    concurrency: int = 1
    counts_failures: bool = False


# The figures are those of the documents for Beijing.
SERVICES: tuple[Service, ...] = (
    Service(
        path="aigc/image-generation/generation",
        models=("wanx-style-repaint-v1", "wanx-style-cosplay-v1"),
        family=Family.REPAINT,
        counts_failures=True,
    ),
    Service(
        path="aigc/image-generation/generation",
        models=("wan2.6-t2i",),
        family=Family.CHOICES,
        submit_rate=1.0,
        concurrency=5,
    ),
    Service(
        path="aigc/image-generation/generation",
        models=("wan2.6-image", "wan2.7-image*"),
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
        models=("wanx-v1", "flux*", "stable-diffusion*"),
        family=Family.RESULTS,
    ),
    Service(
        path="aigc/text2image/image-synthesis",
        models=("wan2.5-t2i*",),
        family=Family.RESULTS,
        submit_rate=5.0,
        concurrency=5,
    ),
    Service(
        path="aigc/text2image/image-synthesis",
        models=("wanx2.*-t2i*", "wan2.1-t2i*", "wan2.2-t2i*", "qwen-image*"),
        family=Family.RESULTS,
        concurrency=2,
    ),
    Service(
        path="aigc/image2image/image-synthesis",
        models=("wanx2.1-imageedit",),
        family=Family.RESULTS,
        concurrency=2,
    ),
    Service(
        path="aigc/image2image/image-synthesis",
        models=("wan2.5-i2i*",),
        family=Family.RESULTS,
        submit_rate=5.0,
        concurrency=5,
    ),
    Service(
        path="aigc/image2image/image-synthesis",
        models=("wanx-x-painting", "wanx-sketch-to-image*"),
        family=Family.RESULTS,
    ),
    Service(
        path="aigc/image2image/image-synthesis",
        models=("aitryon*",),
        family=Family.IMAGE_URL,
        submit_rate=10.0,
        concurrency=5,
    ),
    Service(
        path="aigc/image2image/image-synthesis",
        models=("qwen-mt-image",),
        family=Family.IMAGE_URL,
        submit_rate=1.0,
        concurrency=2,
    ),
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
    Service(
        path="aigc/virtualmodel/generation",
        models=("shoemodel-v1",),
        family=Family.RESULTS,
        counts_failures=True,
    ),
    Service(path="aigc/wordart/semantic", models=("wordart-semantic",), family=Family.WORDART),
    Service(path="aigc/wordart/texture", models=("wordart-texture",), family=Family.RESULTS),
    Service(path="aigc/wordart/surnames", models=("wordart-surnames",), family=Family.RESULTS),
    Service(path="aigc/album/gen_potrait", models=("facechain-generation",), family=Family.RESULTS),
    Service(
        path="aigc/video-generation/video-synthesis",
        models=("wanx2.1-t2v*", "wanx2.1-i2v*", "wan2.1-t2v*", "wan2.2-t2v*", "wan2.2-i2v*"),
        family=Family.VIDEO,
        concurrency=2,
    ),
    Service(
        path="aigc/video-generation/video-synthesis",
        models=("wan2.*-t2v*", "wan2.*-i2v*", "wan2.*-r2v*"),
        family=Family.VIDEO,
        submit_rate=5.0,
        concurrency=5,
    ),
    Service(
        path="aigc/image2video/video-synthesis",
        models=("wanx2.1-kf2v*", "wan2.2-kf2v*"),
        family=Family.VIDEO,
        concurrency=2,
    ),
    Service(
        path="aigc/image2video/video-synthesis",
        models=("emo-v1", "liveportrait", "wan2.2-s2v", "wan2.2-animate-*"),
        family=Family.VIDEO_RESULTS,
    ),
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


def find_service(*, path: str, model: str, unknown: str) -> Service:
    """Find the service of a model under a path.

    :param unknown: how an unknown model is refused, one of ``settings.UNKNOWN_MODEL_ANSWERS``.
    :raises ServiceError: there is no such model, or it does not stand under this path.
    """
    known = [
        service for service in SERVICES if any(fnmatchcase(model, pattern) for pattern in service.models)
    ]
    for service in known:
        if service.path == path.strip("/"):
            return service
    if known or all(service.path != path.strip("/") for service in SERVICES):
        # As recorded, with the wide exclamation mark.
        raise invalid_parameter("url error, please check url\uff01")
    raise unknown_model(unknown)
