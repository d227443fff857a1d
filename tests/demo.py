"""The demo: portraits repainted by a real Airflow, from bucket to bucket, on this machine alone.

Run it with ``make demo``. At a terminal it stays up until Ctrl-C; otherwise it ends as soon as everything was checked.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NoReturn

from PIL import Image, ImageChops, ImageStat

from tests.stack import FAILED_LOOKS, ROOT, DagRun, LocalStack, StackConfig, StackError
from tests.stack.dashscope import API_KEY

# What the trigger forms of the example DAGs begin with, so that they work as they are.
BUCKET = "wanx-portraits"
RESULTS = "wanx-results"
GALLERY = {"AIRFLOW__DASHSCOPE__GALLERY_BUCKETS": f"{BUCKET}, {RESULTS}"}
"""The setting by which the gallery shows portraits too, which lie in another bucket than their results."""

PREFIX = "portraits/"
SPEED = 3.0
# Not the variable that the official SDK reads: many have that one set, and nobody should pay by surprise.
KEY_VARIABLE = "WANX_DEMO_KEY"
LIVE_HOST = "https://dashscope.aliyuncs.com"
PORTRAITS = ROOT / "tests" / "data" / "portraits"
DATA = ROOT / ".demo"

_SINGLE = "astronaut.png"
_STYLES = ("retro comic", "pixel world")
_FOLDER_STYLE = "crayon world"
_RUN_SECONDS = 900.0
_LIVE_RUN_SECONDS = 1800.0
_FORMATS = {"JPEG", "PNG"}
# Mean difference of the channels, of 255, between two pictures brought to one small size. A picture that was only
# encoded anew stays below 3.
_DIFFERENT = 6.0
_THUMBNAIL = (64, 64)


class DemoError(Exception):
    """The demo did not show what it promises."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A DAG run of the demo and what it is for."""

    dag_id: str
    conf: Mapping[str, Any]
    title: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture, as it lies in the bucket."""

    key: str
    body: bytes

    def thumbnail(self) -> Image.Image:
        """The picture in the size that pictures are compared in."""
        with Image.open(io.BytesIO(self.body)) as image:
            return image.convert("RGB").resize(_THUMBNAIL)

    def described(self) -> str:
        """Format, size in pixels and size in bytes."""
        with Image.open(io.BytesIO(self.body)) as image:
            return f"{image.format} {image.width}×{image.height}, {len(self.body):,} bytes"


def portraits() -> list[Path]:
    """The sample portraits."""
    return sorted(path for path in PORTRAITS.iterdir() if path.suffix != ".md")


def local_plan() -> list[PlannedRun]:
    """One portrait in two styles, and a whole folder in a third one."""
    single = [
        PlannedRun(
            dag_id="wanx_style_repaint",
            conf={"image": f"s3://{BUCKET}/{PREFIX}{_SINGLE}", "style": style, "bucket": RESULTS},
            title=f"{_SINGLE} as “{style}”",
        )
        for style in _STYLES
    ]
    folder = PlannedRun(
        dag_id="wanx_repaint_folder",
        conf={"bucket": BUCKET, "prefix": PREFIX, "style": _FOLDER_STYLE, "result_bucket": RESULTS},
        title=f"every portrait under s3://{BUCKET}/{PREFIX} as “{_FOLDER_STYLE}”",
    )
    return [*single, folder]


def live_plan() -> list[PlannedRun]:
    """One portrait in two styles.

    The worker uploads it, as its connection says: the service cannot reach a bucket on this machine.
    """
    return [each for each in local_plan() if each.dag_id == "wanx_style_repaint"]


def stack_config(*, key: str | None) -> StackConfig:
    """Set up the stack of the demo.

    :param key: a real API key, for the live service in place of the local DashScope
    """
    extra = {"image_transfer": "upload"}
    live = {"conn_type": "dashscope", "host": LIVE_HOST, "password": key, "extra": extra}
    return StackConfig(
        data=DATA,
        dag_bundles={"examples": ROOT / "dags"},
        dag_ids={"wanx_style_repaint", "wanx_repaint_folder"},
        with_simulator=key is None,
        speed=SPEED,
        connections={"dashscope_default": live} if key else {},
        # The connection form shows them then, and its "Test" works.
        connections_in_database=True,
        settings={"AIRFLOW__CORE__TEST_CONNECTION": "Enabled", **GALLERY},
    )


def run_all(*, stack: LocalStack, plan: Sequence[PlannedRun], timeout: float) -> None:
    """Run the plan, all runs at once, and wait for the last one.

    :param stack: a started stack
    :raises DemoError: when a run fails; the message holds the end of the failed task's log
    """
    api = stack.airflow.api
    run_ids = [api.trigger(dag_id=each.dag_id, conf=each.conf) for each in plan]
    for each in plan:
        print(f"  started  {each.dag_id}: {each.title}")
    deadline = time.monotonic() + timeout
    for each, run_id in zip(plan, run_ids, strict=True):
        run = api.wait_for_run(dag_id=each.dag_id, run_id=run_id, timeout=deadline - time.monotonic())
        if run.state != "success":
            raise DemoError(_failure(stack=stack, run=run))
        print(f"  success  {each.dag_id}: {each.title}")


def _failure(*, stack: LocalStack, run: DagRun) -> str:
    api = stack.airflow.api
    instances = api.task_instances(dag_id=run.dag_id, run_id=run.dag_run_id)
    lines = [f"{run.dag_id} {run.dag_run_id} ended as {run.state}"]
    for instance in [each for each in instances if each.state == "failed"]:
        lines.append(f"--- end of the log of {instance.task_id}[{instance.map_index}] ---")
        with suppress(StackError):
            lines += api.log(instance=instance).splitlines()[-30:]
    return "\n".join(lines)


def results(*, stack: LocalStack) -> list[Picture]:
    """Read everything that the runs left in the bucket for results.

    :param stack: a started stack
    """
    keys = sorted(each.key for each in stack.s3.list(bucket=RESULTS))
    return [Picture(key=key, body=stack.s3.get(bucket=RESULTS, key=key)) for key in keys]


def check(*, pictures: Sequence[Picture], inputs: Sequence[Picture], expected: int) -> None:
    """Check by content that each picture is a painting of its own.

    :param pictures: what came out
    :param inputs: what went in
    :param expected: number of pictures that must have come out
    :raises DemoError: when one is missing, is no JPEG or PNG, or equals an input or another one
    """
    if len(pictures) != expected:
        raise DemoError(
            f"{expected} pictures were expected, {len(pictures)} came: {[each.key for each in pictures]}"
        )
    for picture in pictures:
        with Image.open(io.BytesIO(picture.body)) as image:
            if image.format not in _FORMATS:
                raise DemoError(f"{picture.key} is neither JPEG nor PNG but {image.format}")
    thumbnails = {each.key: each.thumbnail() for each in (*pictures, *inputs)}
    for one, other in combinations(thumbnails, 2):
        if not one.startswith(PREFIX) or not other.startswith(PREFIX):
            _check_different(one, other, thumbnails)


def _check_different(one: str, other: str, thumbnails: Mapping[str, Image.Image]) -> None:
    means = ImageStat.Stat(ImageChops.difference(thumbnails[one], thumbnails[other])).mean
    if (difference := sum(means) / len(means)) < _DIFFERENT:
        raise DemoError(f"{one} and {other} show the same picture (they differ by {difference:.1f} of 255)")


def save(*, pictures: Sequence[Picture], folder: Path) -> None:
    """Keep the pictures when the local S3, which has them in memory only, is gone.

    :param folder: where to
    """
    for picture in pictures:
        file = folder / picture.key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture.body)


def demo(*, key: str | None) -> None:
    """Run the demo.

    :param key: a real API key, for the live service in place of the local DashScope
    :raises DemoError: when it did not show what it promises
    """
    began = time.monotonic()
    plan = live_plan() if key else local_plan()
    inputs = [Picture(key=f"{PREFIX}{path.name}", body=path.read_bytes()) for path in portraits()]
    if key:
        print(
            f"{KEY_VARIABLE} is set: this uses the live service and COSTS MONEY, {len(plan)} pictures at about 0.12 CNY each."
        )
    print(f"Starting Airflow, {'' if key else 'a local DashScope, '}and a local S3 …", flush=True)
    with LocalStack(config=stack_config(key=key)) as stack:
        print(f"  ready after {stack.startup_seconds:.0f} s", flush=True)
        for each in inputs:
            stack.s3.put(bucket=BUCKET, key=each.key, body=each.body)
        stack.s3.client.create_bucket(Bucket=RESULTS)
        run_all(stack=stack, plan=plan, timeout=_LIVE_RUN_SECONDS if key else _RUN_SECONDS)
        pictures = results(stack=stack)
        expected = sum(len(inputs) if each.dag_id == "wanx_repaint_folder" else 1 for each in plan)
        check(pictures=pictures, inputs=inputs, expected=expected)
        save(pictures=pictures, folder=DATA / "pictures")
        _report(stack=stack, pictures=pictures, live=key is not None, seconds=time.monotonic() - began)
        if sys.stdin.isatty():
            print("\nEverything stays up until Ctrl-C.", flush=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()


def _report(*, stack: LocalStack, pictures: Sequence[Picture], live: bool, seconds: float) -> None:
    print(f"\n{len(pictures)} pictures in s3://{RESULTS}, each unlike its input and unlike the others:")
    for picture in pictures:
        print(f"  s3://{RESULTS}/{picture.key}  {picture.described()}")
    print(f"  copies: {(DATA / 'pictures').relative_to(ROOT)}/")
    print(f"\nAirflow    {stack.airflow.url}  (no login)")
    print(f"DashScope  {LIVE_HOST if live else f'{stack.simulator.url}  (key {API_KEY})'}")
    print(f"S3         {stack.s3.url}")
    if not live:
        print(
            "\nThe DAGs' trigger forms begin with this demo's pictures and buckets: trigger one as it stands."
        )
        print(
            "Admin › Connections › dashscope_default shows the connection form. Its Test fails with any other key."
        )
        cost = len(live_plan()) * 0.12
        print("\nThe local DashScope paints with Pillow, not with a model,")
        print(f"and its clocks run {SPEED:g} times as fast as the service's.")
        print(f"The real thing, for about {cost:.2f} CNY:  {KEY_VARIABLE}=sk-… make demo")
    print(
        f"\n{seconds:.0f} s in all, {stack.startup_seconds:.0f} s of them until Airflow was ready.",
        flush=True,
    )


def _interrupt(_signum: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo as a program; return its exit status."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _interrupt)
    try:
        demo(key=os.environ.get(KEY_VARIABLE))
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130
    except (DemoError, OSError, *FAILED_LOOKS, StackError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
