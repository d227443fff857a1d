"""The sockets under both clients: whom they may reach, and how long an answer may take.

What the service's answers name, such as the URL of a result, is data: a worker fetches it from public addresses only. That is
checked where the socket is made, with the addresses that it is then connected to, so no second look at a name can differ.
"""

# ruff: noqa: ASYNC109 - the signatures are httpcore's
from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import httpcore

from airflow_provider_wanx.dashscope.config import is_loopback
from airflow_provider_wanx.dashscope.errors import ForbiddenHostError


class AddressKind(StrEnum):
    """Whose an address is."""

    PUBLIC = "public"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    SHARED = "shared"
    FORBIDDEN = "forbidden"


_NETWORKS = {
    ip_network("10.0.0.0/8"): AddressKind.PRIVATE,
    ip_network("172.16.0.0/12"): AddressKind.PRIVATE,
    ip_network("192.168.0.0/16"): AddressKind.PRIVATE,
    ip_network("fc00::/7"): AddressKind.PRIVATE,
    ip_network("100.64.0.0/10"): AddressKind.SHARED,
}
_METADATA = frozenset(map(ip_address, ("100.100.100.200", "fd00:ec2::254")))
"""Where clouds hand out credentials to whoever asks, in ranges that may be an account's own network otherwise."""


def kind_of(address: str) -> AddressKind:
    """Tell whose an IP address is; one that carries an IPv4 address is what that is.

    :param address: as the resolver writes it, with or without a zone.
    """
    ip = _carried(ip_address(address.partition("%")[0]))
    if ip in _METADATA:
        return AddressKind.FORBIDDEN
    if ip.is_loopback:
        return AddressKind.LOOPBACK
    if kind := next((kind for network, kind in _NETWORKS.items() if ip in network), None):
        return kind
    is_unicast = ip in ip_network("2000::/3") or (
        ip.version == 4 and not ip.is_multicast and not ip.is_reserved
    )
    return AddressKind.PUBLIC if is_unicast and ip.is_global else AddressKind.FORBIDDEN


