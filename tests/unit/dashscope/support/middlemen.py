"""What stands between a worker and the service: TLS with an authority of its own, and proxies; all on real sockets."""

from __future__ import annotations

import base64
import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.dashscope.support.scripted_server import Reply, ScriptedServer


@dataclass(frozen=True)
class Certificates:
    """Files of an authority that nobody else knows, of a server on this machine, and of a client.

    :param authority: its certificate.
    :param server: certificate and key.
    :param client: certificate alone.
    :param client_key: key alone.
    :param locked_key: the same, with a password.
    """

    authority: Path
    server: Path
    client: Path
    client_key: Path
    locked_key: Path


def make_certificates(folder: Path) -> Certificates:
    """Make them all."""
    key, own = ec.generate_private_key(ec.SECP256R1()), _name("Tests' authority")
    root = _certificate(own, own, key, key, is_authority=True)
    server_key, client_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    server = _certificate(_name("localhost"), own, server_key, key)
    client = _certificate(_name("worker"), own, client_key, key)
    files = {
        "authority": _pem(root),
        "server": _pem(server) + _key(server_key),
        "client": _pem(client),
        "client_key": _key(client_key),
        "locked_key": _key(client_key, b"password"),
    }
    for name, content in files.items():
        (folder / f"{name}.pem").write_bytes(content)
    return Certificates(**{name: folder / f"{name}.pem" for name in files})


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signing: ec.EllipticCurvePrivateKey,
    *,
    is_authority: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False
        )
    )
    if is_authority:
        usage = dict.fromkeys(
            (
                "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
                "decipher_only",
            ),
            False,
        )  # fmt: skip
        builder = builder.add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage), critical=True
        )
    else:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False
        )
    return builder.sign(signing, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)


class TlsServer(ScriptedServer):
    """A scripted server that speaks TLS.

    :param certificates: whose server it is.
    :param asks_for_certificate: whether clients have to show one.
    """

    def __init__(
        self, *replies: Reply, certificates: Certificates, asks_for_certificate: bool = False
    ) -> None:
        super().__init__(*replies)
        self.url = f"https://localhost:{self.port}"
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificates.server)
        if asks_for_certificate:
            self._tls.verify_mode = ssl.CERT_REQUIRED
            self._tls.load_verify_locations(certificates.authority)

    def _serve(self, connection: socket.socket) -> None:
        try:
            wrapped = self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        # The connection that is to be closed when the server stops.
        self._connections.append(wrapped)
        super()._serve(wrapped)


CLOSED = 9
"""A port at which proxies find nobody."""


class Proxy:
    """A proxy that takes connections to hosts by name and leads them all to this machine.

    :param login: ``name:password`` that is asked for; empty for none.
    """

    scheme = "http"

    def __init__(self, *, login: str = "") -> None:
        self.login = login
        self.asked: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        """Its URL, with the login."""
        login = f"{self.login}@" if self.login else ""
        return f"{self.scheme}://{login}127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._acceptor.join(timeout=60)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            self._lead(connection)

    def _lead(self, connection: socket.socket) -> None:
        """Do what the client asks for by ``CONNECT``."""
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            if not (more := connection.recv(1)):
                return
            asked += more
        line, *headers = asked.decode("latin-1").split("\r\n")
        target = line.split(" ")[1]
        expected = f"proxy-authorization: basic {base64.b64encode(self.login.encode()).decode()}"
        if self.login and not any(each.lower() == expected.lower() for each in headers):
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        self.asked.append(target)
        if target.endswith(f":{CLOSED}"):
            connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        self._join(connection, int(target.rpartition(":")[2]), b"HTTP/1.1 200 Connected\r\n\r\n")

    def _join(self, connection: socket.socket, port: int, answer: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port)) as other:
            connection.sendall(answer)
            back = threading.Thread(target=_pump, args=(other, connection), daemon=True)
            back.start()
            _pump(connection, other)
            back.join(timeout=60)


class SocksProxy(Proxy):
    """The same as SOCKS 5, without a login."""

    scheme = "socks5"

    def _lead(self, connection: socket.socket) -> None:
        reader = _exactly(connection)
        next(reader)
        _, methods = reader.send(2)
        reader.send(methods)
        connection.sendall(b"\x05\x00")
        _, _, _, kind = reader.send(4)
        (length,) = reader.send(1) if kind == 3 else (4,)
        host = reader.send(length)
        port = int.from_bytes(reader.send(2), "big")
        name = host.decode() if kind == 3 else socket.inet_ntoa(host)
        self.asked.append(f"{name}:{port}")
        if port == CLOSED:
            connection.sendall(b"\x05\x05\x00\x01" + bytes(6))
            return
        self._join(connection, port, b"\x05\x00\x00\x01\x7f\x00\x00\x01" + port.to_bytes(2, "big"))


def _exactly(connection: socket.socket) -> Generator[bytes, int, None]:
    taken = b""
    while True:
        size = yield taken
        taken = b""
        while len(taken) < size:
            if not (more := connection.recv(size - len(taken))):
                raise OSError("the client has gone")
            taken += more


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
