"""A bulk task whose images have signed URLs: the service gets them whole, and nobody else does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_wanx.simulator.server import BackgroundSimulator
from tests.unit.operators.repainting import Bulk, accepted
from tests.unit.support.pictures import picture

Service = Callable[..., BackgroundSimulator]


@pytest.fixture
def gate() -> Iterator[str]:
    """A server that gives a picture only to whoever shows a signature."""

    class Gate(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = picture(300, 320) if "Signature=OPEN" in self.path else b"no"
            self.send_response(200 if len(body) > 2 else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def signed(gate: str, mark: str) -> list[str]:
    return [
        f"{gate}/get?file=face-{number}&Expires=17{mark}&OSSAccessKeyId=LTAI{mark}&Signature=OPEN{mark}"
        for number in range(3)
    ]


def test_signatures_reach_the_service_and_no_object(bulk: Bulk, service: Service, gate: str) -> None:
    simulator = service()

    # One at a time: the others are submitted by workers that know the ledger alone.
    bulk.at_most(1)
    summary = bulk.run(images=signed(gate, "first"))

    assert summary["succeeded"] == 3
    assert bulk.wakes >= 2
    keys = bulk.bucket.keys()
    texts = [
        bulk.bucket.body(key).decode() for key in keys if key.startswith("out/") and key not in bulk.results()
    ]
    told = json.dumps([texts, summary, [bulk.bucket.head(key)["Metadata"] for key in bulk.results()]])
    assert len(texts) >= 5
    assert "first" not in told
    assert [row["image"] for row in bulk.manifest()] == [
        f"{gate}/get?file=face-{number}" for number in range(3)
    ]
    assert accepted(simulator) == 3


def test_a_picture_that_is_signed_anew_is_the_same_picture(bulk: Bulk, service: Service, gate: str) -> None:
    simulator = service()
    bulk.run(images=signed(gate, "first")[:2])

    summary = bulk.run(images=signed(gate, "second")[:2], run_id="tuesday")

    assert summary["images"] == 2
    assert accepted(simulator) == 2


def test_a_row_that_cannot_be_planned_is_quoted_without_its_signature(
    bulk: Bulk, service: Service, gate: str
) -> None:
    simulator = service()

    with pytest.raises(AirflowFailException) as refused:
        bulk.run(images=signed(gate, "first"), s3_key="one{extension}")

    assert "the key of another row" in str(refused.value)
    assert "first" not in str(refused.value)
    assert accepted(simulator) == 0
