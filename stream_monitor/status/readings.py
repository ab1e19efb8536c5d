"""What the api reads from the status store: lists a page at a time, filtered, and models.

Items are bodies as they were stored, spliced together without being read unless a filter needs it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from stream_monitor.config import Config
from stream_monitor.interfaces import Document, StatusStore
from stream_monitor.moments import epoch_ms, rfc3339
from stream_monitor.status.documents import position

CHUNK: Final = 250  # documents read from the store at once while filtering
MOST_SCANNED: Final = 50_000  # documents looked at for one answer; beyond it comes a cursor with what was found
MOST_PASSED: Final = 2_000  # documents looked at for the last few that are wanted
STARTS: Final = {"window": "start", "verdict": "start", "alert": "started_at", "retrain-request": "requested_at"}

FIRING: Final = ("id", "version", "segment", "group", "state", "severity", "started_at", "updated_at", "reason")
EMPTY_MODEL: Final[Mapping[str, Any]] = {
    "model": "",
    "task": "none",
    "levels": {},
    "versions": [],
    "segments": [],
    "breakdown": [],
    "last_window": None,
    "worst": [],
    "rows": 0,
    "label_coverage": None,
    "firing": [],
    "note": None,
}

Body = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which items of a list are wanted; None: all. Times are those items start at, `from_ms` <= time < `to_ms`."""

    from_ms: int | None = None
    to_ms: int | None = None
    version: str | None = None
    segment: str | None = None
    group: str | None = None
    column: str | None = None
    level: str | None = None
    state: str | None = None
    metric: str | None = None

    def admits(self, body: Body, kind: str) -> bool:
        """Whether the body of a document of this kind is wanted.

        >>> Filter(level="drift").admits({"level": "ok"}, "verdict")
        False
        >>> Filter(column="age").admits({"worst": [{"column": "age"}]}, "alert")
        True
        """
        wanted = {n: getattr(self, n) for n in ("version", "segment", "group", "level", "state", "metric")}
        if any(value is not None and body.get(name) != value for name, value in wanted.items()):
            return False
        if self.column is not None and not _about(body, kind, self.column):
            return False
        if self.from_ms is None and self.to_ms is None:
            return True
        at = epoch_ms(str(body.get(STARTS[kind])))
        return (self.from_ms is None or self.from_ms <= at) and (self.to_ms is None or at < self.to_ms)


