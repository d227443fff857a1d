"""The commands that look at a batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.cli.conftest import Run
from tests.unit.operators.repainting import AT_REST, Bulk
from tests.unit.support.airflow import deferral

Service = Callable[..., BackgroundSimulator]


def place(bulk: Bulk) -> str:
    return f"s3://{bulk.bucket.name}/out/"


def with_a_failure(simulator: BackgroundSimulator, times: int = 1) -> None:
    simulator.add_fault(
        endpoint="job",
        kind="outcome",
        outcome="FAILED",
        code="InvalidURL",
        message="no \x1b[31mface",
        times=times,
    )


def test_the_status_tells_how_far_a_batch_is(bulk: Bulk, service: Service, run: Run) -> None:
    with_a_failure(service())
    bulk.run()
    code, out, _ = run("batch", "status", place(bulk))
    lines = dict(line.split(None, 1) for line in out.splitlines() if "  " in line)
    assert code == 0
    assert (lines["state"], lines["succeeded"], lines["failed"], lines["planned"]) == (
        "finished",
        "2",
        "1",
        "0",
    )
    assert "InvalidURL: 1" in out
    code, out, _ = run("batch", "status", place(bulk), "--output", "json")
    assert json.loads(out)["failures"]["InvalidURL"]["count"] == 1


def test_failures_come_from_the_manifest(bulk: Bulk, service: Service, run: Run) -> None:
    with_a_failure(service(), times=2)
    bulk.run()
    code, out, _ = run("batch", "failures", place(bulk))
    assert (code, len(out.splitlines())) == (0, 3)
    assert "\x1b" not in out
    code, out, _ = run("batch", "failures", place(bulk), "--output", "json", "--limit", "1")
    (row,) = json.loads(out)
    assert (row["code"], row["style"], "face" in row["message"]) == ("InvalidURL", 2, True)


def test_until_there_is_a_manifest_examples_stand_for_them(bulk: Bulk, service: Service, run: Run) -> None:
    service(**AT_REST)
    bulk.bucket.put("in/text.png", b"no picture at all")
    deferral(bulk.runner().start)
    code, out, err = run("batch", "failures", place(bulk), "--output", "json")
    assert (code, [row["code"] for row in json.loads(out)]) == (0, ["InvalidInput"])
    assert "written at the end" in err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("status", "s3://{bucket}/nothing/"), 1, "no batch has this destination"),
        (("failures", "s3://{bucket}/nothing/"), 1, "no batch has this destination"),
        (("status", "/tmp/out"), 2, "is not like s3://bucket/prefix/"),
        (("status", "s3://{bucket}/bad/"), 1, "status.json cannot be read"),
        (("failures", "s3://{bucket}/bad/"), 2, "is no JSON"),
        (("status", "s3://no_such_conn@{bucket}/out/"), 2, "no AWS connection 'no_such_conn'"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(
    bulk: Bulk,
    run: Run,
    words: tuple[str, ...],
    code: int,
    told: str,
) -> None:
    bulk.bucket.put("bad/status.json", b"[" * 5000)
    bulk.bucket.put("bad/manifest.jsonl", b"{" * 100)
    given: list[Any] = [word.replace("{bucket}", bulk.bucket.name) for word in words]
    ended, out, err = run("batch", *given)
    assert (ended, out) == (code, "")
    assert told in err.splitlines()[-1]
