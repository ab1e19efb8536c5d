"""What the fold remembers: one partition of the panes topic, as records that can be checkpointed one by one.

    head                                   sources and how far each was applied, counters
    record c                               the configuration, as the last config command gave it
    record m  model                        layout, references, watermark, requests, silences
    record k  model, version, segment      windows that may re-open, detectors, alerts
    record p  model, version, segment, t   counts of one unit of event time (the longest time that divides every window)
    record l  model, version, segment, t   panes being gathered for a reference
    record b  topic, partition, part       parts of a bundle whose other parts are not there yet
    record e  i                            panes of a model that no config command has named yet

Why units and not the tap's panes: a week of 1 s panes is 600,000 records a key, and no window can tell the difference.
Everything else in memory (thresholds, sums of sliding windows) is derived from these records and from the catalog.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from detectors.counts import Counts, merge
from stream_monitor.config import Config, Model
from stream_monitor.config_plain import config_from_plain
from stream_monitor.entries import Bundle, PaneRecord, Source, pack, pack_counts, unpack, unpack_counts
from stream_monitor.interfaces import Catalog

Key = tuple[str, str, str]  # model, version, segment

_ENCODER: Final = msgspec.msgpack.Encoder()  # keeps the order of dicts, which messages are made from


class SourceState(msgspec.Struct, array_like=True):
    """A source partition as the log last told of it; `n` and `to` are the last applied block's."""

    source: Source
    n: int
    to: int
    watermark_ms: int | None
    idle: bool
    partitions: int
    at_ms: int
    active_ms: int  # `at` of its last block that was not idle


class Counters(msgspec.Struct, array_like=True):
    """Totals since the beginning of the log."""

    events: dict[str, dict[str, int]] = {}
    dead_letters: dict[str, dict[str, int]] = {}
    late: dict[str, int] = {}
    late_after_idle: dict[str, int] = {}
    retrain_requests: dict[str, int] = {}
    duplicate_blocks: int = 0
    overlap_blocks: int = 0


class Head(msgspec.Struct, array_like=True):
    """The small part of the state, written with every checkpoint."""

    partition: int
    partitions: int
    entries: int = 0  # folded so far; revision of the counters document
    now_ms: int = 0  # the greatest `at` so far
    stopped: str = ""  # why this partition can go no further: an overlap or a gap of blocks
    sources: dict[str, SourceState] = {}  # "topic/partition"
    counters: Counters = msgspec.field(default_factory=Counters)
    counters_second: int = -1  # the second of `now_ms` in which the counters were last put out


class Configured(msgspec.Struct, array_like=True):
    """The configuration in force."""

    plain: dict[str, Any]
    layouts: dict[str, str]
    references: dict[str, str]


class Run(msgspec.Struct, array_like=True):
    """How long a (monitor, column) has been DRIFT without a break; UNKNOWN windows neither count nor break."""

    windows: int
    since_ms: int  # start of the first of them


class GroupState(msgspec.Struct, array_like=True):
    """Where a monitor group of a key stands."""

    level: int = -1
    ok_windows: int = 0  # consecutive known windows that were OK
    runs: dict[str, Run] = {}  # "monitor|column", those that are DRIFT
    alert: dict[str, Any] = {}  # the alert that is not resolved; {}: none
    alert_ok: int = 0  # consecutive windows in which everything the alert is about was OK
    about: list[str] = []  # "monitor|column" that were DRIFT since the alert began
    worst: list[dict[str, Any]] = []
    onset_ms: int = 0  # start of the first DRIFT window of the alert
    offsets: dict[str, tuple[int, int]] = {}  # "topic/partition" -> [from, to) of the version's events since then


class VersionState(msgspec.Struct, array_like=True):
    """A version of a model, for all segments together. Times are starts of units with events."""

    first_ms: int
    last_ms: int


class Silence(msgspec.Struct, array_like=True):
    """Alerts whose labels match every matcher are not delivered before `until_ms`."""

    id: str
    matchers: dict[str, str]
    until_ms: int
    comment: str
    by: str


