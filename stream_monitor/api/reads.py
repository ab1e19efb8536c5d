"""Routes that read. What they read: readings.py and statuses.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Header, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from stream_monitor.access.keys import Scope
from stream_monitor.api.gates import problem
from stream_monitor.api.orders import Instant
from stream_monitor.api.services import ERRORS, Service, Services, administrates, json_body, needs, reads
from stream_monitor.interfaces import StatusStore
from stream_monitor.moments import epoch_ms
from stream_monitor.names import choices
from stream_monitor.status import readings, statuses
from stream_monitor.status.readings import Filter
from stream_monitor.status.telemetry import exposition, service_families

SCHEMAS: Final = Path(__file__).parent.parent / "schemas"
Group = Literal["drift", "performance", "quality", "stream", "fairness"]
Level = Literal["ok", "warning", "drift", "unknown"]
State = Literal["pending", "firing", "acknowledged", "resolved"]

routes = APIRouter(responses=ERRORS)


@dataclass(frozen=True, slots=True)
class _Filters:
    """The query parameters of lists. Those that a list's items do not have select nothing from it."""

    from_: Annotated[Instant | None, Query(alias="from", description="Not before this time.")] = None
    to: Annotated[Instant | None, Query(description="Before this time.")] = None
    version: Annotated[str | None, Query()] = None
    segment: Annotated[str | None, Query(description="`all`, or like `country=de`.")] = None
    group: Annotated[Group | None, Query()] = None
    column: Annotated[str | None, Query()] = None
    level: Annotated[Level | None, Query()] = None
    state: Annotated[State | None, Query()] = None
    metric: Annotated[str | None, Query()] = None
    limit: Annotated[int, Query(ge=1, le=1000)] = 100
    cursor: Annotated[str | None, Query(max_length=4000, description="`next` of the page before.")] = None

    async def page(self, store: StatusStore, kind: str, scopes: list[str], *apply: str) -> Response:
        """The page that is asked for; only the filters named in `apply` mean something for the kind."""
        chosen = {name: getattr(self, name) for name in apply}
        wanted = Filter(from_ms=self.from_, to_ms=self.to, **chosen)
        try:
            page = await readings.read_page(store, kind, scopes, wanted, self.cursor, self.limit)
        except ValueError as error:
            raise _invalid("cursor", str(error)) from None
        return json_body(page.json())


def _filters(request: Request, filters: Annotated[_Filters, Depends()]) -> _Filters:
    """A parameter that is misspelt must not pass for one that selects everything."""
    described = request.app.openapi()["paths"][request.scope["route"].path]["get"]["parameters"]
    known = [p["name"] for p in described if p["in"] == "query"]
    for name in request.query_params:
        if name not in known:
            raise _invalid(name, f"unknown parameter{choices(name, known)}")
    return filters


Filters = Annotated[_Filters, Depends(_filters)]


def _invalid(name: str, message: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("query", name), "msg": message, "type": "value_error"}])


@routes.get("/healthz", tags=["health"], summary="The process lives")
async def healthz() -> Response:
    return json_body({"status": "ok"})


@routes.get("/readyz", tags=["health"], summary="The service can do its work, or why not")
async def readyz(service: Services) -> Response:
    reasons = await service.unready()
    if not reasons:
        return json_body({"ready": True, "reasons": []})
    body = problem(503, "Service Unavailable", "; ".join(reasons), ready=False, reasons=reasons)
    return Response(body, 503, media_type="application/problem+json")


@routes.get("/metrics", tags=["health"], dependencies=[Depends(needs(Scope.READ, metrics=True))])
async def metrics(service: Services, accept: Annotated[str, Header()] = "") -> Response:
    """The whole service for Prometheus, as text or OpenMetrics."""
    snapshot = await statuses.read_snapshot(service.store, service.now_ms())
    workers = service.ledger.note(snapshot.workers)
    families = service_families(snapshot, workers, await service.unready(), service.config)
    body, content_type = exposition(accept, families)
    return Response(body, headers={"content-type": content_type})


@routes.get("/v1/status", tags=["health"], dependencies=[reads])
async def status(service: Services) -> Response:
    """Taps, workers, partitions, lag, watermarks, totals, sinks."""
    snapshot = await statuses.read_snapshot(service.store, service.now_ms())
    workers = service.ledger.note(snapshot.workers)
    reasons = await service.unready()
    told = statuses.status(snapshot, service.config, workers)
    return json_body({"ready": not reasons, "reasons": reasons, **told})


