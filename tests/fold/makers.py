"""A log made by hand: events of one numeric column `x`, counted the slow way, cut into blocks as a test likes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from detectors.counts import Counts, float_to_limbs
from detectors.layouts import (
    CORRECT,
    FP,
    HEAD,
    LABELS,
    LIMBS,
    OUTCOME_CELLS,
    TP,
    Layout,
    NumericLayout,
)
from stream_monitor.config import Alerts, Config, Fields, Model, MonitorSpec, Time, WindowSpec
from stream_monitor.config import Reference as FromFile
from stream_monitor.config.plain import plain_config
from stream_monitor.entries import Bundle, Command, Entry, PaneRecord, Source
from stream_monitor.fold.fold import State, finish, step
from stream_monitor.judging.packed_references import pack_reference, reference_id
from stream_monitor.judging.references import Reference
from stream_monitor.outputs import Output
from stream_monitor.packing import pack_counts

SECOND = 1_000
LAYOUT = Layout(
    pane_ms=SECOND, features={"x": NumericLayout(edges=tuple(i / 10 for i in range(1, 10)))}, predictions={}
)
MODEL = Model(
    topic=("t",),
    task="binary",
    fields=Fields(time="ts", features="features", label="label"),
    reference=FromFile(file="given.csv"),  # so that none is learnt; tests may give one
    window=WindowSpec(size=10 * SECOND),
    min_rows=5,
    monitors=(MonitorSpec(metric="error_rate", threshold=0.5),),
    alerts=Alerts(for_=2, resolve_after=2, labels={"team": "risk"}, runbook="https://wiki/m"),
)
TIME = Time(out_of_orderness=0, idle_after=30 * SECOND, allowed_lateness=60 * SECOND)


class MemoryCatalog:
    """A catalog of one process."""

    def __init__(self) -> None:
        self.layouts: dict[str, Layout] = {}
        self.blobs: dict[str, bytes] = {}

    def layout(self, id: str) -> Layout:
        return self.layouts[id]

    def blob(self, id: str) -> bytes:
        return self.blobs[id]

    def add_layout(self, layout: Layout) -> str:
        self.layouts[layout.id] = layout
        return layout.id

    def add_blob(self, data: bytes) -> str:
        self.blobs[reference_id(data)] = data
        return reference_id(data)

    def forget_blob(self, id: str) -> None:
        self.blobs.pop(id, None)


@dataclass(frozen=True, kw_only=True)
class Event:
    """At `at` ms; `right`: whether the prediction was, None without a label."""

    at: int
    x: float | None = 0.5
    right: bool | None = None
    version: str = "1"
    segments: tuple[str, ...] = ()
    partition: int = 0


def counts(events: Sequence[Event], layout: Layout = LAYOUT) -> Counts:
    """Counts of events under LAYOUT."""
    dense = np.zeros(layout.size, np.int64)
    at = OUTCOME_CELLS
    column = layout.features["x"]
    assert isinstance(column, NumericLayout)
    valid = [e.x for e in events if e.x is not None]
    for e in events:
        if e.right is not None:
            dense[LABELS] += 1
            dense[CORRECT] += e.right
            dense[TP if e.right else FP] += 1
        if e.x is None:
            dense[at] += 1
        else:
            dense[at + HEAD + int(np.searchsorted(column.edges, e.x, side="right"))] += 1
    body = at + HEAD + column.bins
    dense[body : body + LIMBS] = float_to_limbs(valid)
    cells = np.flatnonzero(dense)
    return Counts(
        rows=len(events),
        cells=cells.astype(np.int32),
        values=dense[cells],
        low=np.array([min(valid, default=np.inf)]),
        high=np.array([max(valid, default=-np.inf)]),
    )


def panes(events: Iterable[Event], offsets: Mapping[int, int], layout: Layout = LAYOUT) -> tuple[PaneRecord, ...]:
    """Pane records of model `m`; `offsets` by position in `events`."""
    groups: dict[tuple[str, str, int], list[tuple[Event, int]]] = {}
    for i, e in enumerate(events):
        for segment in ("all", *e.segments):
            start = e.at // layout.pane_ms * layout.pane_ms
            groups.setdefault((e.version, segment, start), []).append((e, offsets[i]))
    return tuple(
        PaneRecord(
            "m",
            version,
            segment,
            start,
            layout.id,
            (min(o for _, o in of), max(o for _, o in of) + 1),
            0,
            pack_counts(counts([e for e, _ in of], layout)),
        )
        for (version, segment, start), of in sorted(groups.items())
    )


@dataclass(kw_only=True)
class Tap:
    """Makes the bundles of one source partition, as a tap would."""

    partition: int = 0
    partitions: int = 1
    topic: str = "t"
    epoch: int = 1
    n: int = 0
    to: int = 0
    mark: int | None = None
    clock: int = 0

    def block(self, events: Sequence[Event] = (), *, at: int | None = None, idle: bool = False, **more: Any) -> Bundle:
        """The next block. `at` (wall time) is the greatest event time so far unless given."""
        self.n += 1
        from_, self.to = self.to, self.to + len(events)
        times = [e.at for e in events]
        self.mark = max([*times, *([self.mark] if self.mark is not None else [])], default=None)
        self.clock = max(self.clock, at if at is not None else (self.mark or 0))
        return Bundle(
            source=Source(self.topic, "id", self.partition, self.epoch),
            n=self.n,
            from_=from_,
            to=self.to,
            part=0,
            parts=1,
            watermark_ms=self.mark,
            idle=idle,
            partitions=self.partitions,
            config="c",
            at_ms=self.clock,
            panes=panes(events, {i: from_ + i for i in range(len(events))}),
            dead={},
            **more,
        )


@dataclass(kw_only=True)
class Run:
    """A fold under way: feed it entries, look at what it put out."""

    model: Model = MODEL
    time: Time = TIME
    reference: Reference | None = None
    catalog: MemoryCatalog = field(default_factory=MemoryCatalog)
    state: State = field(default_factory=lambda: State.empty(0, 1))
    outputs: list[Output] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.catalog.add_layout(LAYOUT)
        self.feed(self.config())

    def config(self) -> Command:
        """The command that configures model `m`."""
        blob = self.catalog.add_blob(pack_reference(self.reference)) if self.reference is not None else None
        body = {
            "config": plain_config(Config(models={"m": self.model}, time=self.time)),
            "layouts": {"m": LAYOUT.id},
            "references": {"m": blob} if blob else {},
        }
        return Command("config", "config", 0, "worker", body)

    def feed(self, *entries: Entry) -> list[Output]:
        """Fold them; what they put out."""
        made: list[Output] = []
        for entry in entries:
            self.state, outputs = step(self.state, entry, self.catalog)
            made += outputs
        self.outputs += made
        return made

    def end(self) -> list[Output]:
        made = finish(self.state, self.catalog)
        self.outputs += made
        return made

    def command(self, kind: Any, body: dict[str, Any], *, at: int = 0, by: str = "ann") -> list[Output]:
        return self.feed(Command(f"{kind}{len(self.outputs)}", kind, at, by, body))


def bodies(outputs: Iterable[Output], kind: str) -> list[dict[str, Any]]:
    """Bodies of one kind of output, in order."""
    return [o.body for o in outputs if o.kind == kind]


def seconds(text: str) -> int:
    """Seconds since 1970 of an RFC 3339 text, for times that read well in a test."""
    from datetime import datetime

    return int(datetime.fromisoformat(text).timestamp())


def spans(outputs: Iterable[Output], segment: str = "all") -> list[tuple[int, int, int, int]]:
    """(start, end, revision, rows) of the windows put out, in seconds."""
    return [
        (seconds(w["start"]), seconds(w["end"]), w["revision"], w["rows"])
        for w in bodies(outputs, "window")
        if w["segment"] == segment
    ]


def steady(model: Model = MODEL, **changes: Any) -> Model:
    """The model with some fields changed."""
    return replace(model, **changes)
