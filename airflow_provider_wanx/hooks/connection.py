"""From an Airflow connection to the settings of a client."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import conf

from airflow_provider_wanx.dashscope.config import (
    DEFAULT_BASE_URL,
    ClientConfig,
    Limits,
    region_base_url,
)
from airflow_provider_wanx.dashscope.errors import ConfigurationError
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.get_provider_info import get_provider_info
from airflow_provider_wanx.hooks.shared_place import RecordFolder
from airflow_provider_wanx.metrics.sending import StatsObserver

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

CONN_TYPE = "dashscope"
"""What the type of a connection must be: the secret of any other belongs to another house."""

_FIELDS: dict[str, dict[str, Any]] = get_provider_info()["connection-types"][0]["conn-fields"]

EXTRAS = tuple(_FIELDS)
"""The extras that are read: those of the form. All others are refused, or a misspelt one would silently have no effect."""


def client_config(connection: Connection, *, in_triggerer: bool = False) -> ClientConfig:
    """Read an Airflow connection.

    :param connection: of type ``dashscope``: password is the API key, host the base URL, extras as in :data:`EXTRAS`.
    :param in_triggerer: whether a triggerer reads it, whose metrics go another way.
    :raises ConfigurationError: something in it is wrong; the message names connection and field.
    """
    with _named(connection):
        observe = StatsObserver(str(connection.conn_id), in_triggerer=in_triggerer)
        # A triggerer only waits.
        folder = None if in_triggerer else record_path(connection)
        place = RecordFolder(folder) if folder else None
        return replace(_client_config(connection), shared_place=place, observe=observe)


@contextmanager
def _named(connection: Connection) -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"Connection {connection.conn_id!r}: {error}") from None


def _client_config(connection: Connection) -> ClientConfig:
    extras = _extras(connection)
    if unknown := sorted(set(extras) - set(EXTRAS)):
        raise ConfigurationError(f"extra {', '.join(unknown)} is not known. Known are {', '.join(EXTRAS)}.")
    if not (connection.password or "").strip():
        raise ConfigurationError(
            "there is no API key. Put it into the connection's password; it begins with sk-."
        )
    settings = {name: _read(name, value) for name, value in extras.items()}
    region = settings.pop("region", None)
    settings.pop("record_path", None)
    if "secret_headers" in settings:
        settings["headers"] = settings.pop("secret_headers")
    limits = {each.name: settings.pop(each.name) for each in fields(Limits) if each.name in settings}
    own = _base_url(connection)
    return ClientConfig(
        api_key=(connection.password or "").strip(),
        base_url=own or (region_base_url(region, settings.get("workspace")) if region else DEFAULT_BASE_URL),
        limits=Limits(**limits),
        **settings,
    )


def _read(name: str, value: object) -> Any:
    """Read an extra, which in a URI and in some forms is a text whatever it stands for."""
    if name == "result_hosts":
        listed = value if isinstance(value, list) else str(value).split(",")
        return tuple(host for host in (str(each).strip() for each in listed) if host)
    if name == "secret_headers":
        return _headers(value)
    if "number" not in _FIELDS[name]["schema"]["type"]:
        return str(value).strip()
    try:
        return float(str(value))
    except ValueError:
        raise ConfigurationError(f"extra {name} must be a number, not {quoted(value)}.") from None


def record_path(connection: Connection) -> str | None:
    """Return where submissions are to be recorded: the connection's extra, else ``[dashscope] record_path``, else None.

    :raises ConfigurationError: the extra cannot be read; the message names the connection.
    """
    with _named(connection):
        extras = _extras(connection)
    place = extras.get("record_path") or conf.get("dashscope", "record_path", fallback=None)
    return str(place).strip() or None if place else None


def _extras(connection: Connection) -> dict[str, Any]:
    """Read the extra field of a connection of the right type, without what a form leaves empty.

    Airflow's own reader takes what is no JSON for nothing, and blocks in a trigger to mask secrets, of which there are none.
    """
    if connection.conn_type != CONN_TYPE:
        found = f"is of type {quoted(connection.conn_type)}" if connection.conn_type else "has no type"
        raise ConfigurationError(
            f"it {found}, and DashScope needs one of type {CONN_TYPE!r}. Nothing was sent. Name another connection, or correct "
            "the type if its password is a DashScope API key."
        )
    try:
        extras = json.loads(connection.extra or "{}")
    except ValueError:
        extras = None
    if not isinstance(extras, dict):
        raise ConfigurationError("extra is not a JSON object.")
    return {key: value for key, value in extras.items() if value not in (None, "")}


def _headers(value: object) -> dict[str, Any]:
    """Read an object, which a form has as text. What is wrong with a header is told without its value."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, dict):
        raise ConfigurationError('secret_headers must be a JSON object like {"X-Gateway-Key": "…"}.')
    return value


def _base_url(connection: Connection) -> str | None:
    """The host field, which may be a whole URL or a bare host; in connections written as URIs the port stands apart."""
    host = (connection.host or "").strip()
    if not host:
        return None
    if "://" not in host:
        scheme = connection.schema if connection.schema in ("http", "https") else "https"
        host = f"{scheme}://{host}"
    scheme, _, rest = host.partition("://")
    place, slash, path = rest.partition("/")
    if connection.port and not re.search(r":\d+$", place):
        place = f"{place}:{connection.port}"
    return f"{scheme}://{place}{slash}{path}"


@dataclass
class _Reading:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_at: float = float("-inf")
    config: ClientConfig | None = None


_READINGS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Reading]] = WeakKeyDictionary()


async def shared_config(conn_id: str, *, anew: bool = False) -> ClientConfig:
    """Read a connection, or take what another trigger in this event loop has just read.

    A triggerer that starts with thousands of triggers would otherwise do nothing else for seconds. What was read counts for ten
    seconds; if the service refuses the key, it is read anew in any case.

    :param conn_id: id of a connection of type ``dashscope``.
    :param anew: read it in any case.
    :raises ConfigurationError: something in it is wrong.
    """
    loop = asyncio.get_running_loop()
    reading = _READINGS.setdefault(loop, {}).setdefault(conn_id, _Reading())
    async with reading.lock:
        # One trigger at a turn of the loop: all that start together must not hold it up together.
        await asyncio.sleep(0)
        if anew or reading.config is None or loop.time() - reading.read_at > 10:
            connection = await get_async_connection(conn_id)
            reading.config = client_config(connection, in_triggerer=True)
            reading.read_at = loop.time()
        return reading.config
