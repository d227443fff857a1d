from __future__ import annotations

from pathlib import Path

from tests.stack import RedisServer
from tests.stack.ports import free_port


def test_a_server_answers_from_its_start_to_its_end(tmp_path: Path) -> None:
    server = RedisServer(port=free_port(), folder=tmp_path / "redis", logs=tmp_path)
    server.start()
    try:
        assert server.answers()
    finally:
        server.process.stop()
    assert not server.answers()
