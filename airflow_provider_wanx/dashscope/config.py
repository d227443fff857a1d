"""How to reach the service, and what it allows: hosts, key, workspace, limits, patience."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from typing import Literal, get_args
from urllib.parse import urlsplit

from airflow_provider_wanx.dashscope.errors import ConfigurationError
from airflow_provider_wanx.dashscope.measures import Observer, ignore
from airflow_provider_wanx.dashscope.redaction import quoted, safe_words, without_query
from airflow_provider_wanx.dashscope.store import Store

REPAINT_REGION = "cn-beijing"
"""The only region that serves the repaint model (model page)."""

DEFAULT_BASE_URL = "https://dashscope.aliyuncs.com"
"""The service's shared host in :data:`REPAINT_REGION`."""

API_PREFIX = "/api/v1"

SHARED_HOSTS = {
    "cn-beijing": "dashscope.aliyuncs.com",
    "ap-southeast-1": "dashscope-intl.aliyuncs.com",
    "us-east-1": "dashscope-us.aliyuncs.com",
    "cn-hongkong": "cn-hongkong.dashscope.aliyuncs.com",
}
"""Region → the host that serves every workspace of it (base-URL page)."""

WORKSPACE_HOST_REGIONS = frozenset({*SHARED_HOSTS, "eu-central-1", "ap-northeast-1"})
"""Regions in which a workspace has a host of its own, ``{workspace}.{region}.maas.aliyuncs.com``."""

QUEUE_TIMEOUT_SECONDS = 3 * 3600.0
"""Seconds after its submission at which the service gives up a task that has produced nothing (error-code page)."""

RESULT_LIFETIME_SECONDS = 24 * 3600.0
"""Seconds after which a task and its results are deleted (model page)."""


