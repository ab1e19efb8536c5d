"""Routes that tell the service to do something. What becomes of it: orders.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError

from stream_monitor.access.keys import Scope
from stream_monitor.api.gates import presented_key
from stream_monitor.api.orders import Acknowledgement, Promotion, RetrainOrder, SilenceOrder, command_id, span_body
from stream_monitor.api.reads import find_alert, find_silence
from stream_monitor.api.services import ERRORS, Services, json_body, operates
from stream_monitor.errors import ConfigError
from stream_monitor.interfaces import Document
from stream_monitor.moments import rfc3339

routes = APIRouter(responses=ERRORS)


@routes.post("/v1/alerts/{id}/acknowledge", tags=["alerts"], dependencies=[operates])
async def acknowledge(service: Services, request: Request, id: str, body: Acknowledgement | None = None) -> Response:
    """Somebody has seen it. The answer is the alert as it stood; it changes when the worker has read the command."""
    scope, found = await find_alert(service, id)
    if found.get("state") == "resolved":
        raise HTTPException(409, "the alert is resolved")
    if found.get("state") == "acknowledged":
        return json_body(found)
    comment = body.comment if body else ""
    model = str(found.get("model", scope))
    told = await service.order(
        request, "acknowledge", model, {"alert": id, "model": model, "comment": comment}, about=id
    )
    return json_body({**found, **told})


@routes.post("/v1/silences", tags=["alerts"], status_code=201, dependencies=[operates])
async def silence(service: Services, request: Request, body: SilenceOrder) -> Response:
    """Tell nobody of alerts whose labels match, for a while. Detection goes on."""
    try:
        until_ms = body.until_ms(service.now_ms())
    except ValueError as error:
        raise RequestValidationError([{"loc": ("body", "until"), "msg": str(error), "type": "value_error"}]) from None
    if body.model:
        await service.known_model(body.model)
    id = command_id(f"{request.state.caller} silences", request.headers.get("idempotency-key"))
    made: dict[str, Any] = {
        "id": id,
        "model": body.model,
        "matchers": body.labels(),
        "until": rfc3339(until_ms),
        "comment": body.comment,
    }
    told = await service.order(request, "silence", body.model, made, about=id, id=id)
    made = {**made, "created_at": told["at"], "by": told["by"]}
    await _keep_silence(service, made, until_ms)
    return json_body(made, 201, Location=f"/v1/silences/{id}")


@routes.delete("/v1/silences/{id}", tags=["alerts"], dependencies=[operates])
async def end_silence(service: Services, request: Request, id: str) -> Response:
    """End it now. What it held back is told within a minute, if it is still so."""
    found = await find_silence(service, id)
    now_ms = service.now_ms()
    order = {**{key: found[key] for key in ("id", "model", "matchers", "comment")}, "until": rfc3339(now_ms)}
    told = await service.order(request, "silence", order["model"], order, about=id)
    ended = {**found, "until": order["until"], "ended_by": told["by"]}
    await _keep_silence(service, ended, now_ms)
    return json_body(ended)


async def _keep_silence(service: Services, silence: Mapping[str, Any], until_ms: int) -> None:
    document = Document(
        kind="silence",
        scope="",
        id=silence["id"],
        order=f"{silence['created_at']}|{silence['id']}",
        revision=1,
        body=msgspec.json.encode(silence),
        ttl_seconds=max(1, -(-(until_ms - service.now_ms()) // 1000)),
    )
    await service.store.put([document])


@routes.post("/v1/models/{model}/retrain-requests", tags=["retraining"], status_code=202, dependencies=[operates])
async def retrain(service: Services, request: Request, model: str, body: RetrainOrder | None = None) -> Response:
    """Ask for a new model now. The request itself appears in the list when the worker has read the command."""
    known = await service.known_model(model)
    body = body or RetrainOrder()
    versions = [str(v.get("version", "")) for v in known["versions"]]  # none: nothing has been counted yet
    if body.version and versions and body.version not in versions:
        raise HTTPException(404, f"no version {body.version!r} of {model!r}; known: {', '.join(versions)}")
    order = {"model": model, "version": body.version, "reason": body.reason, **span_body(body)}
    return json_body({**order, **await service.order(request, "retrain", model, order)}, 202)


@routes.post("/v1/models/{model}/references", tags=["retraining"], status_code=202, dependencies=[operates])
async def promote(service: Services, request: Request, model: str, body: Promotion) -> Response:
    """Make a span of events, or a file, what is normal for a version. A file needs the scope admin."""
    await service.known_model(model)
    if body.file is None:
        order = {"model": model, "version": body.version, **span_body(body)}
        return json_body({**order, **await service.order(request, "promote", model, order)}, 202)
    code, why = service.access.decide(Scope.ADMIN, presented_key(request.headers.raw))
    if code != 200:
        raise HTTPException(code, why)
    if service.prepare_file is None:
        raise HTTPException(503, "this process cannot read reference files")
    try:
        reference = await service.prepare_file(model, body.version, body.file)
    except (ConfigError, FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise RequestValidationError([{"loc": ("body", "file"), "msg": str(error), "type": "value_error"}]) from None
    order = {"model": model, "version": body.version, "reference": reference}
    return json_body({**order, **await service.order(request, "reference", model, order, about=body.file)}, 202)
