"""Where an answer leads is followed to public addresses only, or to those of the service's own kind."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_wanx.dashscope.client.network import AddressKind, kind_of
from airflow_provider_wanx.dashscope.errors import (
    ConfigurationError,
    DownloadError,
    ForbiddenHostError,
    ProviderError,
)
from tests.unit.dashscope.support.scripted_server import Endless, Say, ScriptedServer, head, say_json
from tests.unit.dashscope.support.shells import Shell

Connect = Callable[..., Shell]

PUBLIC = "https://dashscope.example"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)
PICTURE = Say(body=PNG, headers={"Content-Type": "image/png"})


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A name server: each look at a name takes the next of its answers, which are addresses with commas."""
    known: dict[str, list[str]] = {"dashscope.example": ["203.107.0.1"] * 99, "localhost.": ["127.0.0.1"]}
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in ("localhost", "127.0.0.1"):
            return real(host, port, *more, **options)
        addresses = known[name].pop(0).split(",") if name in known else [written_out(name)]
        return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 0, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def written_out(host: str) -> str:
    """Read an address in the notations of the C library."""
    return host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.0.0.1", "localhost", "LOCALHOST.",
        "0.0.0.0", "0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
    ],
)  # fmt: skip
def test_no_notation_leads_to_this_machine(
    server: ScriptedServer, connect: Connect, names: dict[str, list[str]], host: str
) -> None:
    server.script(PICTURE)
    # httpx itself refuses what begins with 0.
    with pytest.raises((ForbiddenHostError, DownloadError), match="result 0"):
        connect(PUBLIC).download(f"http://{host}:{server.port}/latest/meta-data/", what="result 0")
    assert server.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "100.100.100.200", "[fe80::1%25lo]", "[fd00:ec2::254]", "10.0.0.8", "192.168.1.1",
        "100.64.0.1", "[::1]", "[fc00::1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "224.0.0.1", "[ff02::1]",
    ],
)  # fmt: skip
def test_no_address_of_another_kind_is_reached(
    connect: Connect, names: dict[str, list[str]], host: str
) -> None:
    with pytest.raises(ForbiddenHostError):
        connect(PUBLIC, timeout=0.5).download(f"http://{host}/latest/meta-data/")


def test_every_address_of_a_name_counts(
    server: ScriptedServer, connect: Connect, names: dict[str, list[str]]
) -> None:
    names["results.example"] = ["8.8.8.8,127.0.0.1"]
    with pytest.raises(ForbiddenHostError, match=r"'results.example' has the address 127.0.0.1"):
        connect(PUBLIC).download(f"http://results.example:{server.port}/a.png")
    assert server.connections == 0


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    server: ScriptedServer, connect: Connect, names: dict[str, list[str]]
) -> None:
    names["results.example"] = ["8.8.8.8", "127.0.0.1", "127.0.0.1"]
    with pytest.raises(ProviderError):
        connect(PUBLIC, timeout=0.2).download(f"http://results.example:{server.port}/a.png")
    assert server.connections == 0
    assert len(names["results.example"]) == 2


def test_a_service_on_this_machine_may_lead_to_this_machine_and_no_further(
    server: ScriptedServer, connect: Connect, names: dict[str, list[str]]
) -> None:
    server.script(PICTURE, PICTURE)
    shell = connect(server.url)
    assert shell.download(f"http://localhost:{server.port}/a.png").size == len(PNG)
    with pytest.raises(ForbiddenHostError):
        shell.download("http://169.254.169.254/latest/meta-data/")
    with pytest.raises(ForbiddenHostError):
        shell.download("http://10.0.0.8/a.png")


def test_a_service_in_a_private_network_may_lead_into_it_and_not_to_this_machine(
    connect: Connect, names: dict[str, list[str]]
) -> None:
    names["dashscope.internal"] = ["10.1.2.3"] * 9
    shell = connect("https://dashscope.internal", timeout=0.2)
    with pytest.raises(ProviderError) as caught:
        shell.download("http://10.255.255.1:9/a.png")
    assert not isinstance(caught.value, ForbiddenHostError)
    for other in ("127.0.0.1", "100.64.0.1", "169.254.169.254"):
        with pytest.raises(ForbiddenHostError):
            shell.download(f"http://{other}/a.png")


def test_a_redirect_is_followed(server: ScriptedServer, connect: Connect) -> None:
    server.script(Say(status=302, headers={"Location": "/b/c?sig=1"}), PICTURE)
    received = connect(server.url).download(f"{server.url}/a.png")
    assert (received.size, received.extension) == (len(PNG), ".png")
    assert [seen.target for seen in server.seen] == ["/a.png", "/b/c?sig=1"]
    assert "authorization" not in server.seen[1].headers


def test_a_redirect_leads_through_the_same_door(
    server: ScriptedServer, connect: Connect, names: dict[str, list[str]]
) -> None:
    server.script(Say(status=307, headers={"Location": "http://169.254.169.254/latest/meta-data/"}))
    with pytest.raises(ForbiddenHostError):
        connect(server.url).download(f"{server.url}/a.png")