class ModelState(msgspec.Struct, array_like=True):
    """What is known of a model apart from its keys."""

    layout: str = ""  # "" before there is one
    reference: str = ""  # of the model; "" while it is being learnt
    reference_facts: dict[str, Any] = {}  # what the model's document says of its reference
    references: dict[str, str] = {}  # version -> reference promoted for it
    watermark_ms: int | None = None
    closed_end_ms: int | None = None  # end of the last window closed, of any key
    raw_until_ms: int | None = None  # end of the last pane with events counted under the raw layout
    learning_pane_ms: int = 0  # length of the panes gathered; grows with their number
    versions: dict[str, VersionState] = {}
    silences: list[Silence] = []
    commands: list[str] = []  # ids of the last commands, so that one sent twice acts once
    requested_ms: int | None = None  # event time of the last retrain request
    trained_ms: int | None = None  # event time of the last promotion, or of the first events
    answered: list[str] = []  # alerts that a retrain request was made for
    waiting: str = ""  # why a wanted retrain request has not been made yet
    stream: GroupState = msgspec.field(default_factory=GroupState)  # the alert about its sources
    note: str = ""  # why the last command did nothing
    documents: int = 0  # revision of the model document


class WindowState(msgspec.Struct, array_like=True):
    """A closed window that late events may still re-open."""

    end_ms: int
    revision: int


class SeriesState(msgspec.Struct, array_like=True):
    """A sequential detector's memory after all final windows, and the values of those that may still re-open."""

    state: dict[str, Any]
    tail: list[tuple[int, float]]  # (start of the window, value)


class KeyState(msgspec.Struct, array_like=True):
    """One model, version and segment."""

    first_ms: int | None = None  # start of the first window
    begin_ms: int | None = None  # no window begins before: the configuration's windows were others
    closed_ms: int | None = None  # start of the last window closed
    next_ms: int | None = None  # start of the next window to close; None: asleep until events come
    empties: int = 0  # consecutive closed windows without events
    windows: dict[int, WindowState] = {}
    series: dict[str, SeriesState] = {}
    groups: dict[str, GroupState] = {}
    starts: list[int] = []  # of the last few windows
    last: dict[str, Any] = {}  # summary of the last window
    values: list[tuple[str, str, float]] = []  # (metric, column, value) of the last window


class Early(msgspec.Struct, array_like=True):
    """A pane that came before the configuration of its model."""

    source: Source
    record: PaneRecord


class _StoredPane(msgspec.Struct, array_like=True):
    layouts: dict[str, bytes]
    offsets: dict[str, tuple[int, int]]
    late: int


class Pane:
    """Counts of one unit of event time of one key, by layout; merged when they are read."""

    __slots__ = ("_parts", "late", "offsets")

    def __init__(self) -> None:
        self._parts: dict[str, list[Counts]] = {}
        self.offsets: dict[str, tuple[int, int]] = {}  # "topic/partition" -> [from, to)
        self.late = 0

    def add(self, layout: str, counts: Counts) -> None:
        """Count `counts` in."""
        parts = self._parts.setdefault(layout, [])
        parts.append(counts)
        if len(parts) == 64:
            self._parts[layout] = [merge(parts)]

    @property
    def rows(self) -> int:
        """Events counted in."""
        return sum(c.rows for parts in self._parts.values() for c in parts)

    def rows_under(self, layout: str) -> int:
        """Those under one layout."""
        return sum(c.rows for c in self._parts.get(layout, ()))

    @property
    def layouts(self) -> list[str]:
        """Ids of the layouts it has counts under, sorted."""
        return sorted(self._parts)

    def cover(self, place: str, start: int, stop: int) -> None:
        """Note that these offsets of a source had a part in it."""
        low, high = self.offsets.get(place, (start, stop))
        self.offsets[place] = (min(low, start), max(high, stop))

    def counts(self) -> dict[str, Counts]:
        """Counts by layout id, sorted."""
        for layout, parts in self._parts.items():
            if len(parts) > 1:
                self._parts[layout] = [merge(parts)]
        return {layout: self._parts[layout][0] for layout in sorted(self._parts)}

    def absorb(self, other: Pane) -> None:
        """Take in all that `other` holds."""
        for layout, counts in other.counts().items():
            self.add(layout, counts)
        for place, (start, stop) in other.offsets.items():
            self.cover(place, start, stop)
        self.late += other.late

    def stored(self) -> bytes:
        """Bytes of it; equal panes have equal bytes."""
        return _ENCODER.encode(
            _StoredPane({i: pack_counts(c) for i, c in self.counts().items()}, self.offsets, self.late)
        )

    @classmethod
    def restored(cls, data: bytes) -> Pane:
        """The pane that was stored."""
        stored = msgspec.msgpack.decode(data, type=_StoredPane)
        pane = cls()
        pane._parts = {i: [unpack_counts(c)] for i, c in stored.layouts.items()}
        pane.offsets = dict(stored.offsets)
        pane.late = stored.late
        return pane


