"""A fold that is small enough to be understood at a glance, with the same demands as the real one.

It adds up numbers by key. Every entry is a block: it names its source, its number and its offsets; a repeated one is
dropped, a gap or an overlap stops the partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from stream_monitor.entries import Command, Entry
from stream_monitor.interfaces import Catalog
from stream_monitor.outputs import Output
from stream_monitor.worker.owners import Fold
from stream_monitor.worker.segments import Records


class Head(msgspec.Struct):
    applied: dict[str, tuple[int, int]] = {}  # source -> (n, to)
    entries: int = 0
    duplicates: int = 0
    stopped: str = ""


class ToyState:
    def __init__(self, head: Head, totals: dict[str, int]) -> None:
        self.head_state = head
        self.totals = totals
        self.disused: Sequence[str] = ()
        self._touched: set[str] = set()

    @classmethod
    def empty(cls, partition: int, partitions: int) -> ToyState:
        return cls(Head(), {})

    @property
    def stopped(self) -> str:
        return self.head_state.stopped

    def head(self) -> bytes:
        return msgspec.msgpack.encode(self.head_state)

    def all_records(self) -> dict[bytes, bytes]:
        return self.records()

    def records(self) -> dict[bytes, bytes]:
        return {key.encode(): msgspec.msgpack.encode(total) for key, total in self.totals.items()}

    def changed(self) -> dict[bytes, bytes | None]:
        gone = {key.encode(): None for key in self._touched if key not in self.totals}
        kept = {k: v for k, v in self.records().items() if k.decode() in self._touched}
        return {**gone, **kept}

    def mark(self) -> None:
        self._touched.clear()

    def withdrawn(self, ids: Sequence[str]) -> None:
        self.disused = tuple(id for id in self.disused if id not in ids)

    @classmethod
    def restore(cls, head: bytes, records: Records, catalog: Catalog) -> ToyState:
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
    source, n, start, to = str(body["source"]), int(body["n"]), int(body["from"]), int(body["to"])
    applied = head.applied.get(source, (0, 0))
    if n <= applied[0]:
        head.duplicates += 1
        return state, []
    if (n, start) != (applied[0] + 1, applied[1]):
        head.stopped = f"{source}: block {n} from {start} after block {applied[0]} to {applied[1]}"
        return state, []
    head.applied[source] = (n, to)
    total = sum(state.add(key, value) for key, value in body["adds"].items())
    outputs = [_output("window", source, n, {"total": total, "end": "2026-01-01T00:00:00Z"})]
    if n % 5 == 0:
        outputs.append(_output("verdict", source, n, {"total": total}))
    if n % 20 == 0:
        outputs.append(_output("alert", source, n, {"id": f"{source}-{n}", "state": "firing", "total": total}))
    return state, outputs


def _output(kind: Any, source: str, n: int, body: dict[str, Any]) -> Output:
    return Output(
        kind=kind, model=source, id=f"{kind}-{source}-{n}", order=f"{n:09d}", revision=1, time_ms=n, body=body
    )


FOLD: Fold[ToyState] = Fold(empty=ToyState.empty, step=step, restore=ToyState.restore)


def block(source: str, n: int, start: int, to: int, adds: Mapping[str, int]) -> Command:
    """Block n of a source, with the sums of its events by key."""
    body = {"source": source, "n": n, "from": start, "to": to, "adds": dict(adds)}
    return Command(f"{source}-{n}", "retrain", n, "test", body)


def entry(source: str, n: int, key: str, value: int) -> Command:
    """The block of the n-th event of a source, alone."""
    return block(source, n, n - 1, n, {key: value})


def totals(entries: Iterable[Command]) -> dict[str, int]:
    """The oracle: each block once."""
    seen: set[tuple[str, int]] = set()
    sums: dict[str, int] = {}
    for e in entries:
        place = (e.body["source"], e.body["n"])
        if place not in seen:
            seen.add(place)
            for key, value in e.body["adds"].items():
                sums[key] = sums.get(key, 0) + value
    return {k: v for k, v in sums.items() if v}
