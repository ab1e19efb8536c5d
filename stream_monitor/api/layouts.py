"""Routes about how a model's columns are counted: the layout in force, and putting another one in force."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from stream_monitor.api.services import ERRORS, Services, administrates, json_body, reads
from stream_monitor.errors import ConfigError
from stream_monitor.judging.packed_references import unpack_reference
from stream_monitor.tap.layout_tools import document

routes = APIRouter(responses=ERRORS)


@routes.get("/v1/models/{model}/layout", tags=["models"], dependencies=[reads])
async def layout(
    service: Services, model: str, version: Annotated[str | None, Query(description="by its reference")] = None
) -> Response:
    """Edges and categories by which the model is counted, or a version's reference was."""
    body = await service.known_model(model)
    id = body.get("layout")
    if version is not None:
        found = [v for v in body.get("versions") or () if v["version"] == version]
        if not found:
            raise HTTPException(404, f"no version {version!r} of {model!r} has been seen")
        if found[0].get("reference") and service.catalog is not None:
            try:
                id = unpack_reference(service.catalog.blob(found[0]["reference"])).layout
            except KeyError:
                raise HTTPException(503, "its reference is not known here yet") from None
    if not id:
        raise HTTPException(404, f"{model!r} has no layout yet: {body.get('learning') or 'no event has been counted'}")
    try:
        if service.catalog is None:
            raise KeyError(id)
        return json_body(document(service.catalog.layout(str(id))))
    except KeyError:
        raise HTTPException(503, f"layout {id} is not known here yet") from None


@routes.post("/v1/models/{model}/layouts", tags=["models"], status_code=202, dependencies=[administrates])
async def put_in_force(
    service: Services, request: Request, model: str, body: Annotated[dict[str, Any], Body()]
) -> Response:
    """Count the model by this layout from now on. Its reference is counted anew by it, from file or stream."""
    await service.known_model(model)
    if service.prepare_layout is None:
        raise HTTPException(503, "this process cannot publish layouts")
    try:
        id, reference = await service.prepare_layout(model, body)
    except (ConfigError, ValueError, KeyError, OSError) as error:
        raise RequestValidationError([{"loc": ("body",), "msg": str(error), "type": "value_error"}]) from None
    order = {"model": model, "layout": id, **({"reference": reference} if reference else {})}
    return json_body({**order, **await service.order(request, "layout", model, order)}, 202)
