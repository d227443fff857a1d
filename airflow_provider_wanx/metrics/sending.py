"""Send measures through Airflow's ``Stats``."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from airflow_provider_wanx.dashscope.measures import WAITS, Kind, Measure
from airflow_provider_wanx.version_compat import airflow_stats

logger = logging.getLogger(__name__)


class StatsObserver:
    """Sends what it is told to Airflow's metrics; told by a client, see :mod:`~airflow_provider_wanx.dashscope.measures`.

    :param conn_id: the Airflow connection that the client is for.
    :param in_triggerer: whether it works in a triggerer.
    """

    def __init__(self, conn_id: str, *, in_triggerer: bool = False) -> None:
        self._conn_id = conn_id
        self._in_triggerer = in_triggerer

    def __call__(self, measure: Measure, value: float, tags: Mapping[str, str]) -> None:
        """Send a value."""
        tags = {name: _tag(text) for name, text in {"conn_id": self._conn_id, **tags}.items()}
        if measure is WAITS:
            # Workers that wait are many on one host, and would overwrite each other's number.
            if not self._in_triggerer:
                return
            tags["host"] = socket.gethostname()
        try:
            stats = airflow_stats(in_triggerer=self._in_triggerer)
            _send(stats, measure.kind, measure.name, value, tags)
            if measure.split and _has_old_names():
                # StatsD as such knows no tags: Airflow's own metrics have such names beside those with tags.
                name = ".".join([measure.name, *(_plain(tags[name]) for name in measure.split)])
                _send(stats, measure.kind, name, value, None)
        except Exception as error:  # noqa: BLE001 - no task fails because of its metrics
            _complain(type(error).__name__)


def _send(stats: Any, kind: Kind, name: str, value: float, tags: Mapping[str, str] | None) -> None:
    if kind is Kind.COUNTER:
        stats.incr(name, value, tags=tags)
    elif kind is Kind.GAUGE:
        stats.gauge(name, value, tags=tags)
    else:
        stats.timing(name, timedelta(seconds=value), tags=tags)


def _tag(text: str) -> str:
    """Make a tag out of anything, such as a model's name, without what separates tags and metrics in some format."""
    # DogStatsD takes no more characters; others do.
    return re.sub(r"[^\w./@+-]", "_", text)[:200]


def _plain(text: str) -> str:
    """Make a part of a name out of anything; a dot would begin another part."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


@cache
def _has_old_names() -> bool:
    from airflow.providers.common.compat.sdk import conf

    return bool(conf.getboolean("metrics", "legacy_names_on", fallback=True))


@cache
def _complain(reason: str) -> None:
    """Say once for each reason that metrics are missing."""
    logger.warning("Metrics of DashScope could not be sent (%s).", reason)