def _about(body: Body, kind: str, column: str) -> bool:
    if kind == "window":
        return column in body.get("columns", {}) or column in body.get("predictions", {})
    if kind == "alert":
        return any(w.get("column") == column for w in body.get("worst") or ())
    return bool(body.get("column") == column)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Items and, if there are more, the cursor to go on with."""

    items: Sequence[bytes]
    next: str | None

    def json(self) -> bytes:
        """The list as it is served.

        >>> Page(items=[b'{"a":1}', b'{}'], next=None).json()
        b'{"items":[{"a":1},{}],"next":null}'
        """
        return b'{"items":[' + b",".join(self.items) + b'],"next":' + msgspec.json.encode(self.next) + b"}"


def to_cursor(position: str) -> str:
    """A position as a cursor: text that is safe in a URL.

    >>> from_cursor(to_cursor("2026|é\\x00id"))
    '2026|é\\x00id'
    """
    return base64.urlsafe_b64encode(position.encode()).rstrip(b"=").decode()


def from_cursor(cursor: str) -> str:
    """The position of a cursor; ValueError if it is none."""
    try:
        return base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("no cursor of this service") from error


async def read_page(
    store: StatusStore, kind: str, scopes: Sequence[str], wanted: Filter, cursor: str | None, limit: int
) -> Page:
    """The next `limit` items of a list that may be spread over several scopes, in order."""
    plain = wanted == Filter(from_ms=wanted.from_ms, to_ms=wanted.to_ms) and kind in ("window", "verdict")
    bounds = (_bound(wanted.from_ms), _bound(wanted.to_ms)) if kind in ("window", "verdict") else ("", "")
    chunk = limit + 1 if plain else CHUNK
    found: list[bytes] = []
    last, scanned = "", 0
    async for document in _merged(store, kind, scopes, from_cursor(cursor) if cursor else "", bounds, chunk):
        if scanned >= MOST_SCANNED:
            return Page(items=found, next=to_cursor(last))
        body = document.body
        if not plain:
            decoded = msgspec.json.decode(body)
            if not wanted.admits(decoded, kind):
                last, scanned = position(document), scanned + 1
                continue
            if kind == "window" and wanted.column is not None:
                body = _only_column(decoded, wanted.column)
        if len(found) == limit:
            return Page(items=found, next=to_cursor(last))
        found.append(body)
        last, scanned = position(document), scanned + 1
    return Page(items=found, next=None)


def _only_column(window: Body, column: str) -> bytes:
    for place in ("columns", "predictions"):
        window[place] = {n: c for n, c in window.get(place, {}).items() if n == column}
    return msgspec.json.encode(window)


def _bound(ms: int | None) -> str:
    """The least order that starts at `ms` or later. Windows start at full seconds, so it is rounded up to one."""
    return "" if ms is None else rfc3339(-(-ms // 1000) * 1000)


async def _merged(
    store: StatusStore, kind: str, scopes: Sequence[str], after: str, bounds: tuple[str, str], chunk: int
) -> AsyncIterator[Document]:
    """Documents of all scopes in one order."""
    feeds = [_feed(store, kind, scope, after, bounds, chunk) for scope in scopes]
    heads = [await anext(feed, None) for feed in feeds]
    while True:
        waiting = [(position(d), scopes[i], i) for i, d in enumerate(heads) if d is not None]
        if not waiting:
            return
        _, _, i = min(waiting)
        document = heads[i]
        assert document is not None
        yield document
        heads[i] = await anext(feeds[i], None)


async def _feed(
    store: StatusStore, kind: str, scope: str, after: str, bounds: tuple[str, str], chunk: int
) -> AsyncIterator[Document]:
    while True:
        page = await store.page(kind, scope, after=after, start=bounds[0], stop=bounds[1], limit=chunk)
        for document in page:
            yield document
        if len(page) < chunk:
            return
        after = position(page[-1])


async def find(store: StatusStore, kind: str, id: str) -> tuple[str, Body] | None:
    """(scope, body) of the document with that id in any scope."""
    for scope in await store.scopes(kind):
        document = await store.get(kind, scope, id)
        if document is not None:
            return scope, msgspec.json.decode(document.body)
    return None


async def latest(store: StatusStore, kind: str, scope: str, count: int, wanted: Filter | None = None) -> list[Body]:
    """The last `count` of a list that are wanted, the last one first. Gives up after MOST_PASSED documents."""
    found: list[Body] = []
    after, passed = "", 0
    chunk = count if wanted is None else max(count, 40)
    while passed < MOST_PASSED:
        page = await store.page(kind, scope, after=after, limit=chunk, backwards=True)
        bodies = [msgspec.json.decode(d.body) for d in page]
        found += [body for body in bodies if wanted is None or wanted.admits(body, kind)]
        if len(found) >= count or len(page) < chunk:
            break
        after, passed = position(page[-1]), passed + len(page)
    return found[:count]


async def model_names(store: StatusStore, config: Config) -> list[str]:
    """Models that are configured or known from before, unless they were removed."""
    others = [n for n in await store.scopes("model") if n not in config.models]
    gone = {n for n in others if any("removed" in body for body in await latest(store, "model", n, 1))}
    return sorted({*config.models, *others} - gone)


async def read_model(store: StatusStore, config: Config, name: str) -> Body | None:
    """What is known of a model, its firing alerts in short; None if it is neither configured nor known from before."""
    found = await latest(store, "model", name, 1)
    if found and "removed" in found[0]:
        found = []
    if not found and name not in config.models:
        return None
    body = {**EMPTY_MODEL, **found[0]} if found else {**EMPTY_MODEL, "note": "no event has been counted yet"}
    alerts = [await store.get("alert", name, str(id)) for id in body["firing"]]
    told = [msgspec.json.decode(a.body) for a in alerts if a is not None]
    firing = [{n: a.get(n) for n in FIRING} for a in told]
    return {**body, "model": name, "worst_columns": body["worst"], "firing_alerts": firing}
