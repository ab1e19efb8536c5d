"""The stores in memory: for `store: memory` (one process, nothing durable) and as the twin of redis.py in tests.

Not thread-safe by itself except `MemoryLabelStore`, which the tap's thread calls: each call holds a lock.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from stream_monitor.interfaces import Document, Joined, Label, LabelAnswer, Notice, Prediction
from stream_monitor.status.documents import DEFAULT_LIMIT, LIMITS, position, squeeze, unsqueeze

REMEMBER_SECONDS: Final = 2 * 86_400  # how long a notice is remembered against being added again

Clock = Callable[[], float]  # seconds since 1970


def same_label(a: float | str | None, b: float | str | None) -> bool:
    """Whether two labels of one id say the same; 1 and 1.0 and true do, "1" is another.

    >>> same_label(1, 1.0), same_label("1", 1), same_label(float("nan"), float("nan"))
    (True, False, True)
    """
    return a == b or (a != a and b != b)


@dataclass(slots=True)
class _Shelf:
    """The documents of one (kind, scope), their bodies squeezed."""

    documents: dict[str, Document] = field(default_factory=dict)
    positions: list[str] = field(default_factory=list)  # sorted
    expires: dict[str, float] = field(default_factory=dict)  # of those with a time to live

    def add(self, document: Document, now: float) -> None:
        self.documents[document.id] = msgspec.structs.replace(document, body=squeeze(document.body))
        insort(self.positions, position(document))
        if document.ttl_seconds:
            self.expires[document.id] = now + document.ttl_seconds

    def remove(self, id: str) -> None:
        document = self.documents.pop(id)
        del self.positions[bisect_left(self.positions, position(document))]
        self.expires.pop(id, None)

    def drop_expired(self, now: float) -> None:
        for id in [id for id, at in self.expires.items() if at <= now]:
            self.remove(id)

    def read(self, id: str) -> Document:
        document = self.documents[id]
        return msgspec.structs.replace(document, body=unsqueeze(document.body))


class MemoryStatusStore:
    """StatusStore in a dict; gone with the process."""

    def __init__(self, limits: Mapping[str, int] = LIMITS, clock: Clock = time.time) -> None:
        self._limits = limits
        self._clock = clock
        self._shelves: dict[tuple[str, str], _Shelf] = {}

    async def put(self, documents: Sequence[Document]) -> None:
        now = self._clock()
        for document in documents:
            shelf = self._shelves.setdefault((document.kind, document.scope), _Shelf())
            shelf.drop_expired(now)
            kept = shelf.documents.get(document.id)
            if kept is not None:
                if kept.revision > document.revision:
                    continue
                shelf.remove(document.id)
            shelf.add(document, now)
            while len(shelf.positions) > self._limits.get(document.kind, DEFAULT_LIMIT):
                shelf.remove(_id_at(shelf.positions[0]))

    async def get(self, kind: str, scope: str, id: str) -> Document | None:
        shelf = self._shelf(kind, scope)
        return shelf.read(id) if id in shelf.documents else None

    async def page(
        self,
        kind: str,
        scope: str,
        *,
        after: str = "",
        start: str = "",
        stop: str = "",
        limit: int = 100,
        backwards: bool = False,
    ) -> list[Document]:
        shelf = self._shelf(kind, scope)
        low = bisect_left(shelf.positions, start)
        high = bisect_left(shelf.positions, stop) if stop else len(shelf.positions)
        if after and backwards:
            high = min(high, bisect_left(shelf.positions, after))
        elif after:
            low = max(low, bisect_right(shelf.positions, after))
        found = shelf.positions[low:high]
        found = found[: -limit - 1 : -1] if backwards else found[:limit]
        return [shelf.read(_id_at(p)) for p in found]

    async def scopes(self, kind: str) -> list[str]:
        scopes = sorted(scope for of, scope in self._shelves if of == kind)
        return [scope for scope in scopes if self._shelf(kind, scope).documents]

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        """Nothing to let go of."""

    def _shelf(self, kind: str, scope: str) -> _Shelf:
        shelf = self._shelves.get((kind, scope), _Shelf())
        shelf.drop_expired(self._clock())
        return shelf


def _id_at(position: str) -> str:
    return position.rpartition("\x00")[2]


@dataclass(slots=True)
class _Pair:
    """What is known of one id. `second` is the one that made the pair: replays of it, and only of it, get the pair."""

    expires: float
    prediction: Prediction | None = None
    label: Label | None = None
    second: str = ""  # "prediction" | "label" | "" while there is no pair


class MemoryLabelStore:
    """LabelStore in a dict; gone with the process."""

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._models: dict[str, OrderedDict[str, _Pair]] = {}  # oldest expiry first
        self._lock = threading.Lock()

    def predictions(self, model: str, rows: Sequence[Prediction], ttl_ms: int) -> list[Joined | None]:
        with self._lock:
            pairs, expires = self._open(model, ttl_ms)
            return [self._predict(pairs, row, expires) for row in rows]

    def labels(self, model: str, rows: Sequence[Label], ttl_ms: int) -> list[LabelAnswer]:
        with self._lock:
            pairs, expires = self._open(model, ttl_ms)
            return [self._label(pairs, row, expires) for row in rows]

    def ping(self) -> None:
        return None

    def close(self) -> None:
        """Nothing to let go of."""

    def _open(self, model: str, ttl_ms: int) -> tuple[OrderedDict[str, _Pair], float]:
        now = self._clock()
        pairs = self._models.setdefault(model, OrderedDict())
        while pairs and next(iter(pairs.values())).expires <= now:
            pairs.popitem(last=False)
        return pairs, now + ttl_ms / 1000

    def _predict(self, pairs: OrderedDict[str, _Pair], row: Prediction, expires: float) -> Joined | None:
        pair = pairs.get(row.id)
        if pair is None:
            pairs[row.id] = _Pair(expires, prediction=row)
            return None
        if pair.prediction is None and pair.label is not None:
            pair.prediction, pair.second, pair.expires = row, "prediction", expires
            pairs.move_to_end(row.id)
            return Joined(row, pair.label)
        assert pair.prediction is not None
        if pair.prediction.position == row.position and pair.second == "prediction" and pair.label is not None:
            return Joined(pair.prediction, pair.label)
        return None

    def _label(self, pairs: OrderedDict[str, _Pair], row: Label, expires: float) -> LabelAnswer:
        pair = pairs.get(row.id)
        if pair is None:
            pairs[row.id] = _Pair(expires, label=row)
            return "waiting"
        if pair.label is None and pair.prediction is not None:
            pair.label, pair.second, pair.expires = row, "label", expires
            pairs.move_to_end(row.id)
            return Joined(pair.prediction, row)
        assert pair.label is not None
        if pair.label.position == row.position:
            joined = pair.second == "label" and pair.prediction is not None
            return Joined(pair.prediction, pair.label) if joined and pair.prediction else "waiting"
        return "duplicate" if same_label(pair.label.label, row.label) else "conflict"


class MemoryOutbox:
    """Outbox in a dict; gone with the process."""

    def __init__(self, remember_seconds: float = REMEMBER_SECONDS, clock: Clock = time.time) -> None:
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._waiting: dict[tuple[str, str], Notice] = {}
        self._due: dict[tuple[str, str], int] = {}  # when it may be claimed: due_ms, or the end of a lease
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()  # -> until when, oldest first

    async def add(self, notices: Sequence[Notice]) -> None:
        now = self._clock()
        while self._seen and next(iter(self._seen.values())) <= now:
            self._seen.popitem(last=False)
        for notice in notices:
            key = (notice.target, notice.id)
            if key not in self._seen and key not in self._waiting:
                self._seen[key] = now + self._remember_seconds
                self._waiting[key] = notice
                self._due[key] = notice.due_ms

    async def claim(self, now_ms: int, lease_ms: int, limit: int) -> list[Notice]:
        due = sorted((at, key) for key, at in self._due.items() if at <= now_ms)[:limit]
        for _, key in due:
            self._due[key] = now_ms + lease_ms
        return [self._waiting[key] for _, key in due]

    async def retry(self, notice: Notice, due_ms: int) -> None:
        key = (notice.target, notice.id)
        if key in self._waiting:
            self._waiting[key] = msgspec.structs.replace(notice, attempts=notice.attempts + 1, due_ms=due_ms)
            self._due[key] = due_ms

    async def done(self, notice: Notice) -> None:
        key = (notice.target, notice.id)
        self._waiting.pop(key, None)
        self._due.pop(key, None)

    async def close(self) -> None:
        """Nothing to let go of."""
