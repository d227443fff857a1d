"""``repaint``: one portrait or several, without a DAG."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.cli.output import print_record, print_rows, say
from airflow_provider_wanx.cli.running import DONE, REFUSED, TIME_OVER, open_client, use_airflows_connections
from airflow_provider_wanx.cli.saving import Target, hook_of, target_of
from airflow_provider_wanx.cli.submit_command import submit_once, to_be_had_later
from airflow_provider_wanx.dashscope.errors import InvalidInputError, ProviderError, WaitTimeoutError
from airflow_provider_wanx.dashscope.repaint import (
    CURRENCY,
    REPAINT_MODEL,
    REPAINT_PRICE,
    REPAINT_SERVICE,
    repaint_input,
)
from airflow_provider_wanx.dashscope.styles import (
    check_style_reference,
    is_known_style,
    style_name,
    style_number,
)
from airflow_provider_wanx.jobs.sources import ANYWHERE, local_path

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.jobs.pictures import Picture


def repaint(arguments: Namespace) -> int:
    """Check everything, say what it costs, submit, wait, save."""
    style = _style(arguments)
    images = list(_images(arguments))
    target = target_of(arguments, default="./")
    with open_client(arguments) as client:
        if target is None:
            raise InvalidInputError("--to is empty.")
        names = [_checked(client, image, arguments) for image in images]
        target.check(client, several=len(images) > 1)
        named = style_name(style) if is_known_style(style) else "not among the documented ones"
        price, condition = (
            REPAINT_PRICE * len(images),
            "if it succeeds" if len(images) == 1 else "if all succeed",
        )
        what = names[0] if len(images) == 1 else f"{len(images)} pictures"
        say(f"Repainting {what} in style {style} ({named}), for {price} {CURRENCY} {condition}.")
        rows, code = [], DONE
        submitted = list(_submitted(client, images, style, arguments))
        ids = [task_id for _, task_id in submitted]
        for number, (image, task_id) in enumerate(submitted, start=1):
            try:
                with to_be_had_later(task_id, *ids[number:]):
                    rows.append({"image": image, **_saved(client, target, task_id, style, arguments)})
            except ProviderError as error:
                if len(images) == 1:
                    raise
                # The other pictures were paid for too.
                say(f"Error: {error}")
                code = max(code, TIME_OVER if isinstance(error, WaitTimeoutError) else REFUSED)
    if len(images) == 1:
        print_record(
            {name: value for name, value in rows[0].items() if name != "image"}, output=arguments.output
        )
        return code
    print_rows(rows, ("image", "task_id", "place", "bytes"), output=arguments.output)
    return max(code, DONE if len(rows) == len(images) else REFUSED)


def _images(arguments: Namespace) -> Iterator[str]:
    """List the pictures: each that is named, and all in a folder that is."""
    for given in arguments.images:
        is_local = local_path(given) is not None
        image = str(Path(given).expanduser()) if is_local else given
        if not (Path(image).is_dir() if is_local else "://" in image and image.endswith("/")):
            yield image
            continue
        from airflow_provider_wanx.batch.input.prefixes import PrefixSource
        from airflow_provider_wanx.batch.input.rows import RowMaker
        from airflow_provider_wanx.batch.row import Row

        if not is_local:
            use_airflows_connections()
        maker = RowMaker(styles=(0,), style_reference=None, rule=ANYWHERE)
        folder = PrefixSource(url=image, glob=None, maker=maker, aws_conn_id=arguments.aws_connection)
        for row in folder:
            if not isinstance(row, Row):
                raise InvalidInputError(f"{row.place}: {row.reason}")
            yield row.image


def _checked(client: DashScopeClient, image: str, arguments: Namespace) -> str:
    """Check a picture, and the one whose style is taken; return its name. Contents are not kept: there may be many."""
    pictures = [_open(client, image, arguments)]
    if arguments.style_reference:
        pictures.append(_open(client, arguments.style_reference, arguments, is_style_reference=True))
    for doubt in (doubt for picture in pictures for doubt in picture.doubts):
        say(doubt)
    return pictures[0].name


def _submitted(
    client: DashScopeClient, images: list[str], style: int, arguments: Namespace
) -> Iterator[tuple[str, str]]:
    """Submit one picture after the other; the first that is not taken ends it, unless it is the only one."""
    for image in images:
        try:
            pictures = {"image_url": _open(client, image, arguments)}
            if arguments.style_reference:
                pictures["style_ref_url"] = _open(
                    client, arguments.style_reference, arguments, is_style_reference=True
                )
            urls = {field: picture.publish() for field, picture in pictures.items()}
            content = repaint_input(style=style, **urls)
            yield image, submit_once(client, service=REPAINT_SERVICE, model=REPAINT_MODEL, input=content)
        except ProviderError as error:
            if len(images) == 1:
                raise
            say(f"Error: {image}: {error}")
            return


def _saved(
    client: DashScopeClient, target: Target, task_id: str, style: int, arguments: Namespace
) -> dict[str, Any]:
    task = client.wait(task_id, poll_interval=arguments.poll_interval, timeout=arguments.timeout)
    (saved,) = target.save(client, task)
    return {
        "task_id": task.task_id,
        "style": style,
        "style_name": style_name(style),
        **saved,
        "cost": float(REPAINT_PRICE),
        "currency": CURRENCY,
    }


def _style(arguments: Namespace) -> int:
    style = style_number(arguments.style)
    check_style_reference((style,), arguments.style_reference)
    return style


def _open(
    client: DashScopeClient, image: str, arguments: Namespace, *, is_style_reference: bool = False
) -> Picture:
    """Find a picture and check it; Airflow is needed only for places that it alone can read."""
    from airflow_provider_wanx.jobs.pictures import ImageSource

    field = "--style-reference" if is_style_reference else "image"
    if local_path(image) is None:
        use_airflows_connections()
    else:
        image = str(Path(image).expanduser())
    source = ImageSource(
        hook=hook_of(client), model=REPAINT_MODEL, aws_conn_id=arguments.aws_connection, rule=ANYWHERE
    )
    return source.open(image, field=field, is_style_reference=is_style_reference)