def _carried(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(ip, IPv4Address):
        return ip
    if ip in ip_network("64:ff9b::/96"):
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip.ipv4_mapped or ip.sixtofour or ip


def written_address(host: str) -> str | None:
    """Return the address that a host is, in any notation that a resolver takes (``127.1``, ``0x7f000001``); None for a name."""
    if is_loopback(host):
        return "127.0.0.1" if ":" not in host else host
    with contextlib.suppress(ValueError):
        return str(ip_address(host.partition("%")[0]))
    with contextlib.suppress(OSError, ValueError):
        return socket.inet_ntoa(socket.inet_aton(host))
    return None


@dataclass(frozen=True)
class AllowedHosts:
    """Whom one reaches at the word of an answer: public addresses, and those of the service's own kind.

    With a base URL on this machine, or in a private network, its results are there too.

    :param own_host: host of the service.
    :param hosts: the only hosts; ``*.example.com`` stands for all below. Empty: any.
    """

    own_host: str
    hosts: tuple[str, ...] = ()

    def check_name(self, host: str, *, is_resolved_elsewhere: bool) -> None:
        """Refuse what can be refused before a host is looked up.

        :param is_resolved_elsewhere: whether a proxy looks it up: then only an address that is written out is known here.
        :raises ForbiddenHostError: the configuration does not list it, or it is an address that may not be reached.
        """
        name = host.lower().rstrip(".")
        if self.hosts and not any(
            name.endswith(each[1:]) if each.startswith("*.") else name == each for each in self.hosts
        ):
            raise ForbiddenHostError(f"host {host!r} is not in result_hosts ({', '.join(self.hosts)}).")
        if is_resolved_elsewhere and (address := written_address(name)) is not None:
            own = written_address(self.own_host)
            self._check(host, [address], own=[own] if own else [])

    def resolve(self, host: str, port: int) -> list[str]:
        """Look up a host.

        :return: its addresses, which may all be reached.
        :raises ForbiddenHostError: one of them may not.
        :raises httpcore.ConnectError: it has none.
        """
        try:
            addresses = _addresses(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        if any(kind_of(address) is not AddressKind.PUBLIC for address in addresses):
            own: list[str] = []
            with contextlib.suppress(OSError):
                own = _addresses(self.own_host, port)
            self._check(host, addresses, own=own)
        return addresses

    def _check(self, host: str, addresses: Iterable[str], *, own: Iterable[str]) -> None:
        allowed = {AddressKind.PUBLIC, *map(kind_of, own)} - {AddressKind.FORBIDDEN}
        for address in addresses:
            if kind_of(address) not in allowed:
                raise ForbiddenHostError(
                    f"host {host!r} has the address {address}, which is {kind_of(address)}. Where an answer leads is followed "
                    "to public addresses only, or to those of the service's own kind."
                )


def _addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


@dataclass(frozen=True)
class ReadLimits:
    """How the connections of a pool read.

    The timeout of a single read starts anew with every byte, and a service that sends one now and then would hold a worker for
    ever. So an answer as a whole has a time too, from the end of its request to its last byte.

    :param seconds: for one answer, None: as long as a single read may take.
    :param at_once: bytes that are asked for at a time, at least.
    """

    seconds: float | None = None
    at_once: int = 0


class _Stream:
    """The bytes of one connection, of either client: httpcore's own stream in all else."""

    def __init__(self, stream: Any, limits: ReadLimits) -> None:
        self._stream, self._limits = stream, limits
        self._over_at: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        whole = timeout if self._limits.seconds is None else self._limits.seconds
        if whole is not None:
            now = time.monotonic()
            self._over_at = self._over_at or now + whole
            if (rest := self._over_at - now) <= 0:
                raise httpcore.ReadTimeout(f"the answer was not complete after {whole:g} s")
            timeout = rest if timeout is None else min(rest, timeout)
        return self._stream.read(max(max_bytes, self._limits.at_once), timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> Any:
        self._over_at = None
        return self._stream.write(buffer, timeout)

    def start_tls(self, *arguments: Any, **more: Any) -> Any:
        return type(self)(self._stream.start_tls(*arguments, **more), self._limits)


class _AsyncStream(_Stream):
    async def start_tls(self, *arguments: Any, **more: Any) -> Any:
        return _AsyncStream(await self._stream.start_tls(*arguments, **more), self._limits)


def _attempts(places: Sequence[str]) -> Iterator[tuple[str, contextlib.AbstractContextManager[None]]]:
    """Each address of a host, with what becomes of a failure to connect to it: only that to the last one is told."""
    for place in places[:-1]:
        yield place, contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout)
    for place in places[-1:]:
        yield place, contextlib.nullcontext()


class Backend(httpcore.NetworkBackend):
    """Makes the connections of the blocking client.

    :param allowed: whom they may reach; None: anybody, as the user's own base URL or proxy.
    """

    def __init__(self, limits: ReadLimits, allowed: AllowedHosts | None) -> None:
        self._limits, self._allowed = limits, allowed
        self._connect = httpcore.SyncBackend().connect_tcp

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *more: Any, **options: Any
    ) -> Any:
        """Connect to the first address of a host that can be reached.

        :raises ForbiddenHostError: one of its addresses may not be.
        """
        places = [host] if self._allowed is None else self._allowed.resolve(host, port)
        for place, failure in _attempts(places):
            with failure:
                return _Stream(self._connect(place, port, timeout, *more, **options), self._limits)
        raise httpcore.ConnectError(f"{host} has no address")


class AsyncBackend(httpcore.AsyncNetworkBackend):
    """The same for asyncio."""

    def __init__(self, limits: ReadLimits, allowed: AllowedHosts | None) -> None:
        self._limits, self._allowed = limits, allowed
        self._connect = httpcore.AnyIOBackend().connect_tcp

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *more: Any, **options: Any
    ) -> Any:
        """See :meth:`Backend.connect_tcp`."""
        places = [host]
        if self._allowed is not None:
            try:
                async with asyncio.timeout(timeout):
                    places = await asyncio.to_thread(self._allowed.resolve, host, port)
            except TimeoutError as error:
                raise httpcore.ConnectTimeout(f"{host} was not found in time") from error
        for place, failure in _attempts(places):
            with failure:
                stream = await self._connect(place, port, timeout, *more, **options)
                return _AsyncStream(stream, self._limits)
        raise httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        """Sleep, as connections that are tried again do."""
        await asyncio.sleep(seconds)
