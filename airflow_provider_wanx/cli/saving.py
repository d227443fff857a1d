"""Where a command puts results: a file, a folder, or S3. All that can be wrong with it is found before anything is paid for."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_wanx.cli.output import say
from airflow_provider_wanx.cli.running import use_airflows_connections
from airflow_provider_wanx.dashscope.errors import InvalidInputError, NoFileError, ProviderError
from airflow_provider_wanx.jobs.copying import ResultCopier
from airflow_provider_wanx.s3.addresses import split_s3_prefix, split_s3_url

if TYPE_CHECKING:
    from airflow_provider_wanx.dashscope.client import DashScopeClient
    from airflow_provider_wanx.dashscope.models import ResultFile, Task
    from airflow_provider_wanx.hooks.dashscope import DashScopeHook
    from airflow_provider_wanx.jobs.destination import S3Destination


class Target(ABC):
    """A place for results."""

    @abstractmethod
    def check(self, client: DashScopeClient, *, several: bool = False) -> None:
        """Find out what can be wrong with it.

        :param several: whether results of several tasks are to be saved.
        :raises ProviderError: it cannot be used.
        """

    @abstractmethod
    def save(self, client: DashScopeClient, task: Task) -> Iterator[dict[str, Any]]:
        """Save the results of a task that has succeeded; yield ``place``, ``bytes`` and ``sha256`` of each.

        :raises ProviderError: one cannot be had or saved.
        """


def target_of(arguments: Namespace, *, default: str | None = None) -> Target | None:
    """Read where results are to go.

    :param arguments: with ``to``, ``replace`` and ``aws_connection``.
    :param default: where they go if the user does not say.
    :return: None for nowhere.
    :raises InvalidInputError: it is not a place.
    """
    place = arguments.to or default
    if place is None:
        return None
    if place.startswith("s3://"):
        return S3Target(place, aws_conn_id=arguments.aws_connection, replace=arguments.replace)
    return LocalTarget(place, replace=arguments.replace)


class LocalTarget(Target):
    """A file, or a folder, on this machine.

    :param place: a path; with a slash at its end, or if it exists as one, it is a folder.
    :param replace: whether files that exist are replaced.
    """

    def __init__(self, place: str, *, replace: bool) -> None:
        self._path = Path(place).expanduser()
        self._is_folder = place.endswith(("/", os.sep)) or self._path.is_dir()
        self._replace = replace

    def check(self, client: DashScopeClient, *, several: bool = False) -> None:
        """See :class:`Target`."""
        if several and not self._is_folder:
            raise InvalidInputError(
                f"--to {self._path} is one file. For several tasks give a folder, ending in /."
            )
        folder = self._path if self._is_folder else self._path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise InvalidInputError(
                f"--to {self._path}: nothing can be written to {folder}: {error.strerror or error}."
            ) from None
        if not self._is_folder:
            self._refuse_existing(self._path)

    def _refuse_existing(self, path: Path) -> None:
        if path.exists() and not self._replace:
            raise InvalidInputError(f"{path} exists. Give another place with --to, or --replace.")

    def save(self, client: DashScopeClient, task: Task) -> Iterator[dict[str, Any]]:
        """See :class:`Target`."""
        if len(task.results) > 1 and not self._is_folder:
            raise InvalidInputError(
                f"Task {task.task_id} has {len(task.results)} results: give --to a folder, ending in /."
            )
        if not task.results:
            raise NoFileError(task)
        for file in task.results:
            path = self._path / _name(task, file) if self._is_folder else self._path
            self._refuse_existing(path)
            try:
                yield {"place": str(path), **_download(client, file, path)}
            except OSError as error:
                raise ProviderError(
                    f"{path} could not be written: {error.strerror or error}.", retryable=True
                ) from None


def _name(task: Task, file: ResultFile) -> str:
    return f"{task.task_id}_{file.index}{file.extension}"


def _download(client: DashScopeClient, file: ResultFile, path: Path) -> dict[str, Any]:
    """Write a result under its name only once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=path.suffix, delete=False) as part:
        try:
            with client.download(file.url) as (received, chunks):
                for chunk in chunks:
                    part.write(chunk)
            part.close()
            # Temporary files are for their owner only.
            umask = os.umask(0)
            os.umask(umask)
            Path(part.name).chmod(0o666 & ~umask)
            Path(part.name).replace(path)
        except BaseException:
            Path(part.name).unlink(missing_ok=True)
            raise
    return {"bytes": received.size, "sha256": received.sha256}


class S3Target(Target):
    """An object, or a folder, in S3.

    :param url: ``s3://bucket/key``, or with a slash at its end a folder; may name a connection as ``s3://conn_id@bucket/key``.
    :param aws_conn_id: Airflow connection, where the URL names none.
    :param replace: whether objects that exist are replaced.
    """

    def __init__(self, url: str, *, aws_conn_id: str, replace: bool) -> None:
        self._is_folder = url.endswith("/")
        conn_id, self._bucket, self._key = split_s3_prefix(url) if self._is_folder else split_s3_url(url)
        self._aws_conn_id = conn_id or aws_conn_id
        self._replace = replace

    @cached_property
    def _destination(self) -> S3Destination:
        use_airflows_connections()
        from airflow_provider_wanx.jobs.destination import S3Destination

        return S3Destination(aws_conn_id=self._aws_conn_id, bucket=self._bucket, replace=self._replace)

    def check(self, client: DashScopeClient, *, several: bool = False) -> None:
        """See :class:`Target`."""
        if several and not self._is_folder:
            raise InvalidInputError("--to names one object. For several tasks give a folder, ending in /.")
        self._destination.check()
        self._destination.try_writing(self._key.rpartition("/")[0] + "/" if "/" in self._key else "")
        if not self._is_folder and not self._replace and self._destination.exists(self._key):
            raise InvalidInputError(
                f"s3://{self._bucket}/{self._key} exists. Give another place with --to, or --replace."
            )

    def save(self, client: DashScopeClient, task: Task) -> Iterator[dict[str, Any]]:
        """See :class:`Target`."""
        if len(task.results) > 1 and not self._is_folder:
            raise InvalidInputError(
                f"Task {task.task_id} has {len(task.results)} results: give --to a folder, ending in /."
            )
        copier = ResultCopier(hook=hook_of(client), destination=self._destination, log=Sayings())

        def key_for(index: int, extension: str) -> str:
            return f"{self._key}{task.task_id}_{index}{extension}" if self._is_folder else self._key

        for copied in copier.copy_all(task, key_for=key_for):
            yield {
                "place": f"s3://{copied.bucket}/{copied.key}",
                "bytes": copied.bytes,
                "sha256": copied.sha256,
            }


class Sayings:
    """A log whose warnings go to the error stream."""

    def info(self, message: str, /, *args: Any) -> None:
        """Leave it out: the command prints its result."""

    def warning(self, message: str, /, *args: Any) -> None:
        """Print it."""
        say(message % args if args else message)


class _ClientAsHook:
    """What pictures and copies need of the hook, with a client that no Airflow connection need stand behind."""

    def __init__(self, client: DashScopeClient) -> None:
        self._client = client
        self.get_task = client.get_task

    def get_conn(self) -> DashScopeClient:
        """Return the client."""
        return self._client

    def upload_file(self, content: bytes, *, model: str, filename: str) -> str:
        """Put a file into the service's temporary store."""
        return self._client.upload_file(filename=filename, content=content, model=model)


def hook_of(client: DashScopeClient) -> DashScopeHook:
    """Let a client stand for the hook."""
    return cast("DashScopeHook", _ClientAsHook(client))
