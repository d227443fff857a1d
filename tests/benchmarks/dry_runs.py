"""What a dry run of 10,000 images reads and says, beside what a real run of 300 takes. Airflow itself is not needed for either."""

from __future__ import annotations

import io
import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from PIL import Image

from airflow_provider_wanx.simulator.server import SimulatorProcess
from tests.benchmarks.processes import environment, figures_of
from tests.stack.ports import free_port
from tests.stack.s3 import LocalS3

IMAGES, REAL = 10_000, 300
JOB_SECONDS = 1.0
_PICTURE_SIDE = 512
_BUCKET, _RESULTS = "bench-portraits", "bench-results"
_PEOPLE = 20

Figures = Iterator[dict[str, Any]]


def measure() -> Figures:
    """Run 300 images, then look at 10,000 others on the same account."""
    with (
        TemporaryDirectory() as logs,
        SimulatorProcess(arguments=("--duration", str(JOB_SECONDS))) as account,
    ):
        port = free_port()
        s3 = LocalS3(port=port, logs=Path(logs))
        s3.process.start()
        try:
            s3.process.wait_ready(s3.ready, timeout=60)
            size = _store(s3)
            variables = environment() | {
                "AIRFLOW_CONN_DASHSCOPE_DEFAULT": account.connection_json(),
                "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(s3.connection),
            }
            real = figures_of(__name__, "real", variables=variables)
            with CountingProxy(port) as proxy:
                connection = json.loads(json.dumps(s3.connection))
                connection["extra"]["endpoint_url"] = proxy.url
                variables["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(connection)
                looked = figures_of(__name__, "dry", variables=variables)
            seconds_real = real["seconds"] / REAL
            yield {
                "client": f"dry run of {IMAGES:,} images",
                "n": IMAGES,
                "seconds": looked["seconds"],
                "bytes_per_image": proxy.received / IMAGES,
                "picture_bytes": size,
                "to_submit": looked["to_submit"],
                "cost": looked["cost"],
                "seconds_per_image_said": looked["seconds_per_image"],
                "seconds_per_image_real": seconds_real,
                "off": looked["seconds_per_image"] / seconds_real - 1,
            }
        finally:
            s3.process.stop()


class CountingProxy:
    """Passes connections on and counts the bytes that come back, with all headers and listings.

    :param port: where to
    """

    def __init__(self, port: int) -> None:
        self.received = 0
        self._port = port
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._lock = threading.Lock()

    def __enter__(self) -> CountingProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                for source, target, counted in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pass, args=(source, target, counted), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if counted:
                    with self._lock:
                        self.received += len(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def _store(s3: LocalS3) -> int:
    """Store all pictures; return the size of the largest."""
    largest = 0
    for bucket in (_BUCKET, _RESULTS):
        s3.client.create_bucket(Bucket=bucket)
    bodies = [_portrait(number) for number in range(_PEOPLE)]
    for folder, count in (("real", REAL), ("dry", IMAGES)):
        for number in range(count):
            body = bodies[number % _PEOPLE]
            largest = max(largest, len(body))
            s3.client.put_object(Bucket=_BUCKET, Key=f"{folder}/{number:05d}.jpg", Body=body)
    return largest


def _portrait(number: int) -> bytes:
    file = io.BytesIO()
    noise = Image.effect_noise((_PICTURE_SIDE, _PICTURE_SIDE), 40 + number)
    noise.convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def _do(step: str) -> None:
    from airflow_provider_wanx.operators.wanx import WanxStyleRepaintBatchOperator

    operator = WanxStyleRepaintBatchOperator(
        task_id="repaint",
        images=f"s3://{_BUCKET}/{step}/",
        destination=f"s3://{_RESULTS}/{step}/",
        style="fresh",
        dry_run=step == "dry",
        deferrable=False,
    )
    ti = SimpleNamespace(dag_id="bench", run_id=step, task_id="repaint", map_index=-1)
    began = time.monotonic()
    found: dict[str, Any] = operator.execute({"ti": ti})  # type: ignore[typeddict-item]
    sys.stdout.write(json.dumps({**found, "seconds": time.monotonic() - began}) + "\n")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    _do(sys.argv[1])
