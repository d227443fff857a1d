"""The hook: an Airflow connection, as a client of the service."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_wanx.dashscope.errors import InvalidInputError, ProviderError
from airflow_provider_wanx.dashscope.redaction import quoted
from airflow_provider_wanx.get_provider_info import get_provider_info
from airflow_provider_wanx.hooks.connection import CONN_TYPE, client_config, record_path

if TYPE_CHECKING:
    from typing import Unpack

    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_wanx.dashscope.api.endpoints import NewTask
    from airflow_provider_wanx.dashscope.api.filters import ModelFilters, QuotaFilters, TaskFilters
    from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient, DashScopeClient
    from airflow_provider_wanx.dashscope.models import ModelPage, QuotaPage, Submission, Task, TaskPage
    from airflow_provider_wanx.jobs.protocols import Log


class DashScopeHook(BaseHook):
    """Talk to DashScope's asynchronous-task service with an Airflow connection.

    What concerns tasks has an asynchronous counterpart prefixed ``a`` for use in triggers. All raise
    :class:`~airflow_provider_wanx.dashscope.errors.ProviderError`, which says whether trying again can help. Use the hook
    as a context manager, or call :meth:`close` (:meth:`aclose`), to give its connections back.

    .. seealso:: the guides :doc:`/connection` and :doc:`/operators`.

    :param dashscope_conn_id: id of a connection of type ``dashscope``.
    """

    conn_name_attr = "dashscope_conn_id"
    default_conn_name = "dashscope_default"
    conn_type = CONN_TYPE
    hook_name = "DashScope"

    def __init__(self, dashscope_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dashscope_conn_id = dashscope_conn_id
        self._read_connection: Connection | None = None
        self._client: DashScopeClient | None = None
        self._async_client: AsyncDashScopeClient | None = None

    def get_conn(self) -> DashScopeClient:
        """Return the blocking client, made at the first call.

        :raises ConfigurationError: the connection cannot be used as it is.
        """
        if self._client is None:
            from airflow_provider_wanx.dashscope.client import DashScopeClient  # heavy: not for DAG parsing

            self._client = DashScopeClient(client_config(self._connection()))
        return self._client

    def record_path(self) -> str | None:
        """Return where submissions are to be recorded, a folder's URL; None if the user has not said.

        :raises ConfigurationError: the connection cannot be used as it is.
        """
        return record_path(self._connection())

    def _connection(self) -> Connection:
        if self._read_connection is None:
            self._read_connection = self.get_connection(self.dashscope_conn_id)
        return self._read_connection

    async def aget_conn(self) -> AsyncDashScopeClient:
        """Return the asynchronous client, made at the first call, for the running event loop.

        :raises ConfigurationError: the connection cannot be used as it is.
        """
        if self._async_client is None:
            from airflow_provider_wanx.dashscope.client import AsyncDashScopeClient  # see get_conn

            connection = await get_async_connection(self.dashscope_conn_id)
            self._async_client = AsyncDashScopeClient(client_config(connection))
        return self._async_client

    def close(self) -> None:
        """Close the blocking client."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._read_connection = None

    async def aclose(self) -> None:
        """Close the asynchronous client."""
        if self._async_client is not None:
            await self._async_client.close()
            self._async_client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    def submit_task(self, **new_task: Unpack[NewTask]) -> Submission:
        """Submit a task; every accepted one may cost money.

        It is held back until its turn has come. It is sent again only if the service has certainly not accepted it.

        :param new_task: ``service``: path below ``/api/v1/services``, for example ``aigc/image-generation/generation``;
            ``model``: for example ``wanx-style-repaint-v1``; ``input``: the model's input object; ``parameters``: the model's
            parameters object, if it has one.
        """
        return self.get_conn().submit_task(**new_task)

    async def asubmit_task(self, **new_task: Unpack[NewTask]) -> Submission:
        """See :meth:`submit_task`."""
        return await (await self.aget_conn()).submit_task(**new_task)

    def get_task(self, dashscope_task_id: str) -> Task:
        """Fetch one task: state, results, reason of a failure. An id that the service does not know is UNKNOWN."""
        return self.get_conn().get_task(dashscope_task_id)

    async def aget_task(self, dashscope_task_id: str) -> Task:
        """See :meth:`get_task`."""
        return await (await self.aget_conn()).get_task(dashscope_task_id)

    def list_tasks(self, **filters: Unpack[TaskFilters]) -> TaskPage:
        """List the account's tasks of the last 24 hours, without results.

        :param filters: see :class:`~airflow_provider_wanx.dashscope.api.filters.TaskFilters`.
        """
        return self.get_conn().list_tasks(**filters)

    async def alist_tasks(self, **filters: Unpack[TaskFilters]) -> TaskPage:
        """See :meth:`list_tasks`."""
        return await (await self.aget_conn()).list_tasks(**filters)

    def cancel_task(self, dashscope_task_id: str) -> bool:
        """Cancel a task that still waits in the queue.

        :return: whether it was canceled; a task that runs or has ended cannot be.
        :raises ApiError: the service refused for another reason than the task's state.
        """
        return self.get_conn().cancel_task(dashscope_task_id)

    async def acancel_task(self, dashscope_task_id: str) -> bool:
        """See :meth:`cancel_task`."""
        return await (await self.aget_conn()).cancel_task(dashscope_task_id)

    def upload_file(
        self, path_or_bytes: str | Path | bytes, *, model: str, filename: str | None = None
    ) -> str:
        """Put a file into the service's temporary store, for 48 hours and for use with one model.

        :param path_or_bytes: a local path, or the content itself.
        :param model: the model that will read it.
        :param filename: name for content that was given as bytes; its extension tells the service the type.
        :return: the file's ``oss://`` URL.
        """
        name, content = _named_content(path_or_bytes, filename)
        return self.get_conn().upload_file(filename=name, content=content, model=model)

    async def aupload_file(
        self, path_or_bytes: str | Path | bytes, *, model: str, filename: str | None = None
    ) -> str:
        """See :meth:`upload_file`."""
        name, content = await asyncio.to_thread(_named_content, path_or_bytes, filename)
        return await (await self.aget_conn()).upload_file(filename=name, content=content, model=model)

    def get_quotas(self, **filters: Unpack[QuotaFilters]) -> QuotaPage:
        """Read the account's limits.

        :param filters: see :class:`~airflow_provider_wanx.dashscope.api.filters.QuotaFilters`.
        """
        return self.get_conn().get_quotas(**filters)

    def list_models(self, **filters: Unpack[ModelFilters]) -> ModelPage:
        """List the models that the service offers, with the announced ends of those that it will take away.

        :param filters: see :class:`~airflow_provider_wanx.dashscope.api.filters.ModelFilters`.
        """
        return self.get_conn().list_models(**filters)

    def test_connection(self) -> tuple[bool, str]:
        """Try the connection on the task list and the list of limits, which cost nothing.

        :return: whether it works, and key, region, access to the repaint model and limits, or what to do.
        """
        from airflow_provider_wanx.hooks.connection_test import check_access

        try:
            return check_access(client_config(self.get_connection(self.dashscope_conn_id)))
        except ProviderError as error:
            return False, str(error)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Shape the connection form of Airflow before 3.2; later ones read the provider info."""
        behaviour = get_provider_info()["connection-types"][0]["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Add fields to the connection form of Airflow before 3.2; later ones read the provider info."""
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import StringField

        (connection_type,) = get_provider_info()["connection-types"]
        return {
            name: StringField(
                lazy_gettext(field["label"]),
                description=lazy_gettext(field["description"]),
                widget=BS3TextFieldWidget(),
            )
            for name, field in connection_type["conn-fields"].items()
        }


def _named_content(path_or_bytes: str | Path | bytes, filename: str | None) -> tuple[str, bytes]:
    if isinstance(path_or_bytes, bytes):
        return filename or "file", path_or_bytes
    path = Path(path_or_bytes)
    try:
        return filename or path.name, path.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"{error.strerror or error}: {quoted(str(path))} cannot be uploaded."
        ) from None


def warn_of_end(hook: DashScopeHook, model: str, log: Log) -> None:
    """Log a warning if the service has announced that it will take a model away."""
    from airflow_provider_wanx.dashscope.client.retirement import end_of, words_of  # see get_conn

    end = end_of(model, hook.get_conn().config)
    if end is not None:
        log.warning(words_of(model, end))
