"""What the page shows, read from the store once a second however many people look."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stream_monitor.config import Config
from stream_monitor.interfaces import Catalog, StatusStore
from stream_monitor.status import readings, statuses
from stream_monitor.status.comparisons import Comparison, compare, reference_body
from stream_monitor.status.telemetry import Ledger

log = logging.getLogger(__name__)

MOST_MODELS: Final = 200
MOST_ALERTS: Final = 20
MOST_WINDOWS: Final = 20
MOST_POINTS: Final = 60  # windows in the line of a metric's values
MOST_REFERENCES: Final = 32  # added up and kept, of one segment each
FRESH_MS: Final = 900
SEVERITY: Final = {"drift": 0, "warning": 1, "unknown": 2, "ok": 3}

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The service as it was at `at_ms`. `error`: why nothing newer could be read; `known`: whether anything was."""

    at_ms: int = -(10**9)
    known: bool = False
    unready: Sequence[str] = ()
    models: Sequence[Body] = ()
    alerts: Sequence[Body] = ()
    status: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A metric's value in one window."""

    start: str
    value: float | None
    threshold: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One model more closely. `column` is the one that is compared; "" if there is none.

    `known`: whether the store could be read for it.
    """

    model: Body
    known: bool = True
    windows: Sequence[Body] = ()  # newest first, without their columns
    columns: Sequence[str] = ()
    column: str = ""
    comparison: Comparison | None = None
    compared: str = ""  # what with what, in words
    metric: str = ""
    history: Sequence[Point] = ()  # of the metric on the column, oldest first


def worst_level(levels: Mapping[str, str]) -> str:
    """The level of a model as a whole.

    >>> worst_level({"drift": "ok", "quality": "warning", "stream": "unknown"}), worst_level({})
    ('warning', 'unknown')
    """
    return min(levels.values(), key=lambda level: SEVERITY.get(level, 2), default="unknown")


def why(alert: Mapping[str, Any]) -> str:
    """What made an alert fire, and behind it what has become of it since.

    >>> fired = [{"to": "pending", "reason": "drift"}, {"to": "firing", "reason": "drift for 2 windows"}]
    >>> why({"state": "resolved", "reason": "ok for 3 windows", "transitions": fired})
    'drift for 2 windows; now: ok for 3 windows'
    >>> why({"state": "firing", "reason": "drift for 2 windows", "transitions": fired})
    'drift for 2 windows'
    >>> why({"state": "resolved", "reason": "ok", "transitions": fired[:1]})
    'drift; now: ok'
    """
    now = str(alert.get("reason") or "")
    reasons = {t.get("to"): str(t.get("reason") or "") for t in alert.get("transitions") or ()}  # the last of each
    cause = reasons.get("firing") or reasons.get("pending") or now
    return f"{cause}; now: {now}" if now and now != cause else cause


class Watcher:
    """Reads for all pages. Pages ask as often as they like."""

    def __init__(
        self,
        store: StatusStore,
        config: Callable[[], Config],
        unready: Callable[[], Awaitable[list[str]]],
        now_ms: Callable[[], int],
        catalog: Catalog | None,
        ledger: Ledger | None = None,
    ) -> None:
        """`ledger`: of the api, so that the page counts deliveries as /metrics does."""
        self._store = store
        self._config = config
        self._unready = unready
        self._now_ms = now_ms
        self._catalog = catalog
        self._ledger = ledger or Ledger()
        self._view = View()
        self._references: dict[tuple[str, str], Body] = {}
        self._lock = asyncio.Lock()

    async def view(self) -> View:
        """The whole service, at most a second old; while the store is away, the last one that could be read."""
        async with self._lock:
            now_ms = self._now_ms()
            if not 0 <= now_ms - self._view.at_ms < FRESH_MS:
                try:
                    self._view = await self._read(now_ms)
                except Exception as error:  # of whichever store: the page stays and says so
                    said = f"The status store cannot be read: {error or type(error).__name__}"
                    old = self._view
                    self._view = View(
                        at_ms=now_ms,
                        known=old.known,
                        unready=await self._unready(),
                        models=old.models,
                        alerts=old.alerts,
                        status=old.status,
                        error=said,
                    )
            return self._view

    async def _read(self, now_ms: int) -> View:
        names = await readings.model_names(self._store, self._config())
        models = [await readings.read_model(self._store, self._config(), name) for name in names[:MOST_MODELS]]
        alerts = [
            alert
            for scope in await self._store.scopes("alert")
            for alert in await readings.latest(self._store, "alert", scope, MOST_ALERTS)
        ]
        active = [a for a in alerts if a.get("state") in ("firing", "acknowledged")]
        others = [a for a in alerts if a.get("state") not in ("firing", "acknowledged")]
        for some in (active, others):
            some.sort(key=lambda a: str(a.get("updated_at")), reverse=True)
        snapshot = await statuses.read_snapshot(self._store, now_ms)
        return View(
            at_ms=now_ms,
            known=True,
            unready=await self._unready(),
            models=sorted((m for m in models if m is not None), key=_urgency),
            alerts=[*active, *others][:MOST_ALERTS],
            status=statuses.status(snapshot, self._config(), self._ledger.note(snapshot.workers)),
        )

    async def alert(self, id: str) -> Body | None:
        """One alert; {} if there is none, None if the store cannot be read."""
        try:
            found = await readings.find(self._store, "alert", id)
        except Exception as error:  # of whichever store: the view says why
            log.debug("alert %s is not known: %r", id, error)
            return None
        return {} if found is None else found[1]

    async def detail(self, model: Body, column: str) -> Detail:
        """One model, its last windows, and `column` (the worst one if "") against the reference."""
        try:
            return await self._detail(model, column)
        except Exception as error:  # of whichever store: the view says why
            log.debug("%s is not known more closely: %r", model["model"], error)
            return Detail(model=model, known=False)

    async def _detail(self, model: Body, column: str) -> Detail:
        worst: Body = next((w for w in model["worst"] if w.get("column")), {})
        about = next((w for w in model["worst"] if w.get("column") == column), worst) if column else worst
        segment = about.get("segment") or "all"
        version = about.get("version") or _newest_version(model)
        wanted = readings.Filter(version=version, segment=segment)
        found = await readings.latest(self._store, "window", model["model"], MOST_WINDOWS, wanted)
        slim = [{k: v for k, v in w.items() if k not in ("columns", "predictions")} for w in found]
        current = next((w for w in found if w.get("rows") and w.get("columns")), None)
        if current is None:
            return Detail(model=model, windows=slim)
        columns = {**current["columns"], **current.get("predictions", {})}
        notable = {w.get("column") for w in model["worst"]}
        ordered = sorted(columns, key=lambda name: (name not in notable, name))
        chosen = next((name for name in (column, str(about.get("column")), *ordered) if name in columns), "")
        if not chosen:
            return Detail(model=model, windows=slim)
        comparison = compare(columns[chosen], self._reference(model, version, segment, chosen))
        against = "against the reference" if comparison.reference else "its reference is not known here"
        whose = ["share of rows in %", f"version {version}" if version else "", segment if segment != "all" else ""]
        metric = next((w["metric"] for w in model["worst"] if w.get("column") == chosen), "")
        return Detail(
            model=model,
            windows=slim,
            columns=ordered,
            column=chosen,
            comparison=comparison,
            compared=", ".join(w for w in (*whose, against) if w),
            metric=metric,
            history=await self._history(model["model"], version, segment, chosen, metric) if metric else (),
        )

    async def _history(self, model: str, version: str, segment: str, column: str, metric: str) -> list[Point]:
        wanted = readings.Filter(version=version, segment=segment, column=column, metric=metric)
        found = await readings.latest(self._store, "verdict", model, MOST_POINTS, wanted)
        return [
            Point(start=str(v["start"]), value=v.get("value"), threshold=v.get("threshold")) for v in reversed(found)
        ]

    def _reference(self, model: Body, version: str, segment: str, column: str) -> Body | None:
        own: Body = next((v for v in model["versions"] if v.get("version") == version), {})
        id = own.get("reference") or (model.get("reference") or {}).get("id")
        if not id or self._catalog is None:
            return None
        body = self._references.get((id, segment))
        if body is None:
            try:
                body = reference_body(self._catalog, id, segment)
            except KeyError:
                return None
            if len(self._references) >= MOST_REFERENCES:
                self._references.clear()
            self._references[id, segment] = body
        found: Body | None = {**body["columns"], **body["predictions"]}.get(column)
        return found


def _urgency(model: Body) -> tuple[int, int, str]:
    return -len(model["firing"]), SEVERITY.get(worst_level(model["levels"]), 2), str(model["model"])


def _newest_version(model: Body) -> str:
    return str(model["versions"][-1].get("version", "")) if model["versions"] else ""
