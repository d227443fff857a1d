"""The extra links of operators, sensor and transfer.

Airflow asks for a link when a task's process ends, and shows what it has stored then. A task that waits on its worker for an
hour would have none until then: so each task stores its links as soon as it knows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom, conf

from airflow_provider_wanx.hooks.connection import client_config
from airflow_provider_wanx.hooks.dashscope import DashScopeHook
from airflow_provider_wanx.identity import identity_of
from airflow_provider_wanx.links.urls import console_url, gallery_url
from airflow_provider_wanx.version_compat import AIRFLOW_V_3_1_PLUS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskInstanceKey

_SHOWN = "_dashscope_links"


class StoredLink(BaseOperatorLink):
    """A link whose address the task stores itself, see :func:`show_link`."""

    name: ClassVar[str] = ""
    key: ClassVar[str] = ""

    @property
    def xcom_key(self) -> str:
        """XCom key under which the address is stored."""
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, empty if the task has stored none.

        :param operator: of a running task, or as Airflow 2's web server has it.
        :param ti_key: the task instance.
        """
        shown: dict[str, str] = getattr(operator, _SHOWN, {})
        # A process that goes on after a deferral knows only what the one before has stored.
        return str(shown.get(self.key) or XCom.get_value(ti_key=ti_key, key=self.key) or "")


class DashScopeConsoleLink(StoredLink):
    """Leads to the task in the local DashScope, or to the service's console, which has no address for a single task."""

    name = "DashScope console"
    key = "_link_DashScopeConsoleLink"


class S3ObjectLink(StoredLink):
    """Leads to a result, or to the folder of several, in AWS's console; other stores have no such address."""

    name = "S3 object"
    key = "_link_S3ObjectLink"


class GalleryLink(StoredLink):
    """Leads to the task's page in the gallery."""

    name = "Gallery"
    key = "_link_GalleryLink"


class ResultLink(StoredLink):
    """Leads to the result itself, in the gallery; the service's own address of it is signed, and expires."""

    name = "Result"
    key = "_link_ResultLink"


# The plugin's pages need Airflow 3.1.
_IN_GALLERY = (GalleryLink(),) if AIRFLOW_V_3_1_PLUS else ()
_RESULT = (ResultLink(),) if AIRFLOW_V_3_1_PLUS else ()

SUBMIT_LINKS: tuple[BaseOperatorLink, ...] = (DashScopeConsoleLink(), *_IN_GALLERY)
"""Links of a task that writes nothing to S3."""

BATCH_LINKS: tuple[BaseOperatorLink, ...] = (*SUBMIT_LINKS, S3ObjectLink())
"""Links of a task that writes many results."""

COPY_LINKS: tuple[BaseOperatorLink, ...] = (*SUBMIT_LINKS, *_RESULT, S3ObjectLink())
"""Links of a task that copies results."""


def show_link(context: Context, operator: BaseOperator, link: type[StoredLink], address: str | None) -> None:
    """Store the address of a link, so that Airflow shows it from now on.

    :param context: of the running task.
    :param operator: the running task.
    :param link: which of its links.
    :param address: where it leads; None for nowhere.
    """
    if not address:
        return
    vars(operator).setdefault(_SHOWN, {})[link.key] = address
    try:
        context["ti"].xcom_push(key=link.key, value=address)
    except Exception as error:  # noqa: BLE001 - whatever Airflow has against it: what was paid for must go on
        operator.log.warning("The link %r could not be stored: %s", link.name, error)


def show_task_links(
    context: Context, operator: BaseOperator, base_url: str | None, ids: Sequence[str] = ()
) -> None:
    """Store the links that every task has: to the service, and to its page in the gallery.

    :param context: of the running task.
    :param operator: the running task.
    :param base_url: of its connection, None if that is not known.
    :param ids: the service's ids of its tasks.
    """
    if base_url:
        show_link(context, operator, DashScopeConsoleLink, console_url(base_url, ids[0] if ids else ""))
    show_in_gallery(context, operator, GalleryLink)


def show_in_gallery(
    context: Context, operator: BaseOperator, link: type[StoredLink], *, result: int | None = None
) -> None:
    """Store a link to a task's page in the gallery.

    :param context: of the running task.
    :param operator: the running task.
    :param link: which of its links.
    :param result: the page of one result, from 0, instead of that of all.
    """
    if AIRFLOW_V_3_1_PLUS:
        base_url = conf.get("api", "base_url", fallback="") or ""
        show_link(context, operator, link, gallery_url(base_url, identity_of(context["ti"]), result=result))


def base_url_of(dashscope_conn_id: str) -> str | None:
    """Read where a connection leads to, without making a client; None if it cannot be used."""
    try:
        return client_config(DashScopeHook.get_connection(dashscope_conn_id)).base_url
    except Exception:  # noqa: BLE001 - whoever needs the connection next says what is wrong with it
        return None
