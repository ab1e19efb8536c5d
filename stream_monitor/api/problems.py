"""Errors as RFC 9457 has them, for whatever a route raises."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from stream_monitor.api.gates import problem
from stream_monitor.api.services import said
from stream_monitor.errors import Unreachable

log = logging.getLogger(__name__)


def add_problems(app: FastAPI) -> None:
    """Have all errors of an application answered as problems."""
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(RequestValidationError, _validation_problem)
    for unreachable in (ConnectionError, TimeoutError, Unreachable):
        app.add_exception_handler(unreachable, _unreachable_problem)
    app.add_exception_handler(Exception, _own_problem)
    plain_openapi = app.openapi
    app.openapi = lambda: _with_problem(plain_openapi())  # type: ignore[method-assign]  # FastAPI's own way to add to it


def _with_problem(openapi: dict[str, Any]) -> dict[str, Any]:
    fields: Mapping[str, Any] = {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    }
    openapi["components"]["schemas"]["Problem"] = {
        "type": "object",
        "properties": fields,
        "required": ["title", "status"],
    }
    return openapi


def _problem(code: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any) -> Response:
    body = problem(code, HTTPStatus(code).phrase, detail, **more)
    return Response(body, code, headers=headers, media_type="application/problem+json")


async def _http_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase
    unexplained = f"{request.method} {request.url.path} is not served"
    return _problem(error.status_code, unexplained if error.detail == phrase else str(error.detail), error.headers)


async def _validation_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"in": str(e["loc"][0]), "field": ".".join(str(p) for p in e["loc"][1:]), "message": _plain(str(e["msg"]))}
        for e in error.errors()
    ]
    detail = "; ".join(f"{e['field'] or e['in']}: {e['message']}" for e in errors)
    return _problem(422, detail, errors=errors)


def _plain(message: str) -> str:
    """Without what cannot be encoded, and without pydantic's preamble."""
    return message.encode("utf-8", "replace").decode().removeprefix("Value error, ")


async def _unreachable_problem(_: Request, error: Exception) -> Response:
    log.warning("%s: %s", type(error).__name__, error)
    return _problem(503, f"broker or store: {said(error)}")


async def _own_problem(_: Request, error: Exception) -> Response:
    return _problem(500, "a mistake of ours; it is in the log")
