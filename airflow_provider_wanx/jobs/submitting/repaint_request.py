"""What is submitted to have a portrait repainted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_wanx.dashscope.picture_address import on_one_line
from airflow_provider_wanx.dashscope.repaint import (
    REPAINT_MODEL,
    REPAINT_PRICE,
    REPAINT_SERVICE,
    repaint_input,
)
from airflow_provider_wanx.dashscope.styles import is_known_style, style_name
from airflow_provider_wanx.jobs.pictures.image_source import ImageSource
from airflow_provider_wanx.jobs.submitting.submitter import TaskRequest

if TYPE_CHECKING:
    from airflow_provider_wanx.jobs.protocols import Log


def check_pictures(source: ImageSource, *, image: str, style_reference: str | None) -> None:
    """Look at the pictures of a repainting, as far as that costs little.

    :raises InvalidInputError: a picture is missing, unreadable, or breaks the model's limits.
    """
    source.check(image, field="image")
    if style_reference:
        source.check(style_reference, field="style_reference", is_style_reference=True)


def repaint_request(
    source: ImageSource, *, image: str, style: int, style_reference: str | None = None, log: Log
) -> TaskRequest:
    """Check the pictures of a repainting; they are made reachable for the service only if it is submitted.

    :param source: opens pictures.
    :param image: URL or path of the portrait.
    :param style: the service's ``style_index``.
    :param style_reference: URL or path of the picture whose style is taken, for style -1.
    :param log: is warned of what the service may refuse.
    :raises InvalidInputError: a picture is missing, unreadable, or breaks the model's limits.
    """
    pictures = {"image_url": source.open(image, field="image")}
    if style_reference:
        pictures["style_ref_url"] = source.open(
            style_reference, field="style_reference", is_style_reference=True
        )
    for doubt in (doubt for picture in pictures.values() for doubt in picture.doubts):
        log.warning(doubt)
    return TaskRequest(
        service=REPAINT_SERVICE,
        model=REPAINT_MODEL,
        identity={
            "style_index": style,
            **{name: picture.identity for name, picture in pictures.items()},
        },
        build_input=lambda: repaint_input(
            style=style, **{name: picture.publish() for name, picture in pictures.items()}
        ),
        summary=f"{' like '.join(on_one_line(picture.name) for picture in pictures.values())} in style {named_style(style)}, "
        f"for {REPAINT_PRICE} CNY if it succeeds",
    )


def named_style(number: int) -> str:
    """Write the number of a style with its name, for messages."""
    return f"{number} ({style_name(number)})" if is_known_style(number) else str(number)
