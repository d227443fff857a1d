"""Which models exist under which service path, what they may be asked for, and in what shape each answers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from airflow_provider_wanx.simulator.errors import ServiceError, invalid_parameter

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
    IMAGE_URL = "image_url"
    OUTPUT_IMAGE_URL = "output_image_url"
    CHOICES = "choices[].message.content[].image"
    TRANSCRIPTIONS = "results[].transcription_url"
    TRANSCRIPTION = "result.transcription_url"
    VIDEO = "video_url"
    VIDEO_RESULTS = "results.video_url"

    @property
    def makes_video(self) -> bool:
        """Whether the result is a video."""
        return self in (Family.VIDEO, Family.VIDEO_RESULTS)


@dataclass(frozen=True)
class Service:
    """The models of one kind under one path.

    :param path: what follows ``/api/v1/services/``.
    :param names: of the models, with ``*`` where a family of names goes on.
    :param family: how they answer.
    :param submit_rate: documented submissions per second.
    :param concurrency: documented number of jobs at once.
    :param counts_failures: whether a failed task has a usage, of no image.
    """

    path: str
    names: str
    family: Family
    submit_rate: float = 2.0
    concurrency: int = 1
    counts_failures: bool = False

    @property
    def models(self) -> list[str]:
        """Their names, one by one."""
        return self.names.split()


# The figures are those of the documents for Beijing.
SERVICES: tuple[Service, ...] = (
    Service("aigc/image-generation/generation",
            "wanx-style-repaint-v1 wanx-style-cosplay-v1", Family.REPAINT, counts_failures=True),
    Service("aigc/image-generation/generation", "wan2.6-t2i", Family.CHOICES, 1.0, 5),
    Service("aigc/image-generation/generation", "wan2.6-image wan2.7-image*", Family.CHOICES, 5.0, 5),
    Service("aigc/text2image/image-synthesis", "wanx-v1 flux* stable-diffusion*", Family.RESULTS),
    Service("aigc/text2image/image-synthesis", "wan2.5-t2i*", Family.RESULTS, 5.0, 5),
    Service("aigc/text2image/image-synthesis", "wanx2.*-t2i* wan2.1-t2i* wan2.2-t2i* qwen-image*", Family.RESULTS, 2.0, 2),
    Service("aigc/image2image/image-synthesis", "wanx2.1-imageedit", Family.RESULTS, 2.0, 2),
    Service("aigc/image2image/image-synthesis", "wan2.5-i2i*", Family.RESULTS, 5.0, 5),
    Service("aigc/image2image/image-synthesis", "wanx-x-painting wanx-sketch-to-image*", Family.RESULTS),
    Service("aigc/image2image/image-synthesis", "aitryon*", Family.IMAGE_URL, 10.0, 5),
    Service("aigc/image2image/image-synthesis", "qwen-mt-image", Family.IMAGE_URL, 1.0, 2),
    Service("aigc/image2image/image-synthesis", "image-erase-completion", Family.OUTPUT_IMAGE_URL),
    Service("aigc/image2image/out-painting", "image-out-painting", Family.OUTPUT_IMAGE_URL, 2.0, 5),
    Service("aigc/virtualmodel/generation", "virtualmodel-v2 wanx-virtualmodel", Family.RESULTS),
    Service("aigc/virtualmodel/generation", "shoemodel-v1", Family.RESULTS, counts_failures=True),
    Service("aigc/wordart/texture", "wordart-texture", Family.RESULTS),
    Service("aigc/wordart/surnames", "wordart-surnames", Family.RESULTS),
    Service("aigc/album/gen_potrait", "facechain-generation", Family.RESULTS),
    Service("aigc/video-generation/video-synthesis",
            "wanx2.1-t2v* wanx2.1-i2v* wan2.1-t2v* wan2.2-t2v* wan2.2-i2v*", Family.VIDEO, 2.0, 2),
    Service("aigc/video-generation/video-synthesis", "wan2.*-t2v* wan2.*-i2v* wan2.*-r2v*", Family.VIDEO, 5.0, 5),
    Service("aigc/image2video/video-synthesis", "wanx2.1-kf2v* wan2.2-kf2v*", Family.VIDEO, 2.0, 2),
    Service("aigc/image2video/video-synthesis", "emo-v1 liveportrait wan2.2-s2v wan2.2-animate-*", Family.VIDEO_RESULTS),
    Service("audio/asr/transcription", "paraformer-* fun-asr* sensevoice-*", Family.TRANSCRIPTIONS, 20.0, 20),
    Service("audio/asr/transcription", "qwen3-asr-flash-filetrans*", Family.TRANSCRIPTION, 20.0, 20),
)  # fmt: skip


def find_service(*, path: str, model: str) -> Service:
    """Find the service of a model under a path.

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
    raise ServiceError("InvalidParameter", "Model not exist.", status=404)
