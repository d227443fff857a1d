"""How connections are made: through which proxy, with which certificates, by which transport of httpx.

httpx reads proxies and certificates from the environment by itself, but not all that other programs obey, and what it cannot
use ends in errors that name no variable.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlsplit
from urllib.request import (  # type: ignore[attr-defined] # typeshed does not know the second
    getproxies,
    proxy_bypass_environment,
)

import httpcore
import httpx

from airflow_provider_wanx.dashscope.client.network import AllowedHosts, AsyncBackend, Backend, ReadLimits
from airflow_provider_wanx.dashscope.config import ClientConfig, is_loopback
from airflow_provider_wanx.dashscope.errors import ConfigurationError

T = TypeVar("T")

BUNDLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name certificate authorities, as OpenSSL, requests and curl know them; the first that is set counts."""

_SOCKS = ("socks5", "socks5h")

RESULTS = ReadLimits(seconds=3600.0, at_once=512 * 1024)
"""An hour for one file: over a slower link no result is of use. httpcore takes 64 KiB from the network at a time, and half of
the time that a large file takes goes into what is done for each time."""

_POOL = {"max_connections": 100, "max_keepalive_connections": 20, "keepalive_expiry": 5.0}
"""httpx's own sizes and seconds."""


def tls_context(config: ClientConfig, *, with_certificate: bool) -> ssl.SSLContext:
    """Make the TLS settings of a client.

    :param with_certificate: whether the client's certificate is shown.
    :raises ConfigurationError: a file is missing or holds something else; the message names extra or variable.
    """
    found = [("ca_bundle", config.ca_bundle)] + [(name, os.environ.get(name)) for name in BUNDLES]
    source, bundle = next(((name, path) for name, path in found if path), ("", None))
    certificate = config.client_certificate if with_certificate else None
    return _tls_context(source, bundle, certificate, config.client_key)


