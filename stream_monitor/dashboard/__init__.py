"""The live page at `/`: which models are well, what is wrong with the others, and whether the service itself works.

Made with NiceGUI on the API's own server; its scripts and fonts are in its package, so that nothing comes from
elsewhere. Names of models, columns and categories are whatever producers send: they are shown as text only, never as
HTML.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from nicegui import ui
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from stream_monitor.config import Config
from stream_monitor.dashboard.pages import Page
from stream_monitor.dashboard.views import Watcher
from stream_monitor.interfaces import Catalog, StatusStore
from stream_monitor.status.telemetry import Ledger

ICON = (
    "<svg viewBox='0 0 32 32' xmlns='http://www.w3.org/2000/svg'><rect width='32' height='32' rx='7' fill='#1f6feb'/>"
    "<path d='M4 18h6l3-9 5 15 4-11 2 5h4' fill='none' stroke='#fff' stroke-width='2.6'/></svg>"
)


def add_dashboard(
    app: FastAPI,
    store: StatusStore,
    config: Callable[[], Config],
    *,
    unready: Callable[[], Awaitable[list[str]]],
    now_ms: Callable[[], int],
    catalog: Catalog | None,
    ledger: Ledger,
) -> None:
    """Serve the page at `/` of the application. Once per process: NiceGUI has one set of pages.

    `config` is asked each time, `unready` says why the service cannot work; `catalog` has the references to
    compare with, if there is one here, `ledger` what was delivered by processes that are gone.
    """
    watcher = Watcher(store, config, unready, now_ms, catalog, ledger)

    @ui.page("/", title="stream-monitor")
    async def page(alert: str = "") -> None:
        await Page(watcher, alert).build()

    ui.run_with(app, title="stream-monitor", favicon=ICON, dark=None, tailwind=False, reconnect_timeout=30.0)
    mounted = app.router.routes[-1]
    assert isinstance(mounted, Mount)
    mounted.app = _OnlyThePage(mounted.app, app)


class _OnlyThePage:
    """Lets through the page and what belongs to it; everything else gets the API's own errors."""

    def __init__(self, inner: ASGIApp, app: FastAPI) -> None:
        self._inner = inner
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/" or path.startswith("/_nicegui"):
            await self._inner(scope, receive, send)
            return
        if scope["type"] == "http":
            others = (route.matches(scope)[0] for route in self._app.router.routes[:-1])
            raise HTTPException(405 if Match.PARTIAL in others else 404)
        await send({"type": "websocket.close", "code": 1008})