ImageTransfer = Literal["link", "upload"]
"""How the service gets a picture in S3: it fetches it from a presigned URL, or the worker uploads it to the service's store."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the account may do; the defaults are the service's published limits.

    :param submissions_per_second: submissions of one model (model page).
    :param requests_per_second: requests to each of the three task endpoints: get, list, cancel (task-management page).
    """

    submissions_per_second: float = 2.0
    requests_per_second: float = 20.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not _is_number(value) or not value > 0:
                raise ConfigurationError(f"{limit.name} must be a number above 0, not {value!r}.")


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """Everything that a client needs to know.

    :param api_key: the key, ``sk-…``.
    :param base_url: scheme and host, with or without ``/api/v1``; https, or http on loopback only.
    :param workspace: workspace id, which keys of sub-accounts need.
    :param limits: the account's limits.
    :param timeout: seconds for each step of a request: to connect, to send a piece, and for the whole answer, from the end of
        the request to its last byte; of a result, seconds without a byte. Submitting takes most of a second on the service's
        side, so this is no place for small values.
    :param retry_for: seconds for which one call may be repeated, where repeating is safe, before its error is raised.
    :param proxy: URL of the proxy for all requests, ``http://``, ``https://`` or ``socks5://``; None: as the environment says.
    :param ca_bundle: file or folder of certificate authorities; None: as the environment says, or certifi's.
    :param client_certificate: PEM file with the certificate that the service, or a gateway before it, asks for.
    :param client_key: PEM file with its key, if that is not in the same file.
    :param headers: further headers of requests to the service; results are fetched without them.
    :param result_hosts: the only hosts that results are fetched from, ``*.example.com`` for all below; empty: any public one.
    :param image_transfer: how pictures in S3 are given to the service, where an operator does not say.
    :param shared_place: where all machines that use the account agree upon the pace of submissions; None: each machine keeps to
        a pace of its own.
    :param observe: is told what can be measured, see :mod:`~airflow_provider_wanx.dashscope.measures`.
    """

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    workspace: str | None = None
    limits: Limits = field(default_factory=Limits)
    timeout: float = 60.0
    retry_for: float = 60.0
    proxy: str | None = field(default=None, repr=False)
    ca_bundle: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    result_hosts: tuple[str, ...] = ()
    image_transfer: ImageTransfer = "link"
    shared_place: Store | None = field(default=None, repr=False, compare=False)
    observe: Observer = field(default=ignore, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.api_key.strip():
            raise ConfigurationError("there is no API key; one begins with sk-.")
        if not re.fullmatch(r"[!-~]+", self.api_key):
            raise ConfigurationError("the API key has spaces or characters that no key has; copy it again.")
        object.__setattr__(self, "base_url", api_base(self.base_url))
        object.__setattr__(self, "result_hosts", tuple(each.strip().lower() for each in self.result_hosts))
        if self.workspace and not _is_workspace(self.workspace):
            raise ConfigurationError(f"workspace {self.workspace!r} is not a workspace id.")
        check_image_transfer(self.image_transfer)
        for name, least in (("timeout", 0.001), ("retry_for", 0.0)):
            value = getattr(self, name)
            # The operating system's sockets take no endless timeouts, and no call is worth waiting longer for than a day.
            if not _is_number(value) or not least <= value <= 86400:
                raise ConfigurationError(
                    f"{name} must be a number of seconds from {least:g} to 86400, not {value!r}."
                )
        for name, value in self.headers.items():
            _check_header(name, value)
        for host in self.result_hosts:
            if not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|[0-9a-f:]+", host):
                raise ConfigurationError(
                    f"result_hosts has {host!r}, which is not like results.example.com or *.example.com."
                )

    @property
    def host(self) -> str:
        """The service's host."""
        return urlsplit(self.base_url).hostname or ""


_OWN_HEADERS = re.compile(
    r"(?i)authorization|host|connection|cookie|transfer-encoding|user-agent|x-dashscope-async|"
    r"(accept|content-|proxy-|x-dashscope-workspace|x-dashscope-ossresourceresolve).*"
)


def _check_header(name: object, value: object) -> None:
    """Refuse what is no header, or one that this package sends itself; the value may be a secret."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9-]{1,100}", name):
        raise ConfigurationError(f"secret_headers has {name!r}, which is no header's name.")
    if _OWN_HEADERS.fullmatch(name):
        raise ConfigurationError(f"secret_headers has {name}, which is not for the connection to set.")
    if not isinstance(value, str) or not re.fullmatch(r"[ -~]{0,4096}", value):
        raise ConfigurationError(f"secret_headers: the value of {name} is not text in ASCII on one line.")


def check_image_transfer(value: object) -> None:
    """Refuse what is no way for a picture to the service.

    :raises ConfigurationError: it is none.
    """
    if value not in get_args(ImageTransfer):
        raise ConfigurationError(f"image_transfer must be 'link' or 'upload', not {quoted(value)}.")


def region_base_url(region: str, workspace: str | None) -> str:
    """Find the base URL of a region.

    :param region: for example ``cn-beijing``.
    :param workspace: needed in regions that have no shared host.
    :raises ConfigurationError: the region is unknown, or needs a workspace and has none.
    """
    if (shared := SHARED_HOSTS.get(region)) is not None:
        return f"https://{shared}"
    if region not in WORKSPACE_HOST_REGIONS:
        known = ", ".join(sorted(WORKSPACE_HOST_REGIONS))
        raise ConfigurationError(
            f"region {region!r} is not known. Use one of {known}, or give the base URL itself."
        )
    if not workspace:
        raise ConfigurationError(
            f"region {region} has no shared host: give the workspace too, or the base URL."
        )
    if not _is_workspace(workspace):
        raise ConfigurationError(f"workspace {workspace!r} is not a workspace id.")
    return f"https://{workspace}.{region}.maas.aliyuncs.com"


_REGION = r"([a-z]+(?:-[a-z0-9]+)+)"
_REGIONAL_HOSTS = (
    rf"[\w-]+\.{_REGION}\.maas\.aliyuncs\.com",
    rf"vpc-{_REGION}\.dashscope\.aliyuncs\.com",
    rf"ep-[\w-]+(?:\.[\w-]+)*\.{_REGION}\.privatelink\.aliyuncs\.com",
)
"""Hosts that name their region: of one workspace, and for access from within the cloud, with or without a PrivateLink."""


def region_of(base_url: str) -> str | None:
    """Return the region that a host serves, None if its name does not tell."""
    host = urlsplit(base_url).hostname or ""
    for region, shared in SHARED_HOSTS.items():
        if host == shared:
            return region
    return next((found[1] for each in _REGIONAL_HOSTS if (found := re.fullmatch(each, host))), None)


def _is_workspace(text: str) -> bool:
    # It becomes a part of a host name and of a header: nothing in it may lead the key elsewhere.
    return re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) is not None


def api_base(url: str) -> str:
    """Check a base URL and return it ending in ``/api/v1``.

    :raises ConfigurationError: it is no http(s) URL, or sends the key in the clear to another machine.
    """
    text = url.strip()
    text = (text if "://" in text else f"https://{text}").rstrip("/")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        # What the resolver would stumble over.
        (host or "").encode("idna")
    except ValueError as error:
        raise ConfigurationError(
            f"base URL {without_query(text)!r} cannot be read: {safe_words(str(error))}."
        ) from None
    plain = not ("@" in parts.netloc or parts.query or parts.fragment or re.search(r"[\s\\]", text))
    if parts.scheme not in ("http", "https") or not host or not plain:
        raise ConfigurationError(f"base URL {without_query(text)!r} is not like {DEFAULT_BASE_URL}.")
    if not sends_safely(text):
        raise ConfigurationError(
            f"base URL of host {host!r} must begin with https://, or the key would travel unencrypted."
        )
    return text if parts.path.endswith(API_PREFIX) else text + API_PREFIX


def sends_safely(url: str) -> bool:
    """Tell whether a URL is https, or http to this machine itself."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