@functools.cache
def _tls_context(source: str, bundle: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    # Reading all certificate authorities takes longer than most requests; once a process is enough.
    if bundle is None:
        context = httpx.create_ssl_context(trust_env=False)
    else:
        place = Path(bundle)
        if not place.exists():
            raise ConfigurationError(f"{source} names {bundle!r}, which does not exist.")
        try:
            context = (
                ssl.create_default_context(capath=bundle)
                if place.is_dir()
                else ssl.create_default_context(cafile=bundle)
            )
        except OSError as error:
            raise ConfigurationError(
                f"{source} names {bundle!r}, which cannot be read as certificates in PEM: {error}."
            ) from None
    if certificate is not None:
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(certificate, key, password=lambda: b"")
        except OSError as error:
            named = f"client_certificate {certificate!r}" + (f" with client_key {key!r}" if key else "")
            raise ConfigurationError(
                f"{named} cannot be used: {error}. It takes PEM files, with a key that needs no password."
            ) from None
    return context


class _Pooled(httpx.HTTPTransport):
    """httpx's transport over a pool that was made here."""

    def __init__(self, options: dict[str, Any], limits: ReadLimits, allowed: AllowedHosts | None) -> None:
        self._pool = httpcore.ConnectionPool(**options, network_backend=Backend(limits, allowed))


class _AsyncPooled(httpx.AsyncHTTPTransport):
    def __init__(self, options: dict[str, Any], limits: ReadLimits, allowed: AllowedHosts | None) -> None:
        self._pool = httpcore.AsyncConnectionPool(**options, network_backend=AsyncBackend(limits, allowed))


class _Routes(Generic[T]):
    """The pools of one client: one for direct connections, and one for each proxy.

    :param to_service: whether requests go to the service itself, which the user has named, and not to where its answers lead.
    :param make: makes a pool's transport, of the pool's options, how to read, and whom to reach.
    :param given: the one transport for all, in place of these.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        to_service: bool,
        make: Callable[[dict[str, Any], ReadLimits, AllowedHosts | None], T],
        given: T | None,
    ) -> None:
        self._given = given
        self._proxies = Proxies(config.proxy)
        self._allowed = None if to_service else AllowedHosts(config.host, config.result_hosts)
        self._limits = ReadLimits() if to_service else RESULTS
        self._make = make
        self._tls = None if given else tls_context(config, with_certificate=to_service)
        self.known: dict[tuple[Any, ...], T] = {(): given} if given is not None and to_service else {}
        if to_service:
            # What is wrong with the environment shows at once; a URL that is none, when it is used.
            with contextlib.suppress(httpx.InvalidURL):
                self._choose(httpx.URL(config.base_url))

    @contextmanager
    def route(self, url: httpx.URL) -> Iterator[T]:
        """Return the transport for a URL, and name the proxy in what cannot be reached through it.

        :raises ForbiddenHostError: its host may not be reached.
        :raises ConfigurationError: its proxy cannot be used.
        """
        proxy, transport = self._choose(url)
        try:
            yield transport
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            if proxy is None:
                raise
            place = proxy.url.host.decode() + (f":{proxy.url.port}" if proxy.url.port else "")
            raise type(error)(f"through the proxy {place}: {error}") from error
        except Exception as error:
            # The library for SOCKS raises errors of its own.
            if type(error).__module__.partition(".")[0] != "socksio":
                raise
            raise httpx.ProxyError(f"the SOCKS proxy gives no proper answer: {error}") from error

    def _choose(self, url: httpx.URL) -> tuple[httpcore.Proxy | None, T]:
        if self._given is not None:
            return None, self._given
        proxy = self._proxies.choose(url)
        if self._allowed is not None:
            self._allowed.check_name(url.host, is_resolved_elsewhere=proxy is not None)
        key = () if proxy is None else (proxy.url.scheme, proxy.url.host, proxy.url.port)
        if key not in self.known:
            options = {"ssl_context": self._tls, "proxy": proxy, **_POOL}
            # A proxy is the user's own, and looks up hosts itself.
            self.known[key] = self._make(options, self._limits, self._allowed if proxy is None else None)
        return proxy, self.known[key]


class Blocking:
    """How the blocking client sends and sleeps: in coroutines that never wait.

    :param transport: sends the requests instead of httpx's own.
    """

    def __init__(self, config: ClientConfig, transport: httpx.BaseTransport | None) -> None:
        self._routes = [
            _Routes[httpx.BaseTransport](config, to_service=each, make=_Pooled, given=transport)
            for each in (False, True)
        ]

    async def send(self, request: httpx.Request, *, to_service: bool) -> httpx.Response:
        """Send a request, and read no more than the head of its answer."""
        with self._routes[to_service].route(request.url) as transport:
            response = transport.handle_request(request)
        response.request = request
        return response

    async def chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """The bytes of an answer as they come in, packed as they are."""
        for chunk in cast("httpx.SyncByteStream", response.stream):
            yield chunk

    async def close(self, response: httpx.Response) -> None:
        """Give a connection back."""
        response.close()

    async def close_all(self) -> None:
        """Close all connections."""
        for routes in self._routes:
            for each in routes.known.values():
                each.close()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)  # noqa: ASYNC251 - that is what it is for

    async def run_blocking(self, function: Callable[[], T]) -> T:
        """Call what may take its time."""
        return function()


class Awaiting:
    """How the asynchronous client does; see :class:`Blocking`."""

    def __init__(self, config: ClientConfig, transport: httpx.AsyncBaseTransport | None) -> None:
        self._routes = [
            _Routes[httpx.AsyncBaseTransport](config, to_service=each, make=_AsyncPooled, given=transport)
            for each in (False, True)
        ]
        # A place that is shared by machines takes its time; the machine's own file is quicker than a thread.
        self._is_quick = config.shared_place is None

    async def send(self, request: httpx.Request, *, to_service: bool) -> httpx.Response:
        """See :meth:`Blocking.send`."""
        with self._routes[to_service].route(request.url) as transport:
            response = await transport.handle_async_request(request)
        response.request = request
        return response

    def chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        """See :meth:`Blocking.chunks`."""
        return aiter(cast("httpx.AsyncByteStream", response.stream))

    async def close(self, response: httpx.Response) -> None:
        """See :meth:`Blocking.close`."""
        await response.aclose()

    async def close_all(self) -> None:
        """See :meth:`Blocking.close_all`."""
        for routes in self._routes:
            for each in routes.known.values():
                await each.aclose()

    async def sleep(self, seconds: float) -> None:
        """See :meth:`Blocking.sleep`."""
        await asyncio.sleep(seconds)

    async def run_blocking(self, function: Callable[[], T]) -> T:
        """See :meth:`Blocking.run_blocking`."""
        return function() if self._is_quick else await asyncio.to_thread(function)


@dataclass(frozen=True)
class Proxies:
    """Which proxy a request takes: the connection's for all, else what the environment says.

    :param explicit: the connection's.
    :param known: the environment's, by scheme.
    """

    explicit: str | None
    known: Mapping[str, str] = field(default_factory=getproxies)

    def choose(self, url: httpx.URL) -> httpcore.Proxy | None:
        """Return the proxy for a URL, None for none.

        :raises ConfigurationError: it cannot be used; the message names extra or variable, and no password.
        """
        if self.explicit:
            return _proxy(self.explicit, "proxy")
        scheme = url.scheme if self.known.get(url.scheme) else "all"
        if not self.known.get(scheme) or is_loopback(url.host) or _is_excepted(url, self.known.get("no", "")):
            return None
        name = f"{scheme}_proxy"
        return _proxy(self.known[scheme], name if name in os.environ else name.upper())


def _is_excepted(url: httpx.URL, no_proxy: str) -> bool:
    """Tell whether ``NO_PROXY`` lists a URL's host: by name, as a part of a domain, with a port, or as a network."""
    entries = [each.strip().replace("[", "").replace("]", "") for each in no_proxy.split(",")]
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    names = ",".join(each.lstrip("*") for each in entries)
    if "*" in entries or proxy_bypass_environment(f"{url.host}:{port}", {"no": names}):
        return True
    for entry in entries:
        with contextlib.suppress(ValueError):
            if ip_address(url.host) in ip_network(entry, strict=False):
                return True
    return False


def _proxy(text: str, source: str) -> httpcore.Proxy:
    text = text if "://" in text else f"http://{text}"
    try:
        url = httpx.URL(text)
        is_usable = bool(url.host) and urlsplit(text).port != 0
    except (httpx.InvalidURL, ValueError):
        is_usable = False
    if not is_usable or url.scheme not in ("http", "https", *_SOCKS):
        raise ConfigurationError(
            f"{source} is no proxy's URL like http://proxy.example:3128 or socks5://proxy.example:1080."
        )
    if url.scheme in _SOCKS and importlib.util.find_spec("socksio") is None:
        raise ConfigurationError(
            f"{source} is a SOCKS proxy, which needs a library that is not installed: "
            "pip install 'airflow-provider-wanx[socks]'."
        )
    return httpcore.Proxy(
        httpcore.URL(
            scheme=url.raw_scheme,
            host=url.raw_host,
            port=url.port or (1080 if url.scheme in _SOCKS else None),
            target=b"/",
        ),
        auth=(url.username.encode(), url.password.encode()) if url.username or url.password else None,
    )