@pytest.mark.parametrize("place", ["http://xn--a/", "http:////[x1x@/.=b"])
def test_a_redirect_to_nowhere_is_an_own_error_and_leaves_no_connection_open(
    server: ScriptedServer, connect: Connect, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[httpx.URL] = []
    close, aclose = httpx.Response.close, httpx.Response.aclose

    def closing(response: httpx.Response) -> None:
        closed.append(response.url)
        close(response)

    async def aclosing(response: httpx.Response) -> None:
        closed.append(response.url)
        await aclose(response)

    monkeypatch.setattr(httpx.Response, "close", closing)
    monkeypatch.setattr(httpx.Response, "aclose", aclosing)
    server.script(Say(status=302, headers={"Location": place}))
    with pytest.raises(DownloadError, match="its URL cannot be used"):
        connect(server.url).download(f"{server.url}/a.png")
    assert closed == [f"{server.url}/a.png"]


def test_redirects_come_to_an_end(server: ScriptedServer, connect: Connect) -> None:
    endless = Endless(data=head(302, {"Location": "/a.png"}), piece=b" " * 65536)
    server.script(*[endless] * 20)
    with pytest.raises(DownloadError, match="redirected 6 times"):
        connect(server.url).download(f"{server.url}/a.png")


def test_pictures_are_not_uploaded_to_where_an_answer_wants_them(
    server: ScriptedServer, connect: Connect, names: dict[str, list[str]]
) -> None:
    policy = {
        "policy": "p", "signature": "s", "upload_dir": "d", "oss_access_key_id": "k",
        "upload_host": "https://169.254.169.254",
    }  # fmt: skip
    server.script(say_json({"data": policy}))
    with pytest.raises(ForbiddenHostError, match="upload"):
        connect(server.url).upload_file(filename="a.png", content=PNG, model="m")


def test_only_listed_hosts_are_reached(server: ScriptedServer, connect: Connect) -> None:
    server.script(PICTURE)
    shell = connect(server.url, result_hosts=("*.aliyuncs.com", "127.0.0.1"))
    assert shell.download(f"{server.url}/a.png").size == len(PNG)
    with pytest.raises(ForbiddenHostError, match="result_hosts"):
        shell.download(f"http://localhost:{server.port}/a.png")
    assert len(server.seen) == 1


@pytest.mark.parametrize("host", ["https://a.example", "a.example/path", "*", "a b", "", "*.*.example"])
def test_a_host_that_is_none_is_refused(connect: Connect, host: str) -> None:
    with pytest.raises(ConfigurationError, match="result_hosts"):
        connect(PUBLIC, result_hosts=(host,))


def test_behind_a_proxy_names_go_to_it_and_addresses_are_checked_here(
    server: ScriptedServer, connect: Connect
) -> None:
    server.script(PICTURE)
    shell = connect(PUBLIC, proxy=server.url)
    assert shell.download("http://results.example/a.png").size == len(PNG)
    assert server.seen[0].target == "http://results.example/a.png"
    for host in ("127.0.0.1", "2130706433", "localhost", "10.0.0.8", "[::1]"):
        with pytest.raises(ForbiddenHostError):
            shell.download(f"http://{host}/a.png")
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("47.95.1.1", AddressKind.PUBLIC),
        ("2408:4000::1", AddressKind.PUBLIC),
        ("::ffff:47.95.1.1", AddressKind.PUBLIC),
        ("64:ff9b::2f5f:101", AddressKind.PUBLIC),
        ("127.8.8.8", AddressKind.LOOPBACK),
        ("::1", AddressKind.LOOPBACK),
        ("::ffff:127.0.0.1", AddressKind.LOOPBACK),
        ("64:ff9b::7f00:1", AddressKind.LOOPBACK),
        ("172.31.0.1", AddressKind.PRIVATE),
        ("fd12::1", AddressKind.PRIVATE),
        ("100.64.0.1", AddressKind.SHARED),
        ("100.100.100.200", AddressKind.FORBIDDEN),
        ("::ffff:100.100.100.200", AddressKind.FORBIDDEN),
        ("fd00:ec2::254", AddressKind.FORBIDDEN),
        ("169.254.169.254", AddressKind.FORBIDDEN),
        ("fe80::1%eth0", AddressKind.FORBIDDEN),
        ("fec0::1", AddressKind.FORBIDDEN),
        ("0.0.0.0", AddressKind.FORBIDDEN),
        ("::", AddressKind.FORBIDDEN),
        ("::127.0.0.1", AddressKind.FORBIDDEN),
        ("255.255.255.255", AddressKind.FORBIDDEN),
        ("240.0.0.1", AddressKind.FORBIDDEN),
        ("239.1.1.1", AddressKind.FORBIDDEN),
        ("ff02::1", AddressKind.FORBIDDEN),
        ("192.0.2.1", AddressKind.FORBIDDEN),
        ("2001:db8::1", AddressKind.FORBIDDEN),
        ("64:ff9b:1::7f00:1", AddressKind.FORBIDDEN),
        ("2001:0:7f00:1::", AddressKind.FORBIDDEN),
    ],
)
def test_whose_an_address_is(address: str, kind: AddressKind) -> None:
    assert kind_of(address) is kind
