"""Proxies, certificates and headers, by the connection and by the environment; the servers are real."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_wanx.dashscope.client import connecting
from airflow_provider_wanx.dashscope.errors import ConfigurationError, LostAnswerError, TransportError
from tests.unit.dashscope.support.middlemen import (
    Certificates,
    Proxy,
    SocksProxy,
    TlsServer,
    make_certificates,
)
from tests.unit.dashscope.support.scripted_server import Say, ScriptedServer, say_json
from tests.unit.dashscope.support.shells import KEY, Shell

Connect = Callable[..., Shell]

TASK = say_json({"output": {"task_id": "t-1", "task_status": "RUNNING"}})
PNG = Say(body=b"\x89PNG\r\n\x1a\n" + bytes(100), headers={"Content-Type": "image/png"})
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", *connecting.BUNDLES)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without settings, and TLS contexts that no other client's certificate is put into."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    original = getattr(ssl.create_default_context, "__wrapped__", ssl.create_default_context)
    monkeypatch.setattr(ssl, "create_default_context", original)
    return monkeypatch


@pytest.fixture
def left_to_the_collector() -> Iterator[None]:
    """Collect connections to SOCKS proxies that refuse, which httpcore leaves to the garbage collector."""
    gc.freeze()  # What is there before has no part in it, and may be half a gigabyte.
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_server(certificates: Certificates) -> Iterator[TlsServer]:
    with TlsServer(TASK, certificates=certificates) as running:
        yield running


@pytest.fixture(params=[Proxy, SocksProxy])
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with request.param() as running:
        yield running


class TestCertificates:
    """Whom one trusts, and who one is."""

    def test_an_unknown_authority_is_refused_with_the_way_to_trust_it(
        self, tls_server: TlsServer, connect: Connect
    ) -> None:
        with pytest.raises(TransportError, match=r"(?i)certificate.verify.*ca_bundle.*REQUESTS_CA_BUNDLE"):
            connect(tls_server.url, retry_for=0).get_task("t-1")

    def test_the_connections_authority_is_trusted(
        self, tls_server: TlsServer, connect: Connect, certificates: Certificates
    ) -> None:
        shell = connect(tls_server.url, ca_bundle=str(certificates.authority))
        assert shell.get_task("t-1").task_id == "t-1"

    @pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_so_are_those_of_the_environment(
        self,
        tls_server: TlsServer,
        connect: Connect,
        certificates: Certificates,
        environment: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        environment.setenv(name, str(certificates.authority))
        assert connect(tls_server.url).get_task("t-1").task_id == "t-1"

    @pytest.mark.parametrize("name", connecting.BUNDLES)
    def test_a_bundle_that_is_missing_is_named_at_once(
        self, connect: Connect, environment: pytest.MonkeyPatch, name: str
    ) -> None:
        environment.setenv(name, "/nowhere/ca.pem")
        with pytest.raises(
            ConfigurationError, match=rf"^{name} names '/nowhere/ca\.pem', which does not exist"
        ):
            connect("https://dashscope.example")

    @pytest.mark.parametrize("content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
    def test_a_bundle_that_holds_none_is_named(self, connect: Connect, tmp_path: Path, content: str) -> None:
        file = tmp_path / "ca.pem"
        file.write_text(content)
        with pytest.raises(ConfigurationError, match=r"^ca_bundle names '.*ca\.pem', which cannot be read"):
            connect("https://dashscope.example", ca_bundle=str(file))

    def test_a_client_shows_its_certificate_to_the_service_and_to_nobody_else(
        self, connect: Connect, certificates: Certificates
    ) -> None:
        with (
            TlsServer(TASK, certificates=certificates, asks_for_certificate=True) as service,
            TlsServer(PNG, certificates=certificates, asks_for_certificate=True) as store,
        ):
            shell = connect(
                service.url,
                ca_bundle=str(certificates.authority),
                client_certificate=str(certificates.client),
                client_key=str(certificates.client_key),
                retry_for=0,
            )
            assert shell.get_task("t-1").task_id == "t-1"
            with pytest.raises(TransportError):
                shell.download(f"{store.url}/a.png")
            assert not store.seen

    def test_who_shows_none_is_told_what_may_be_asked_for(
        self, connect: Connect, certificates: Certificates
    ) -> None:
        with TlsServer(TASK, certificates=certificates, asks_for_certificate=True) as service:
            shell = connect(service.url, ca_bundle=str(certificates.authority), retry_for=0)
            with pytest.raises(TransportError) as caught:
                shell.get_task("t-1")
        # A server that closes the connection at once may be quicker than its reason.
        assert "client_certificate" in str(caught.value) or isinstance(caught.value, LostAnswerError)

    def test_a_certificate_that_cannot_be_used_is_named(
        self, connect: Connect, certificates: Certificates
    ) -> None:
        for certificate, key in (
            ("/nowhere.pem", None),
            (certificates.client, None),
            (certificates.client, certificates.locked_key),
            (certificates.client, certificates.server),
        ):
            with pytest.raises(ConfigurationError, match=r"^client_certificate '.*' cannot be used"):
                connect(
                    "https://dashscope.example",
                    client_certificate=str(certificate),
                    client_key=str(key) if key else None,
                )


class TestProxies:
    """HTTP and SOCKS."""

    def test_a_proxy_of_the_connection_leads_to_the_service_by_its_name(
        self, proxy: Proxy, tls_server: TlsServer, connect: Connect, certificates: Certificates
    ) -> None:
        shell = connect(tls_server.url, proxy=proxy.url, ca_bundle=str(certificates.authority))
        assert shell.get_task("t-1").task_id == "t-1"
        assert proxy.asked == [f"localhost:{tls_server.port}"]
        assert tls_server.seen[0].headers["authorization"] == f"Bearer {KEY}"

    @pytest.mark.usefixtures("left_to_the_collector")
    @pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
    def test_so_does_one_of_the_environment(
        self, proxy: Proxy, connect: Connect, environment: pytest.MonkeyPatch, name: str
    ) -> None:
        environment.setenv(name, proxy.url)
        with pytest.raises(TransportError):
            connect("https://dashscope.example:9", retry_for=0, timeout=1).get_task("t-1")
        assert proxy.asked == ["dashscope.example:9"]

    def test_a_proxy_that_wants_a_login_gets_the_one_of_its_url(
        self, tls_server: TlsServer, connect: Connect, certificates: Certificates
    ) -> None:
        with Proxy(login="me:pass%40word") as proxy:
            proxy.login = "me:pass@word"
            given = f"http://me:pass%40word@127.0.0.1:{proxy.port}"
            shell = connect(tls_server.url, proxy=given, ca_bundle=str(certificates.authority))
            assert shell.get_task("t-1").task_id == "t-1"

    def test_a_proxy_that_refuses_is_told_without_its_password(self, connect: Connect) -> None:
        with Proxy(login="me:other") as proxy:
            given = f"http://me:hidden@127.0.0.1:{proxy.port}"
            with pytest.raises(TransportError, match=r"407 .*The proxy asks for a name") as caught:
                connect("https://dashscope.example", proxy=given, retry_for=0).get_task("t-1")
        assert "hidden" not in str(caught.value)
        assert caught.value.certainly_refused

    @pytest.mark.parametrize("scheme", ["http", "socks5"])
    def test_a_proxy_that_is_not_there_is_named_and_not_taken_for_the_service(
        self, connect: Connect, unused_tcp_port: int, scheme: str
    ) -> None:
        given = f"{scheme}://me:hidden@127.0.0.1:{unused_tcp_port}"
        place = rf"through the proxy 127\.0\.0\.1:{unused_tcp_port}"
        with pytest.raises(TransportError, match=place) as caught:
            connect("https://dashscope.example", proxy=given, retry_for=0).get_task("t-1")
        assert "hidden" not in str(caught.value)
        assert caught.value.certainly_refused

    @pytest.mark.parametrize(
        ("no_proxy", "host"),
        [
            ("dashscope.example", "dashscope.example"),
            (".example", "dashscope.example"),
            ("*.example", "dashscope.example"),
            ("example", "dashscope.example"),
            ("DASHSCOPE.example:443", "dashscope.example"),
            ("other, dashscope.example ,", "dashscope.example"),
            ("[::1],[2001:db8::]/32", "[2001:db8::7]"),
            ("2001:db8::/32", "[2001:db8::7]"),
            ("[2001:db8::7]", "[2001:db8::7]"),
            ("10.0.0.0/8", "10.1.2.3"),
            ("*", "dashscope.example"),
        ],
    )
    def test_no_proxy_takes_names_ports_and_networks(
        self, proxy: Proxy, connect: Connect, environment: pytest.MonkeyPatch, no_proxy: str, host: str
    ) -> None:
        environment.setenv("HTTPS_PROXY", proxy.url)
        environment.setenv("NO_PROXY", no_proxy)
        with pytest.raises(TransportError):
            connect(f"https://{host}", retry_for=0, timeout=0.5).get_task("t-1")
        assert not proxy.asked

    @pytest.mark.usefixtures("left_to_the_collector")
    @pytest.mark.parametrize("no_proxy", ["[::1]", "ample", "dashscope.example:8443", "10.0.0.0/8", "a b]["])
    def test_no_proxy_lists_no_more_than_it_says(
        self, proxy: Proxy, connect: Connect, environment: pytest.MonkeyPatch, no_proxy: str
    ) -> None:
        environment.setenv("HTTPS_PROXY", proxy.url)
        environment.setenv("NO_PROXY", no_proxy)
        with pytest.raises(TransportError):
            connect("https://dashscope.example:9", retry_for=0, timeout=1).get_task("t-1")
        assert proxy.asked == ["dashscope.example:9"]

    def test_this_machine_is_reached_without_the_environments_proxy(
        self, proxy: Proxy, server: ScriptedServer, connect: Connect, environment: pytest.MonkeyPatch
    ) -> None:
        environment.setenv("HTTP_PROXY", proxy.url)
        server.script(TASK)
        assert connect(server.url).get_task("t-1").task_id == "t-1"
        assert not proxy.asked

    @pytest.mark.parametrize("name", ["ALL_PROXY", "HTTPS_PROXY"])
    def test_socks_without_its_library_is_named_at_once(
        self, connect: Connect, environment: pytest.MonkeyPatch, name: str
    ) -> None:
        environment.setitem(sys.modules, "socksio", None)
        environment.setenv(name, "socks5://me:hidden@proxy.example:1080")
        with pytest.raises(ConfigurationError, match=rf"^{name} is a SOCKS proxy.*\[socks\]") as caught:
            connect("https://dashscope.example")
        assert "hidden" not in str(caught.value)

    @pytest.mark.parametrize(
        "url", ["ftp://me:hidden@proxy:1", "http://", "http://me:hidden@proxy:port", "socks4://p:1"]
    )
    def test_a_proxy_that_is_none_is_named_at_once(
        self, connect: Connect, environment: pytest.MonkeyPatch, url: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=r"^proxy is no proxy's URL") as caught:
            connect("https://dashscope.example", proxy=url)
        environment.setenv("HTTPS_PROXY", url)
        with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY is no proxy's URL"):
            connect("https://dashscope.example")
        assert "hidden" not in str(caught.value)


def test_headers_go_to_the_service_and_not_to_where_its_answers_lead(
    server: ScriptedServer, connect: Connect
) -> None:
    server.script(TASK, PNG)
    shell = connect(server.url, headers={"X-Gateway-Key": "secret"})
    shell.get_task("t-1")
    shell.download(f"{server.url}/a.png")
    assert server.seen[0].headers["x-gateway-key"] == "secret"
    assert "x-gateway-key" not in server.seen[1].headers


@pytest.fixture
def plain_port() -> Iterator[int]:
    """The port of a server that takes everything for a bad request in plain HTTP, as web servers do."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        serving.join(timeout=60)


def test_https_that_meets_http_is_told(plain_port: int, connect: Connect) -> None:
    with pytest.raises(TransportError, match="There it speaks plain http") as caught:
        connect(f"https://localhost:{plain_port}", retry_for=0).get_task("t-1")
    assert caught.value.certainly_refused


@pytest.mark.usefixtures("left_to_the_collector")
def test_a_socks_proxy_that_is_none_is_told(plain_port: int, connect: Connect) -> None:
    shell = connect("https://dashscope.example", proxy=f"socks5://127.0.0.1:{plain_port}", retry_for=0)
    with pytest.raises(TransportError, match="SOCKS") as caught:
        shell.get_task("t-1")
    assert caught.value.certainly_refused


def test_http_that_meets_https_is_told(tls_server: TlsServer, connect: Connect) -> None:
    with pytest.raises(TransportError) as caught:
        connect(f"http://localhost:{tls_server.port}", retry_for=0, timeout=2).get_task("t-1")
    # A server may also close the connection without a word.
    assert "There it speaks https" in str(caught.value) or isinstance(caught.value, LostAnswerError)
