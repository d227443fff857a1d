"""The plugin that puts the gallery into Airflow's web interface.

Every Airflow process imports this module, for Airflow loads all plugins wherever it needs one. So it imports next to nothing,
and the gallery itself is imported by the first request for one of its pages.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowPlugin, conf

from airflow_provider_wanx.version_compat import AIRFLOW_V_3_1_PLUS, AIRFLOW_V_3_4_PLUS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PREFIX = "/wanx/gallery"
"""Where the API server has the gallery."""

_HERE = "here?dag_id={DAG_ID}&run_id={RUN_ID}&task_id={TASK_ID}&map_index={MAP_INDEX}"
"""The page of whatever a tab is shown for. Airflow fills in what it knows and leaves the rest as it is. It stays in the tab of
a DAG when a user goes on to a run, so that no tab can know beforehand what it is for."""

_PLACES = {"nav": "", "dag": _HERE, "task": _HERE, "dag_run": _HERE, "task_instance": _HERE}
"""Places of the web interface → the gallery's page for them."""


_OURS = {"task.template_fields": ["dashscope_conn_id"]}
"""Which tasks have the tab since Airflow 3.4: operators of this package, and whatever is derived from them. Of a DAG or a run,
Airflow does not compare the tasks."""


class _Gallery:
    """The gallery's ASGI application, imported when it is asked for something."""

    def __init__(self) -> None:
        self._app: ASGIApp | None = None
        self._lock = Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            with self._lock:
                from airflow_provider_wanx.plugins.gallery.app import make_app

                self._app = self._app or make_app()
        await self._app(scope, receive, send)


def _views() -> list[dict[str, Any]]:
    # Behind a reverse proxy, Airflow may live below a path of its own.
    root = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/") + PREFIX
    return [
        {
            "name": "Wanx Gallery" if place == "nav" else "Gallery",
            "destination": place,
            # No two views may share a route.
            "url_route": "wanx-gallery" if place == "nav" else f"wanx-gallery-{place.replace('_', '-')}",
            "href": f"{root}/{page}",
            "icon": f"{root}/static/icon.svg",
            "icon_dark_mode": f"{root}/static/icon-dark.svg",
            **({"category": "browse"} if place == "nav" else {}),
            **({"applies_to": _OURS} if AIRFLOW_V_3_4_PLUS and place in ("task", "task_instance") else {}),
        }
        for place, page in _PLACES.items()
    ]


class WanxGalleryPlugin(AirflowPlugin):
    """Pages with the pictures that runs have made, in the navigation and as tabs."""

    name = "wanx_gallery"
    fastapi_apps = [{"name": "wanx_gallery", "url_prefix": PREFIX, "app": _Gallery()}]  # noqa: RUF012 - Airflow's own form
    external_views = _views()


plugin = WanxGalleryPlugin if AIRFLOW_V_3_1_PLUS else None
"""What the entry point names; None is no plugin, and Airflow then passes over it without a word."""
