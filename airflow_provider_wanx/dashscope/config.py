"""How to reach the service, and what it allows: hosts, key, workspace, limits, patience."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from urllib.parse import urlsplit

from airflow_provider_wanx.dashscope.errors import ConfigurationError

DEFAULT_BASE_URL = "https://dashscope.aliyuncs.com"
"""The service's shared host in Beijing, the only region that serves the repaint model (model page)."""

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

SUBMISSIONS_PER_SECOND = 2.0
"""Per main account and model (model page)."""

REQUESTS_PER_SECOND = 20.0
"""Per main account and for each of the three task endpoints: get, list, cancel (task-management page)."""

RUNNING_TASKS = 1
"""Tasks of the repaint model that run at a time; further ones wait in a queue (model page, rate-limit page)."""

QUEUE_TIMEOUT = 3 * 3600.0
"""Seconds after its submission at which the service gives up a task that has produced nothing (error-code page)."""

RESULT_LIFETIME = 24 * 3600.0
"""Seconds after which a task and its results are deleted (model page)."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the account may do; the defaults are the service's published limits.

    :param submissions_per_second: submissions of one model.
    :param requests_per_second: requests to each task endpoint.
    :param running_tasks: tasks of one model at work at a time.
    """

    submissions_per_second: float = SUBMISSIONS_PER_SECOND
    requests_per_second: float = REQUESTS_PER_SECOND
    running_tasks: int = RUNNING_TASKS

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
                raise ConfigurationError(f"{limit.name} must be a number above 0, not {value!r}.")


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """Everything that a client needs to know.

    :param api_key: the key, ``sk-…``.
    :param base_url: scheme and host, with or without ``/api/v1``; https, or http on loopback only.
    :param workspace: workspace id, which keys of sub-accounts need.
    :param limits: the account's limits.
    :param timeout: seconds without a byte after which a request is given up. Submitting takes most of a second on the
        service's side, so this is no place for small values.
    :param retry_for: seconds for which one call may be repeated, where repeating is safe, before its error is raised.
    """

    api_key: str = field(repr=False)
    base_url: str = DEFAULT_BASE_URL
    workspace: str | None = None
    limits: Limits = field(default_factory=Limits)
    timeout: float = 60.0
    retry_for: float = 60.0

    def __post_init__(self) -> None:
        if not self.api_key.strip():
            raise ConfigurationError(
                "there is no API key. Put it into the connection's password; it begins with sk-."
            )
        if not self.api_key.isascii() or any(character.isspace() for character in self.api_key):
            raise ConfigurationError("the API key has spaces or characters that no key has; copy it again.")
        object.__setattr__(self, "base_url", api_base(self.base_url))
        for name in ("timeout", "retry_for"):
            if not getattr(self, name) >= (0 if name == "retry_for" else 0.001):
                raise ConfigurationError(
                    f"{name} must be a positive number of seconds, not {getattr(self, name)!r}."
                )


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
    return f"https://{workspace}.{region}.maas.aliyuncs.com"


def api_base(url: str) -> str:
    """Check a base URL and return it ending in ``/api/v1``.

    :raises ConfigurationError: it is no http(s) URL, or sends the key in the clear to another machine.
    """
    text = url.strip().rstrip("/")
    if "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"base URL {url!r} cannot be read: {error}.") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise ConfigurationError(
            f"base URL {parts._replace(netloc=host or '').geturl()!r} is not like {DEFAULT_BASE_URL}."
        )
    if not sends_safely(text):
        raise ConfigurationError(
            f"base URL of host {host!r} must begin with https://, or the key would travel unencrypted."
        )
    return text if parts.path.endswith(API_PREFIX) else text + API_PREFIX


def sends_safely(url: str) -> bool:
    """Tell whether a URL is https, or http to this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
