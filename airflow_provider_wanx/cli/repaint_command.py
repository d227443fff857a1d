"""``repaint``: one portrait or several, without a DAG."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.cli.output import print_record, print_rows, say
from airflow_provider_wanx.cli.running import (
    DONE,
    REFUSED,
    failure_code,
    open_client,
    use_airflows_connections,
)
from airflow_provider_wanx.cli.saving import CommandLog, read_target
from airflow_provider_wanx.cli.submit_command import Order
from airflow_provider_wanx.dashscope.errors import InvalidInputError, ProviderError
from airflow_provider_wanx.dashscope.repaint import CURRENCY, REPAINT_MODEL, REPAINT_PRICE
from airflow_provider_wanx.dashscope.styles import check_style_reference, style_name, style_number
from airflow_provider_wanx.hooks.storage import image_source
from airflow_provider_wanx.jobs.pictures.source_rule import ANYWHERE, local_path
from airflow_provider_wanx.jobs.submitting.repaint_request import check_pictures, named_style, repaint_request
from airflow_provider_wanx.jobs.submitting.submitter import fingerprint_of

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.jobs.pictures.image_source import ImageSource


def repaint(arguments: Namespace) -> int:
    """Check everything, say what it costs, submit, wait, save."""
    style = style_number(arguments.style)
    check_style_reference((style,), arguments.style_reference)
    images = list(_images(arguments))
    target = read_target(arguments.to or "./", arguments)
    with open_client(arguments) as client:
        source = image_source(
            client=lambda: client, model=REPAINT_MODEL, aws_conn_id=arguments.aws_connection, rule=ANYWHERE
        )
        for image in images:
            check_pictures(source, image=image, style_reference=arguments.style_reference)
        target.check(several=len(images) > 1)
        if len(images) > 1:
            cost = f"{REPAINT_PRICE * len(images)} {CURRENCY}"
            say(
                f"Repainting {len(images)} pictures in style {named_style(style)}, for {cost} if all succeed."
            )
        submitted = list(_submitted(client, source, images, style, arguments))
        rows, code = [], DONE
        for number, (image, order) in enumerate(submitted, start=1):
            try:
                with order.ending(*(each.task_id for _, each in submitted[number:])):
                    task = client.wait(
                        order.task_id, poll_interval=arguments.poll_interval, timeout=arguments.timeout
                    )
                    (saved,) = target.save(client, task)
                rows.append({"image": image, **_row(order.task_id, style, saved)})
            except ProviderError as error:
                if len(images) == 1:
                    raise
                # The other pictures were paid for too.
                say(f"Error: {error}")
                code = max(code, failure_code(error))
        if len(rows) == len(images):
            # Not before: the same command, called again because one is missing, must not pay for the others anew.
            for _, order in submitted:
                order.forget()
    if len(images) == 1:
        del rows[0]["image"]
        print_record(rows[0], output=arguments.output)
        return code
    print_rows(rows, ("image", "task_id", "place", "bytes"), output=arguments.output)
    return max(code, DONE if len(rows) == len(images) else REFUSED)


def _images(arguments: Namespace) -> Iterator[str]:
    """List the pictures: each that is named, and all in a folder that is."""
    if arguments.style_reference:
        arguments.style_reference = _place(arguments.style_reference)
    for image in map(_place, arguments.images):
        is_local = local_path(image) is not None
        if not (Path(image).is_dir() if is_local else "://" in image and image.endswith("/")):
            yield image
            continue
        from airflow_provider_wanx.batch.input.prefixes import PrefixSource
        from airflow_provider_wanx.batch.input.rows import RowMaker
        from airflow_provider_wanx.batch.row import Row

        maker = RowMaker(styles=(0,), style_reference=None, rule=ANYWHERE)
        folder = PrefixSource(url=image, glob=None, maker=maker, aws_conn_id=arguments.aws_connection)
        for row in folder:
            if not isinstance(row, Row):
                raise InvalidInputError(f"{row.place}: {row.reason}")
            yield row.image


def _place(given: str) -> str:
    """Return where a picture is; Airflow is needed only for places that it alone can read."""
    if local_path(given) is not None:
        return str(Path(given).expanduser())
    use_airflows_connections()
    return given


def _submitted(
    client: DashScopeClient, source: ImageSource, images: list[str], style: int, arguments: Namespace
) -> Iterator[tuple[str, Order]]:
    """Submit one picture after the other; the first that is not taken ends it, unless it is the only one."""
    same: Counter[str] = Counter()
    for image in images:
        try:
            request = repaint_request(
                source,
                image=image,
                style=style,
                style_reference=arguments.style_reference,
                log=CommandLog(),
            )
            fingerprint = fingerprint_of(request, client)
            order = Order(client, request, number=same[fingerprint])
            same[fingerprint] += 1
            price = f"Repainting {request.summary}." if len(images) == 1 else ""
            order.submit_once(resubmit=arguments.resubmit, say_first=price)
            yield image, order
        except ProviderError as error:
            if len(images) == 1:
                raise
            say(f"Error: {image}: {error}")
            return


def _row(task_id: str, style: int, saved: dict[str, Any]) -> dict[str, Any]:
    return {
        "task_id": task_id,
        "style": style,
        "style_name": style_name(style),
        **saved,
        "cost": float(REPAINT_PRICE),
        "currency": CURRENCY,
    }