class State:
    """State of one worker partition. `step` changes it in place and gives it back: keep no second name for it."""

    def __init__(self, head: Head) -> None:
        self.head_state = head
        self.configured: Configured | None = None
        self.config: Config | None = None
        self.models: dict[str, ModelState] = {}
        self.keys: dict[Key, KeyState] = {}
        self.panes: dict[Key, dict[int, Pane]] = {}
        self.gathered: dict[Key, dict[int, Pane]] = {}
        self.parts: dict[tuple[str, int], dict[int, Bundle]] = {}
        self.early: dict[int, Early] = {}
        self.derived: dict[Any, Any] = {}  # recomputable; never stored
        self._touched: set[bytes] = set()

    @classmethod
    def empty(cls, partition: int, partitions: int) -> State:
        """The state before the first entry of worker partition `partition` of `partitions`."""
        return cls(Head(partition=partition, partitions=partitions))

    @property
    def stopped(self) -> str:
        """Why this partition must stop, or "": publish the outputs, then raise StateError; later steps do nothing."""
        return self.head_state.stopped

    def model(self, name: str) -> Model:
        """The configuration of a model that is configured."""
        assert self.config is not None
        return self.config.models[name]

    # what changed

    def touch(self, kind: str, *parts: str | int) -> None:
        """Note that the record of this name was changed, made or deleted."""
        self._touched.add(record_key(kind, *parts))

    def mark(self) -> None:
        """Begin anew to note what changes."""
        self._touched.clear()

    def changed(self) -> dict[bytes, bytes | None]:
        """Records that changed since `mark`, or since this state was made; None for those that are gone."""
        return {key: self._record(key) for key in sorted(self._touched)}

    # to bytes and back

    def head(self) -> bytes:
        """The head: small, and needed with any set of records."""
        return _ENCODER.encode(self.head_state)

    def records(self) -> dict[bytes, bytes]:
        """All records."""
        names = [record_key("c")] if self.configured is not None else []
        names += [record_key("m", m) for m in self.models]
        names += [record_key("k", *k) for k in self.keys]
        names += [record_key("p", *k, t) for k, panes in self.panes.items() for t in panes]
        names += [record_key("l", *k, t) for k, panes in self.gathered.items() for t in panes]
        names += [record_key("b", *s, i) for s, parts in self.parts.items() for i in parts]
        names += [record_key("e", i) for i in self.early]
        return {name: data for name in sorted(names) if (data := self._record(name)) is not None}

    def _record(self, name: bytes) -> bytes | None:
        kind, *parts = msgspec.msgpack.decode(name)
        if kind in ("p", "l"):
            panes = (self.panes if kind == "p" else self.gathered).get((parts[0], parts[1], parts[2]), {})
            pane = panes.get(parts[3])
            return None if pane is None else pane.stored()
        if kind == "b":
            part = self.parts.get((parts[0], parts[1]), {}).get(parts[2])
            return None if part is None else pack(part)
        found: Any
        if kind == "c":
            found = self.configured
        elif kind == "m":
            found = self.models.get(parts[0])
        elif kind == "e":
            found = self.early.get(parts[0])
        else:
            found = self.keys.get((parts[0], parts[1], parts[2]))
        return None if found is None else _ENCODER.encode(found)

    @classmethod
    def restore(cls, head: bytes, records: Mapping[bytes, bytes], catalog: Catalog) -> State:
        """The state whose `head` and `records` these are: it goes on exactly as that one would.

        KeyError from the catalog, if it lacks a layout or a reference that the state names.
        """
        decode = msgspec.msgpack.decode
        state = cls(decode(head, type=Head))
        for name in sorted(records):
            data = records[name]
            kind, *parts = decode(name)
            if kind == "c":
                state.configured = decode(data, type=Configured)
                state.config = config_from_plain(state.configured.plain)
            elif kind == "m":
                state.models[parts[0]] = decode(data, type=ModelState)
            elif kind == "k":
                state.keys[parts[0], parts[1], parts[2]] = decode(data, type=KeyState)
            elif kind == "p":
                state.panes.setdefault((parts[0], parts[1], parts[2]), {})[parts[3]] = Pane.restored(data)
            elif kind == "e":
                state.early[parts[0]] = decode(data, type=Early)
            elif kind == "l":
                state.gathered.setdefault((parts[0], parts[1], parts[2]), {})[parts[3]] = Pane.restored(data)
            else:
                part = unpack(data)
                assert isinstance(part, Bundle)
                state.parts.setdefault((parts[0], parts[1]), {})[parts[2]] = part
        for model in state.models.values():
            if model.layout:
                catalog.layout(model.layout)
            for reference in (model.reference, *model.references.values()):
                if reference:
                    catalog.blob(reference)
        return state


def record_key(kind: str, *parts: str | int) -> bytes:
    """Name of a record."""
    return _ENCODER.encode((kind, *parts))