@routes.get("/v1/models", tags=["models"], dependencies=[reads])
async def models(service: Services, filters: Filters) -> Response:
    """All models, by name: level per group, versions, segments, last window, worst columns, firing alerts."""
    try:
        after = readings.from_cursor(filters.cursor) if filters.cursor is not None else ""
    except ValueError as error:
        raise _invalid("cursor", str(error)) from None
    names = [n for n in await readings.model_names(service.store, service.config) if n > after]
    page = names[: filters.limit]
    known = [await readings.read_model(service.store, service.config, name) for name in page]
    snapshot = await statuses.read_snapshot(service.store, service.now_ms())
    events = statuses.greatest(snapshot.counters, "events")
    items = [statuses.counted(body, events) for body in known if body is not None]
    more = readings.to_cursor(page[-1]) if len(names) > len(page) else None
    return json_body({"items": items, "next": more})


@routes.get("/v1/models/{model}", tags=["models"], dependencies=[reads])
async def model(service: Services, model: str) -> Response:
    """One model."""
    known = await service.known_model(model)
    snapshot = await statuses.read_snapshot(service.store, service.now_ms())
    return json_body(statuses.counted(known, statuses.greatest(snapshot.counters, "events")))


@routes.get("/v1/models/{model}/windows", tags=["models"], dependencies=[reads])
async def windows(service: Services, model: str, filters: Filters) -> Response:
    """Closed windows, oldest first, the latest revision of each. `column` leaves the others out of each window."""
    await service.known_model(model)
    return await filters.page(service.store, "window", [model], "version", "segment", "column")


@routes.get("/v1/models/{model}/verdicts", tags=["models"], dependencies=[reads])
async def verdicts(service: Services, model: str, filters: Filters) -> Response:
    """Verdicts, oldest first."""
    await service.known_model(model)
    apply = ("version", "segment", "group", "column", "level", "metric")
    return await filters.page(service.store, "verdict", [model], *apply)


@routes.get("/v1/models/{model}/retrain-requests", tags=["retraining"], dependencies=[reads])
async def retrain_requests(service: Services, model: str, filters: Filters) -> Response:
    """Retrain requests, oldest first."""
    await service.known_model(model)
    return await filters.page(service.store, "retrain-request", [model], "version")


@routes.get("/v1/alerts", tags=["alerts"], dependencies=[reads])
async def alerts(service: Services, filters: Filters, model: str | None = None) -> Response:
    """Alerts of all models, or of one, oldest first."""
    scopes = [model] if model is not None else await service.store.scopes("alert")
    return await filters.page(service.store, "alert", scopes, "version", "segment", "group", "column", "state")


@routes.get("/v1/alerts/{id}", tags=["alerts"], dependencies=[reads])
async def alert(service: Services, id: str) -> Response:
    """One alert."""
    return json_body((await find_alert(service, id))[1])


async def find_alert(service: Service, id: str) -> tuple[str, readings.Body]:
    found = await readings.find(service.store, "alert", id)
    if found is None:
        raise HTTPException(404, f"no alert {id!r}")
    return found


@routes.get("/v1/silences", tags=["alerts"], dependencies=[reads])
async def silences(service: Services, filters: Filters) -> Response:
    """Silences that have not ended."""
    return await filters.page(service.store, "silence", [""])


@routes.get("/v1/silences/{id}", tags=["alerts"], dependencies=[reads])
async def silence(service: Services, id: str) -> Response:
    """One silence, until it ends."""
    return json_body(await find_silence(service, id))


async def find_silence(service: Service, id: str) -> readings.Body:
    found = await readings.find(service.store, "silence", id)
    if found is None or epoch_ms(found[1]["until"]) <= service.now_ms():
        raise HTTPException(404, f"no silence {id!r}: it has ended, or there was none")
    return found[1]


@routes.get("/v1/audit", tags=["health"], dependencies=[administrates])
async def audit(service: Services, filters: Filters) -> Response:
    """Everything the service was told to do: who, when, what; oldest first."""
    return await filters.page(service.store, "audit", [""])


@routes.get("/v1/schemas/{name}", tags=["health"], dependencies=[reads])
async def schema(name: str) -> Response:
    """JSON Schema of a message: window, verdict, alert, retrain-request."""
    known = {path.stem: path for path in SCHEMAS.glob("*.json")}
    if name not in known:
        raise HTTPException(404, f"no schema {name!r}; known: {', '.join(sorted(known))}")
    return Response(known[name].read_bytes(), media_type="application/schema+json")
