"""Where a command puts results: a file, a folder, or S3. All that can be wrong with it is found before anything is paid for."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_wanx.cli.output import say
from airflow_provider_wanx.cli.running import use_airflows_connections
from airflow_provider_wanx.dashscope.errors import InvalidInputError
from airflow_provider_wanx.jobs.copying.copier import ResultCopier
from airflow_provider_wanx.jobs.copying.destinations import FolderDestination
from airflow_provider_wanx.s3.addresses import split_s3_prefix, split_s3_url

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.dashscope.models import Task
    from airflow_provider_wanx.jobs.copying.destinations import S3Destination


@dataclass(frozen=True)
class Target:
    """A place for results.

    :param destination: takes them.
    :param key: of the one result, or what the keys of all begin with.
    :param is_folder: whether it takes any number of results, each named after its task.
    """

    destination: S3Destination | FolderDestination
    key: str
    is_folder: bool

    def check(self, *, several: bool = False) -> None:
        """Find out what can be wrong with it.

        :param several: whether results of several tasks are to be saved.
        :raises ProviderError: it cannot be used.
        """
        place = self.destination.url(self.key)
        if several and not self.is_folder:
            raise InvalidInputError(
                f"--to {place} is one file. For several tasks give a folder, ending in /."
            )
        self.destination.check()
        if not isinstance(self.destination, FolderDestination):
            self.destination.try_writing(self.key.rpartition("/")[0] + "/" if "/" in self.key else "")
        if not self.is_folder and not self.destination.replace and self.destination.exists(self.key):
            raise InvalidInputError(f"{place} exists. Give another place with --to, or --replace.")

    def save(self, client: DashScopeClient, task: Task) -> Iterator[dict[str, Any]]:
        """Save the results of a task that has succeeded; yield ``place``, ``bytes`` and ``sha256`` of each.

        :raises ProviderError: one cannot be had or saved.
        """
        if len(task.results) > 1 and not self.is_folder:
            raise InvalidInputError(
                f"Task {task.task_id} has {len(task.results)} results: give --to a folder, ending in /."
            )

        def key_for(index: int, extension: str) -> str:
            return f"{self.key}{task.task_id}_{index}{extension}" if self.is_folder else self.key

        copier = ResultCopier(client=client, destination=self.destination, log=CommandLog())
        for copied in copier.copy_all(task, key_for=key_for):
            yield {"place": copied.url, "bytes": copied.bytes, "sha256": copied.sha256}


def read_target(place: str, arguments: Namespace) -> Target:
    """Read where results are to go.

    :param arguments: with ``replace`` and ``aws_connection``.
    :raises InvalidInputError: it is not a place.
    """
    if not place.startswith("s3://"):
        path = Path(place).expanduser()
        is_folder = place.endswith(("/", os.sep)) or path.is_dir()
        folder, key = (path, "") if is_folder else (path.parent, path.name)
        return Target(FolderDestination(folder=folder, replace=arguments.replace), key, is_folder)
    is_folder = place.endswith("/")
    conn_id, bucket, key = split_s3_prefix(place) if is_folder else split_s3_url(place)
    use_airflows_connections()
    from airflow_provider_wanx.hooks.storage import s3_destination

    destination = s3_destination(
        aws_conn_id=conn_id or arguments.aws_connection, bucket=bucket, replace=arguments.replace
    )
    return Target(destination, key, is_folder)


class CommandLog:
    """A log whose warnings go to the error stream."""

    def info(self, message: str, /, *args: Any) -> None:
        """Leave it out: the command prints its result."""

    def warning(self, message: str, /, *args: Any) -> None:
        """Print it."""
        say(message % args if args else message)
