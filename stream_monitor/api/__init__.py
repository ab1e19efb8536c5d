"""The HTTP API: routes, who may call them, and how errors look.

Why so little here: this package is all that knows FastAPI; what it serves can be had and tested without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import FastAPI, Request, Response

from stream_monitor.api import layouts, reads, writes
from stream_monitor.api.gates import Gate
from stream_monitor.api.manuals import manual_page
from stream_monitor.api.orders import Desk
from stream_monitor.api.problems import add_problems
from stream_monitor.api.services import PrepareFile, PrepareLayout, Probe, Service, access_of
from stream_monitor.config import Config
from stream_monitor.interfaces import Catalog, CommandLog, StatusStore

__all__ = ["create_api"]


def create_api(
    config: Config,
    store: StatusStore,
    commands: CommandLog,
    *,
    probe: Probe,
    prepare_file: PrepareFile | None = None,
    catalog: Catalog | None = None,
    prepare_layout: PrepareLayout | None = None,
    dashboard: bool = True,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """The application, to be served by uvicorn. ConfigError if `api` says what may not be.

    `probe` raises when the broker cannot be reached. `prepare_file` reads a reference file and publishes it.
    `catalog` has the references that the page compares with. At most one application with a `dashboard` per process,
    since NiceGUI has one set of pages.
    """
    access = access_of(config.api)
    app = FastAPI(
        title="stream-monitor",
        description="How models in production are: windows, verdicts, alerts, retraining. Reference of fields: README.",
        version="1",
        docs_url=None,
        redoc_url=None,
    )
    service = app.state.service = Service(
        config=config,
        store=store,
        access=access,
        desk=Desk(store, commands),
        probe=probe,
        prepare_file=prepare_file,
        prepare_layout=prepare_layout,
        catalog=catalog,
        clock=clock,
    )
    app.include_router(reads.routes)
    app.include_router(writes.routes)
    app.include_router(layouts.routes)
    app.add_route("/docs", _manual, include_in_schema=False)
    add_problems(app)
    if dashboard:
        from stream_monitor.dashboard import add_dashboard  # NiceGUI takes a second to import

        add_dashboard(
            app,
            store,
            lambda: service.config,
            unready=service.unready,
            now_ms=service.now_ms,
            catalog=catalog,
            ledger=service.ledger,
        )
    app.add_middleware(Gate, access=access)
    return app


async def _manual(request: Request) -> Response:
    return Response(manual_page(request.app.openapi()), media_type="text/html; charset=utf-8")
