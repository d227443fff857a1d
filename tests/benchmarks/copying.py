"""Copying results to S3 beside plain boto3 that uploads as many bytes with as many threads, in fresh processes.

Where the link to S3 is not what limits both, a third client shows how little a copy can cost: it takes the bytes from a socket,
hashes them, and has boto3 send them from where they are, without any check.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from tests.benchmarks.processes import figures_of, peak_megabytes
from tests.benchmarks.stores import PIECE

THREADS = 8
MEGABYTE = 1_000_000
PART = 8 * 1024 * 1024
CASES: tuple[tuple[str, int, int, int], ...] = (
    ("1 MB", MEGABYTE, 500, 100),
    ("1 MB", MEGABYTE, 1000, 0),
    ("100 MB", 100 * MEGABYTE, 8, 100),
    ("100 MB", 100 * MEGABYTE, 16, 300),
    ("1 GB", 1000 * MEGABYTE, 8, 0),
)
"""Name, bytes of a file, files, megabytes a second that the link to S3 takes: 100 are a fast one's, 0 is this machine's memory."""

BOTO3, PACKAGE, LEAST = "boto3", "this package", "socket to boto3"
_REPEATS = 2

Figures = Iterator[dict[str, Any]]


def measure() -> Figures:
    """Measure them in turns, and keep the better of two runs of each."""
    for name, size, files, link in CASES:
        with ExitStack() as stack:
            source, sink = stack.enter_context(_Store(0)), stack.enter_context(_Store(link))
            clients = (BOTO3, PACKAGE) if link else (BOTO3, PACKAGE, LEAST)
            runs: dict[str, list[dict[str, float]]] = {client: [] for client in clients}
            for _ in range(_REPEATS):
                for client, found in runs.items():
                    found.append(figures_of(__name__, client, source.url, sink.url, size, files))
            for client, found in runs.items():
                best = min(found, key=lambda run: run["seconds"])
                megabytes = size * files / MEGABYTE
                yield {
                    "client": client,
                    "n": files,
                    "file": name,
                    "link": link,
                    "megabytes_per_second": megabytes / best["seconds"],
                    "cpu_seconds_per_gigabyte": best["cpu_seconds"] / megabytes * 1000,
                    "peak_megabytes": max(run["peak_megabytes"] for run in found),
                    "own_megabytes": max(run["own_megabytes"] for run in found),
                }


class _Store:
    """A process of :mod:`tests.benchmarks.stores`."""

    def __init__(self, link: int) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.stores", str(link)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._process.stdout is None:
            raise RuntimeError("The store has no output")
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def _with_boto3(sink: str, size: int) -> Callable[[int], object]:
    """Upload bytes that are there already, one file a thread at a time, as the package does."""
    from boto3.s3.transfer import TransferConfig

    s3 = _s3(sink)
    transfer = TransferConfig(use_threads=False)

    def upload(number: int) -> None:
        s3.upload_fileobj(_Bytes(size), "results", f"{number}.png", Config=transfer)

    return upload


def _s3(sink: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=sink,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=THREADS),
    )


class _Bytes:
    """A file of so many bytes that are made when they are read."""

    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        size = self._left if size < 0 else min(size, self._left)
        self._left -= size
        whole, rest = divmod(size, len(PIECE))
        return PIECE * whole + PIECE[:rest]


def _with_package(source: str, sink: str, size: int) -> Callable[[int], object]:
    from airflow_provider_wanx.dashscope.models import ResultFile, Task, TaskStatus
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook
    from airflow_provider_wanx.hooks.storage import s3_destination
    from airflow_provider_wanx.jobs.copying.copier import ResultCopier

    connection = {"conn_type": "dashscope", "host": source, "password": "sk-local"}
    os.environ["AIRFLOW_CONN_DASHSCOPE_DEFAULT"] = json.dumps(connection)
    extra = {
        "endpoint_url": sink,
        "region_name": "us-east-1",
        "config_kwargs": {"s3": {"addressing_style": "path"}},
    }
    aws = {"conn_type": "aws", "login": "local", "password": "local", "extra": extra}
    os.environ["AIRFLOW_CONN_AWS_DEFAULT"] = json.dumps(aws)
    destination = s3_destination(aws_conn_id="aws_default", bucket="results")
    destination.check()
    copier = ResultCopier(client=DashScopeHook().get_conn(), destination=destination, log=logging.getLogger())

    def copy(number: int) -> None:
        file = ResultFile(url=f"{source}/{size}/{number}.png", path="results[0].url", index=0)
        task = Task(task_id=f"task-{number}", status=TaskStatus.SUCCEEDED, results=(file,))
        copied = copier.copy(task, file, key_for=lambda extension: f"{number}{extension}")
        if copied.bytes != size:
            raise RuntimeError(f"{copied.bytes} bytes were copied, not {size}")

    return copy


def _with_sockets(source: str, sink: str, size: int) -> Callable[[int], object]:
    """Do nothing that a copy can do without."""
    s3, thread = _s3(sink), threading.local()
    host, _, port = source.removeprefix("http://").partition(":")

    def copy(number: int) -> None:
        if not hasattr(thread, "connection"):
            thread.connection, thread.buffer = socket.create_connection((host, int(port))), bytearray(PART)
        place = {"Bucket": "results", "Key": f"{number}.png"}
        thread.connection.sendall(f"GET /{size}/{number}.png HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += thread.connection.recv(1)
        digest = hashlib.sha256()
        if size < PART:
            s3.put_object(**place, Body=_receive(thread, size, digest))
            return
        place["UploadId"] = s3.create_multipart_upload(**place)["UploadId"]
        parts = []
        for part, begin in enumerate(range(0, size, PART), 1):
            body = _receive(thread, min(PART, size - begin), digest)
            answer = s3.upload_part(**place, PartNumber=part, Body=body)
            parts.append({"PartNumber": part, "ETag": answer["ETag"]})
        s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})

    return copy


def _receive(thread: threading.local, size: int, digest: Any) -> bytes | bytearray:
    with memoryview(thread.buffer) as buffer:
        begin = 0
        while begin < size:
            end = begin + thread.connection.recv_into(buffer[begin:size])
            digest.update(buffer[begin:end])
            begin = end
        return thread.buffer if size == PART else bytes(buffer[:size])


def _copy_all(client: str, source: str, sink: str, size: int, files: int) -> None:
    if client == BOTO3:
        one = _with_boto3(sink, size)
    else:
        one = (_with_package if client == PACKAGE else _with_sockets)(source, sink, size)
    # What is loaded and connected once counts for neither.
    one(files)
    before = peak_megabytes()
    cpu, began = time.process_time(), time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(one, range(files)):
            pass
    figures = {
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - cpu,
        "peak_megabytes": peak_megabytes(),
        "own_megabytes": peak_megabytes() - before,
    }
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    _client, _source, _sink, _size, _files = sys.argv[1:]
    _copy_all(_client, _source, _sink, int(_size), int(_files))
