"""``repaint``: one portrait, without a DAG."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.cli.output import print_record, say
from airflow_provider_wanx.cli.running import DONE, open_client, use_airflows_connections
from airflow_provider_wanx.cli.saving import hook_of, target_of
from airflow_provider_wanx.dashscope.errors import DashScopeError, InvalidInputError
from airflow_provider_wanx.dashscope.repaint import (
    CURRENCY,
    REPAINT_MODEL,
    REPAINT_PRICE,
    REPAINT_SERVICE,
    repaint_input,
)
from airflow_provider_wanx.dashscope.styles import WanxStyle, is_known_style, style_name, style_number

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.storage.pictures import Picture


def repaint(arguments: Namespace) -> int:
    """Check everything, say what it costs, submit, wait, save."""
    style = _style(arguments)
    target = target_of(arguments, default="./")
    with open_client(arguments) as client:
        pictures = {"image_url": _open(client, arguments.image, arguments)}
        if arguments.style_reference:
            pictures["style_ref_url"] = _open(
                client, arguments.style_reference, arguments, is_style_reference=True
            )
        if target is None:
            raise InvalidInputError("--to is empty.")
        target.check(client)
        named = style_name(style) if is_known_style(style) else "not among the documented ones"
        for doubt in (doubt for picture in pictures.values() for doubt in picture.doubts):
            say(doubt)
        name = pictures["image_url"].name
        say(f"Repainting {name} in style {style} ({named}), for {REPAINT_PRICE} {CURRENCY} if it succeeds.")
        urls = {field: picture.publish() for field, picture in pictures.items()}
        task_id = _submit(client, repaint_input(style=style, **urls))
        try:
            task = client.wait(task_id, poll_interval=arguments.poll_interval, timeout=arguments.timeout)
            (saved,) = target.save(client, task)
        except (KeyboardInterrupt, DashScopeError) as error:
            if not getattr(error, "final", False):
                say(f"To have the result later: tasks wait {task_id} --to PLACE")
            raise
    record: dict[str, Any] = {
        "task_id": task.task_id,
        "style": style,
        "style_name": style_name(style),
        **saved,
        "cost": float(REPAINT_PRICE),
        "currency": CURRENCY,
    }
    print_record(record, output=arguments.output)
    return DONE


def _submit(client: DashScopeClient, content: dict[str, Any]) -> str:
    """Submit, and print the id before anything else can go wrong: with it, the result can be had for a day."""
    try:
        submission = client.submit_task(service=REPAINT_SERVICE, model=REPAINT_MODEL, input=content)
    except DashScopeError as error:
        if not error.certainly_refused:
            say(
                "It is not known whether the service has accepted it. Look at tasks list before you try again."
            )
        raise
    say(f"Submitted as DashScope task {submission.task_id}.")
    return submission.task_id


def _style(arguments: Namespace) -> int:
    style = style_number(arguments.style)
    if style == WanxStyle.REFERENCE_IMAGE and not arguments.style_reference:
        raise InvalidInputError("--style -1 takes the style from a picture: give --style-reference too.")
    if style != WanxStyle.REFERENCE_IMAGE and arguments.style_reference:
        raise InvalidInputError(f"--style-reference goes with --style -1 only, not with {style}.")
    return style


def _open(
    client: DashScopeClient, image: str, arguments: Namespace, *, is_style_reference: bool = False
) -> Picture:
    """Find a picture and check it; Airflow is needed only for places that it alone can read."""
    from airflow_provider_wanx.storage.pictures import ImageSource
    from airflow_provider_wanx.storage.sources import ANYWHERE, local_path

    field = "--style-reference" if is_style_reference else "image"
    if local_path(image) is None:
        use_airflows_connections()
    else:
        image = str(Path(image).expanduser())
    source = ImageSource(
        hook=hook_of(client), model=REPAINT_MODEL, aws_conn_id=arguments.aws_connection, rule=ANYWHERE
    )
    return source.open(image, field=field, is_style_reference=is_style_reference)
