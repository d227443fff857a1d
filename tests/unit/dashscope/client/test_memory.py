"""No body that anybody sends takes much memory: of a worker, of a triggerer, of whoever reads a small object."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

import pytest

from airflow_provider_wanx.dashscope.client.transport import MAX_ANSWER_BYTES
from tests.unit.dashscope.support.scripted_server import (
    Endless,
    Reply,
    Say,
    ScriptedServer,
    Seen,
    head,
    say_json,
)

MOST_MEGABYTES = 64.0

CHUNKED = {"Transfer-Encoding": "chunked"}
CHUNK = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
GZIP = {"Content-Encoding": "gzip"}


def largest(start: bytes, piece: bytes, end: bytes) -> Say:
    """An answer that is just not too large, and full of small things."""
    return Say(body=start + piece * ((MAX_ANSWER_BYTES - len(start) - len(end)) // len(piece)) + end)


HARMLESS = say_json({"output": {"task_id": "harmless", "task_status": "SUCCEEDED"}}, ETag='"1"')
TASK = b'{"output":{"task_id":"t","task_status":"SUCCEEDED","results":['


@cache
def replies() -> dict[str, dict[str, Reply]]:
    """All hostile bodies, by who meets them."""
    bomb = gzip.compress(b"".join(itertools.repeat(b" " * 1_000_000, 300)), 1)
    answers: dict[str, Reply] = {
        "bomb": Say(body=bomb, headers=GZIP),
        "bomb-of-members": Say(body=gzip.compress(b" ") + bomb, headers=GZIP),
        "bomb-in-a-bomb": Say(body=gzip.compress(bomb), headers={"Content-Encoding": "gzip, gzip"}),
        "endless": Endless(data=head(200, {}), piece=b" " * 0x100000),
        "endless-chunks": Endless(data=head(200, CHUNKED), piece=CHUNK),
        "endless-refusal": Endless(data=head(404, CHUNKED), piece=CHUNK),
        "endless-trouble": Endless(data=head(503, {}), piece=b" " * 0x100000),
        "endless-header": Endless(data=b"HTTP/1.1 200 OK\r\nX-Long: ", piece=b"x" * 0x100000),
        "endless-headers": Endless(data=b"HTTP/1.1 200 OK\r\n", piece=b"X-More: yes\r\n" * 10_000),
        "endless-chunk-size": Endless(data=head(200, CHUNKED), piece=b"0" * 0x100000),
        "largest-of-lists": largest(TASK, b"[],", b"[]]}}"),
        "largest-of-objects": largest(TASK, b"{},", b"{}]}}"),
        "largest-of-results": largest(TASK, b'{"url":"http://a"},', b"{}]}}"),
        "largest-of-failures": largest(TASK, b'{"code":"a"},', b"{}]}}"),
        "largest-of-wide-text": largest('{"code":"😀'.encode(), b"x", b'"}'),
        "deep": Say(body=b"[" * 500_000),
    }
    downloads: dict[str, Reply] = {
        "download-bomb": answers["bomb"],
        "download-endless-refusal": answers["endless-refusal"],
        "download-endless-trouble": answers["endless-trouble"],
        "download-large": Endless(data=head(200, CHUNKED), piece=CHUNK, times=300),
        "download-redirect": Endless(data=head(302, {"Location": "/harmless"}), piece=b" " * 0x100000),
    }
    blanks = b" " * 0x100000
    objects: dict[str, Reply] = {
        "object-300MB": Endless(
            data=head(200, {"Content-Length": str(300 * len(blanks)), "ETag": '"1"'}), piece=blanks, times=300
        ),
        "object-endless": Endless(data=head(200, {"ETag": '"1"', **CHUNKED}), piece=CHUNK),
        "object-bomb": Say(body=bomb, headers={"ETag": '"1"', **GZIP}),
    }
    return {"client": {**answers, **downloads}, "trigger": answers, "store": objects}


class NamedServer(ScriptedServer):
    """Answers by the name of what is asked for, however often."""

    def _next_reply(self, request: Seen) -> Reply:
        name = request.path.rpartition("/")[2].partition(".")[0]
        return {**replies()["client"], **replies()["store"]}.get(name, HARMLESS)


@pytest.fixture
def named_server() -> Iterator[NamedServer]:
    with NamedServer() as running:
        yield running


@pytest.mark.parametrize("kind", ["client", "trigger", "store"])
def test_no_hostile_body_takes_much_memory(named_server: NamedServer, kind: str) -> None:
    bodies = list(replies()[kind])
    met = subprocess.run(
        [sys.executable, "-m", "tests.unit.dashscope.client.hostile_bodies", kind, named_server.url, *bodies],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"},
    )
    found = json.loads(met.stdout.splitlines()[-1])
    # Memory that is used would be seen.
    assert found.pop("ballast")[1] > 90.0
    assert list(found) == ["harmless", *bodies]
    if kind == "trigger":
        assert all(said == name for name, (said, _) in found.items())
    assert max(megabytes for _, megabytes in found.values()) < MOST_MEGABYTES, found
