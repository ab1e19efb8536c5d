"""A fold that is small enough to be understood at a glance, with the same demands as the real one.

It adds up numbers by key. Every entry names its source and number; a repeated one is dropped, a gap stops it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from stream_monitor.entries import Command, Entry
from stream_monitor.interfaces import Catalog
from stream_monitor.outputs import Output
from stream_monitor.owners import Fold


class Head(msgspec.Struct):
    applied: dict[str, int] = {}
    entries: int = 0
    duplicates: int = 0
    stopped: str = ""


class ToyState:
    def __init__(self, head: Head, totals: dict[str, int]) -> None:
        self.head_state = head
        self.totals = totals
        self._touched: set[str] = set()

    @classmethod
    def empty(cls, partition: int, partitions: int) -> ToyState:
        return cls(Head(), {})

    @property
    def stopped(self) -> str:
        return self.head_state.stopped

    def head(self) -> bytes:
        return msgspec.msgpack.encode(self.head_state)

    def records(self) -> dict[bytes, bytes]:
        return {key.encode(): msgspec.msgpack.encode(total) for key, total in self.totals.items()}

    def changed(self) -> dict[bytes, bytes | None]:
        gone = {key.encode(): None for key in self._touched if key not in self.totals}
        kept = {k: v for k, v in self.records().items() if k.decode() in self._touched}
        return {**gone, **kept}

    def mark(self) -> None:
        self._touched.clear()

    @classmethod
    def restore(cls, head: bytes, records: Mapping[bytes, bytes], catalog: Catalog) -> ToyState:
        totals = {key.decode(): msgspec.msgpack.decode(data, type=int) for key, data in records.items()}
        return cls(msgspec.msgpack.decode(head, type=Head), totals)

    def add(self, key: str, value: int) -> int:
        """A total that comes to zero is forgotten, so that there are deletions too."""
        self.totals[key] = self.totals.get(key, 0) + value
        total = self.totals[key]
        if not total:
            del self.totals[key]
        self._touched.add(key)
        return total


def step(state: ToyState, entry: Entry, catalog: Catalog) -> tuple[ToyState, list[Output]]:
    assert isinstance(entry, Command)
    body, head = entry.body, state.head_state
    head.entries += 1
    source, n = str(body["source"]), int(body["n"])
    applied = head.applied.get(source)
    if applied is not None and n <= applied:
        head.duplicates += 1
        return state, []
    if applied is not None and n != applied + 1:
        head.stopped = f"{source}: {n} after {applied}"
        return state, []
    head.applied[source] = n
    total = state.add(str(body["key"]), int(body["value"]))
    outputs = [_output("window", source, n, {"key": body["key"], "total": total, "end": "2026-01-01T00:00:00Z"})]
    if n % 5 == 0:
        outputs.append(_output("verdict", source, n, {"key": body["key"], "total": total}))
    if n % 20 == 0:
        outputs.append(_output("alert", source, n, {"id": f"{source}-{n}", "state": "firing", "total": total}))
    return state, outputs


def _output(kind: Any, source: str, n: int, body: dict[str, Any]) -> Output:
    return Output(
        kind=kind, model=source, id=f"{kind}-{source}-{n}", order=f"{n:09d}", revision=1, time_ms=n, body=body
    )


FOLD: Fold[ToyState] = Fold(empty=ToyState.empty, step=step, restore=ToyState.restore)


def entry(source: str, n: int, key: str, value: int) -> Command:
    body = {"source": source, "n": n, "key": key, "value": value}
    return Command(f"{source}-{n}", "retrain", n, "test", body)


def totals(entries: list[Command]) -> dict[str, int]:
    """The oracle: each numbered entry once."""
    seen: set[tuple[str, int]] = set()
    sums: dict[str, int] = {}
    for e in entries:
        place = (e.body["source"], e.body["n"])
        if place not in seen:
            seen.add(place)
            sums[e.body["key"]] = sums.get(e.body["key"], 0) + e.body["value"]
    return {k: v for k, v in sums.items() if v}
