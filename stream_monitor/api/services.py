"""What the routes share: the service behind them, who may call them, and how answers are written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from fastapi import Depends, HTTPException, Request, Response
from fastapi.security import HTTPBearer

from stream_monitor.access.keys import Access, Scope, is_loopback, parse_keys
from stream_monitor.api.gates import BASIC, presented_key
from stream_monitor.api.orders import Desk, command_id
from stream_monitor.config import Api, Config
from stream_monitor.entries import CommandKind
from stream_monitor.errors import ConfigError, Mistake
from stream_monitor.interfaces import Catalog, StatusStore
from stream_monitor.moments import rfc3339
from stream_monitor.status import readings, statuses
from stream_monitor.status.telemetry import Ledger

log = logging.getLogger(__name__)

PROBE_SECONDS: Final = 4.0  # for broker and store to answer when asked whether they are there
ORDER_SECONDS: Final = 15.0  # for the log to take a command
READY_FOR_SECONDS: Final = 1.0  # how long one look at readiness holds, so that being asked often costs nothing

Probe = Callable[[], Awaitable[None]]  # raises if the broker cannot be reached
PrepareFile = Callable[[str, str, str], Awaitable[str]]  # (model, version, file) -> id of the reference, published
# (model, layout as JSON) -> ids of the layout and of the reference counted by it ("": none), both published
PrepareLayout = Callable[[str, Mapping[str, Any]], Awaitable[tuple[str, str]]]


def access_of(api: Api) -> Access:
    """The rules of a configuration. ConfigError if it is insecure but not on loopback, or a key is malformed."""
    loopback = is_loopback(api.host)
    if api.insecure and not loopback:
        message = f"only on loopback, not on {api.host!r}; known: 127.0.0.1, ::1, localhost"
        raise ConfigError([Mistake(file="monitor.yaml", line=0, path="api.insecure", message=message)])
    return Access(
        ring=parse_keys(api.keys),
        open_reads=loopback or api.read == "open",
        open_metrics=api.metrics == "open",
        open_writes=api.insecure,
    )


@dataclass(kw_only=True)
class Service:
    """What the routes share."""

    config: Config
    store: StatusStore
    access: Access
    desk: Desk
    probe: Probe
    prepare_file: PrepareFile | None
    prepare_layout: PrepareLayout | None = None
    catalog: Catalog | None = None
    clock: Callable[[], float]
    ledger: Ledger = field(default_factory=Ledger)
    _readiness: tuple[float, list[str]] | None = None
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def now_ms(self) -> int:
        return int(self.clock() * 1000)

    async def unready(self) -> list[str]:
        """Why the service cannot do its work; [] if it can. Looked at READY_FOR_SECONDS ago at the most."""
        async with self._looking:
            if self._readiness is None or not 0 <= self.clock() - self._readiness[0] < READY_FOR_SECONDS:
                found = await self._look()
                self._readiness = (self.clock(), found)  # when it ended: those who waited for it need no other
            return self._readiness[1]

    async def _look(self) -> list[str]:
        broker, store = await asyncio.gather(_trouble("broker", self.probe), _trouble("store", self.store.ping))
        reasons = [r for r in (broker, store) if r]
        if not store:
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    reasons += statuses.unready(await statuses.read_snapshot(self.store, self.now_ms()))
            except Exception as error:
                reasons.append(f"store: {said(error)}")
        return reasons

    async def known_model(self, name: str) -> readings.Body:
        """What is known of the model; 404 if nothing is."""
        body = await readings.read_model(self.store, self.config, name)
        if body is None:
            known = ", ".join(await readings.model_names(self.store, self.config)) or "none"
            raise HTTPException(404, f"no model {name!r}; known: {known}")
        return body

    async def order(
        self,
        request: Request,
        kind: CommandKind,
        model: str,
        body: dict[str, Any],
        about: str = "",
        id: str | None = None,
    ) -> dict[str, Any]:
        """Have a command appended; what it is told by."""
        by = request.state.caller
        id = id or command_id(f"{by} {request.url.path}", request.headers.get("idempotency-key"))
        async with asyncio.timeout(ORDER_SECONDS):
            command = await self.desk.order(kind, model, body, id=id, by=by, now_ms=self.now_ms(), about=about)
        log.info("%s: %s for %r by %s", command.id, kind, model, by)
        return {"command": command.id, "at": rfc3339(command.at_ms), "by": by}


def said(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _trouble(what: str, probe: Probe) -> str:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await probe()
    except TimeoutError:
        return f"{what}: no answer within {PROBE_SECONDS:g} s"
    except Exception as error:
        return f"{what}: {said(error)}"
    return ""


def service(request: Request) -> Service:
    """The service of the application that was asked."""
    found: Service = request.app.state.service
    return found


Services = Annotated[Service, Depends(service)]
_bearer = HTTPBearer(auto_error=False, description="A key of `api.keys`.")


def needs(needed: Scope, *, metrics: bool = False) -> Callable[..., None]:
    """A dependency that lets through only who has the scope, and notes who that is."""

    def check(request: Request, service: Services, _: Annotated[Any, Depends(_bearer)]) -> None:
        presented = presented_key(request.headers.raw)
        code, answer = service.access.decide(needed, presented, metrics=metrics)
        if code != 200:
            # Why Bearer alone for all but a browser: a program may take the first one that is offered.
            browser = needed == Scope.READ and "text/html" in request.headers.get("accept", "")
            headers = {"WWW-Authenticate": f"{BASIC}, Bearer" if browser else "Bearer"} if code == 401 else None
            raise HTTPException(code, answer, headers)
        if needed > Scope.READ and _asked_by_a_page_from_elsewhere(request, keyless=presented is None):
            raise HTTPException(403, "a page from elsewhere may not write here; programs send the key as Bearer")
        request.state.caller = answer

    return check


def _asked_by_a_page_from_elsewhere(request: Request, *, keyless: bool) -> bool:
    """Whether a browser says so, which adds the password of Basic to whatever a page sends (a Bearer it does not add).

    Without keys, which is for loopback only, other pages of this machine may write.
    """
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return False
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site", "none")
    try:
        of = urlsplit(origin or "")
        if keyless and origin and is_loopback(of.hostname or ""):
            return False
    except ValueError:
        return True
    return site not in ("none", "same-origin") or (origin is not None and of.netloc != request.headers.get("host"))


reads = Depends(needs(Scope.READ))
operates = Depends(needs(Scope.OPERATE))
administrates = Depends(needs(Scope.ADMIN))

_PROBLEM = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    code: {"description": HTTPStatus(code).phrase, **_PROBLEM} for code in (401, 403, 404, 409, 413, 422, 503)
}


def json_body(body: Any, status: int = 200, **headers: str) -> Response:
    """An answer; bytes are JSON already."""
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(data, status, headers=headers, media_type="application/json")
