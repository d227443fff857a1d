from __future__ import annotations

import base64
import gzip
import hashlib
import itertools
import tracemalloc
from collections.abc import Callable, Iterable

import pytest

from airflow_provider_wanx.dashscope.errors import (
    ApiError,
    DownloadError,
    LostAnswerError,
    ProviderError,
    ResultExpiredError,
    ThrottledError,
    TransportError,
)
from tests.unit.dashscope.support.scripted_server import (
    Raw,
    Reset,
    Say,
    ScriptedServer,
    Stall,
    Stream,
    head,
)
from tests.unit.dashscope.support.shells import Shell

Connect = Callable[..., Shell]

_PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
_WHAT = "result 0 of DashScope task t-1"
_MEGABYTE = 1024 * 1024

_EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired.</Message><RequestId>65</RequestId></Error>"
_GONE = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"


def _say(body: bytes = _PNG, status: int = 200, **headers: str) -> Say:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Say(status=status, body=body, headers={"Content-Type": "image/png"} | named)


def _get(server: ScriptedServer, connect: Connect, **settings: float) -> bytes:
    parts: list[bytes] = []
    connect(server.url, **settings).download(
        f"{server.url}/r/1_style3.png?Signature=hidden", what=_WHAT, take=parts.append
    )
    return b"".join(parts)


def _failure(
    server: ScriptedServer, connect: Connect, kind: type[ProviderError], **settings: float
) -> ProviderError:
    with pytest.raises(kind) as caught:
        _get(server, connect, **settings)
    assert _WHAT in str(caught.value)
    assert "hidden" not in str(caught.value)
    return caught.value


def test_a_result_arrives_as_it_was_sent(server: ScriptedServer, connect: Connect) -> None:
    md5 = base64.b64encode(hashlib.md5(_PNG).digest()).decode()
    server.script(_say(Content_MD5=md5, Content_Type="image/png; charset=binary"))
    parts: list[bytes] = []

    received = connect(server.url).download(f"{server.url}/r/A.PNG?Signature=s", take=parts.append)

    assert b"".join(parts) == _PNG
    assert (received.size, received.expected_size) == (len(_PNG), len(_PNG))
    assert received.sha256 == hashlib.sha256(_PNG).hexdigest()
    assert (received.content_type, received.extension) == ("image/png", ".png")


def test_the_file_is_asked_for_unpacked_so_that_it_can_be_checked(
    server: ScriptedServer, connect: Connect
) -> None:
    server.script(_say())

    _get(server, connect)

    assert server.seen[0].headers["accept-encoding"] == "identity"


def test_a_file_that_comes_packed_all_the_same_is_refused(server: ScriptedServer, connect: Connect) -> None:
    server.script(_say(gzip.compress(_PNG), Content_Encoding="gzip"))

    assert "came packed (gzip)" in str(_failure(server, connect, DownloadError))


def test_a_packed_file_stays_as_it_is(server: ScriptedServer, connect: Connect) -> None:
    packed = gzip.compress(b'{"embedding": []}')
    server.script(_say(packed, Content_Encoding="gzip", Content_Type="text/plain"))
    parts: list[bytes] = []

    received = connect(server.url).download(f"{server.url}/r/a.txt.gz", take=parts.append)

    assert b"".join(parts) == packed
    assert received.expected_size == len(packed)


def test_a_large_file_passes_through_little_memory(server: ScriptedServer, connect: Connect) -> None:
    size = 64 * _MEGABYTE
    piece = b"\x89PNG\r\n\x1a\n" + bytes(_MEGABYTE - 8)
    server.script(Stream(chunks=lambda: itertools.repeat(piece, 64), length=size))
    shell = connect(server.url)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        received = shell.download(f"{server.url}/large.png")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert received.size == size
    # anyio before 4.11 keeps 8 megabytes of a file of any size.
    assert peak - before < 12 * _MEGABYTE


def test_chunks_come_while_the_file_is_still_on_its_way(server: ScriptedServer, connect: Connect) -> None:
    sent: list[int] = []
    taken: list[int] = []

    def pieces() -> Iterable[bytes]:
        for number in range(24):
            sent.append(number)
            yield b"\x89PNG\r\n\x1a\n" + bytes(_MEGABYTE - 8)

    server.script(Stream(chunks=pieces, length=24 * _MEGABYTE))

    connect(server.url).download(f"{server.url}/x.png", take=lambda _: taken.append(len(sent)))

    assert taken[0] < 18


def test_a_file_that_breaks_off_is_an_error_with_both_figures(
    server: ScriptedServer, connect: Connect
) -> None:
    server.script(Raw(data=head(200, {"Content-Length": "4000"}) + _PNG[:1000]))

    error = _failure(server, connect, DownloadError)

    assert "broke off after" in str(error)
    assert "of 4000 bytes" in str(error)
    assert error.retryable


def test_a_file_of_unknown_length_that_breaks_off_is_an_error(
    server: ScriptedServer, connect: Connect
) -> None:
    chunked = head(200, {"Transfer-Encoding": "chunked"}) + b"400\r\n" + _PNG[:1000]
    server.script(Raw(data=chunked))

    assert "broke off after" in str(_failure(server, connect, DownloadError))


def test_a_file_that_stops_coming_is_an_error(server: ScriptedServer, connect: Connect) -> None:
    server.script(Stream(chunks=lambda: iter([_PNG]), length=len(_PNG) + 5))

    assert "ReadTimeout" in str(_failure(server, connect, DownloadError, timeout=0.2))


def test_a_checksum_that_differs_is_an_error(server: ScriptedServer, connect: Connect) -> None:
    server.script(_say(Content_MD5=base64.b64encode(bytes(16)).decode()))

    assert "checksum differs" in str(_failure(server, connect, DownloadError))


@pytest.mark.parametrize("status", [200, 204])
def test_an_empty_file_is_an_error(server: ScriptedServer, connect: Connect, status: int) -> None:
    server.script(_say(b"", status))

    assert "is empty" in str(_failure(server, connect, DownloadError))


def test_an_error_page_with_http_200_is_an_error(server: ScriptedServer, connect: Connect) -> None:
    server.script(_say(b"<html>Sorry</html>", Content_Type="text/html"))

    assert "is no .png file" in str(_failure(server, connect, DownloadError))


@pytest.mark.parametrize(("status", "body"), [(403, _EXPIRED), (404, _GONE), (410, b"")])
def test_a_result_that_is_past_its_time_is_told_as_such(
    server: ScriptedServer, connect: Connect, status: int, body: bytes
) -> None:
    server.script(_say(body, status, Content_Type="application/xml"))

    error = _failure(server, connect, ResultExpiredError)

    assert error.retryable
    assert f"HTTP {status}" in str(error)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (_say(b"", 503), ApiError),
        (_say(b"<Error><Code>ServiceUnavailable</Code></Error>", 503), ThrottledError),
        (_say(b"", 500), ApiError),
        (_say(b"", 302), ApiError),
        (_say(b"", 302, Location="ftp://files.example/"), TransportError),
        (Reset(), LostAnswerError),
        (Raw(data=b"nonsense\r\n\r\n"), LostAnswerError),
        (Stall(), LostAnswerError),
        (Raw(data=head(403, {"Content-Length": "400"}) + b"<Err"), LostAnswerError),
    ],
)
def test_other_troubles_of_the_store_are_clear_errors(
    server: ScriptedServer, connect: Connect, reply: Say | Reset | Raw | Stall, kind: type[ProviderError]
) -> None:
    server.script(reply)

    _failure(server, connect, kind, timeout=0.25 if isinstance(reply, Stall) else 5.0)


def test_a_store_that_is_not_there_is_told_as_unreachable(connect: Connect) -> None:
    closed = ScriptedServer()
    try:
        with pytest.raises(TransportError, match="cannot be reached"):
            connect(closed.url).download(f"{closed.url}/a.png")
    finally:
        closed.stop()


def test_whoever_stops_reading_leaves_the_connection_to_nobody(
    server: ScriptedServer, connect: Connect
) -> None:
    class EnoughError(Exception):
        pass

    def refuse(_: bytes) -> None:
        raise EnoughError

    server.script(_say(_PNG * 100), _say())
    shell = connect(server.url)

    with pytest.raises(EnoughError):
        shell.download(f"{server.url}/a.png", take=refuse)

    assert shell.download(f"{server.url}/b.png").size == len(_PNG)
    assert server.connections == 2
