"""The pieces of the fold's memory: what it keeps of sources, models, keys and units of event time.

Field order is the stored form: fields are added at the end, with a default.
"""

from __future__ import annotations

from sys import intern
from typing import Any, Final

import msgspec

from detectors.arrivals import feature_rows
from detectors.counts import Counts, merge
from stream_monitor.entries import PaneRecord, Source
from stream_monitor.packing import pack_counts, packed_rows, squeeze, unpack_counts
from stream_monitor.shelves import Kept, Shelf

Key = tuple[str, str, str]  # model, version, segment
PARTS: Final = 64  # of a pane that are not merged yet

ENCODER: Final = msgspec.msgpack.Encoder()  # keeps the order of dicts, which messages are made from


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
    marks: tuple[tuple[int, int | None], ...] = ()  # (`at`, watermark) of its last blocks that moved the watermark
    spoke_ms: int = 0  # `at` of its last block with records, or of its first one

    def mark_at(self, at_ms: int) -> int | None:
        """Its watermark as of `at_ms`, as far back as is remembered."""
        if self.at_ms <= at_ms:
            return self.watermark_ms
        return next((mark for at, mark in reversed(self.marks) if at <= at_ms), None)


class Counters(msgspec.Struct, array_like=True):
    """Totals since the beginning of the log."""

    events: dict[str, dict[str, int]] = {}
    dead_letters: dict[str, dict[str, int]] = {}
    late: dict[str, int] = {}
    late_after_idle: dict[str, int] = {}
    retrain_requests: dict[str, int] = {}
    duplicate_blocks: int = 0
    overlap_blocks: int = 0
    dropped_panes: int = 0  # of models that no configuration names, beyond those kept for one that may come
    offset_gaps: dict[str, dict[str, int]] = {}  # topic -> partition -> offsets without a record
    told: dict[str, dict[str, int]] = {}  # model -> what taps said of it beside its panes


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
    disused: list[str] = []  # references made here that nothing names any more, and that have not been withdrawn


class Configured(msgspec.Struct, array_like=True):
    """The configuration in force."""

    plain: dict[str, Any]
    layouts: dict[str, str]
    references: dict[str, str]
    topics: dict[str, list[str]] = {}  # model -> topics that its patterns stand for, as far as heard of
    id: str = ""
    before: list[str] = []  # ids of the last ones that were in force: taps may still send what they counted under them


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
    trace_ms: int = 0  # length of the panes in `traces`
    renewed_ms: int | None = None  # until where the last trailing reference reached, or was found too thin
    alarmed: list[tuple[int, int]] = []  # spans of event time in which alerts fired, as far as a reference may trail
    made: list[str] = []  # references among its own that this fold made: no entry of the log names them


class WindowState(msgspec.Struct, array_like=True):
    """A closed window that late events may still re-open."""

    end_ms: int
    revision: int


class SeriesState(msgspec.Struct, array_like=True):
    """A sequential detector's memory after all final windows, and the values of those that may still re-open."""

    state: dict[str, Any]
    tail: list[tuple[int, float | tuple[int, int]]]  # (start of the window or pane, value or (events, errors))
    reference: str = ""  # that the detector's limit was learnt from; "": it is stated


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


_STORED: Final = msgspec.msgpack.Decoder(_StoredPane)


class _Part:
    """Counts under one layout: one packed piece, or several that are not merged yet."""

    __slots__ = ("data", "layout", "rows")

    def __init__(self, layout: str, rows: int, data: bytes) -> None:
        self.layout, self.rows = layout, rows
        self.data: bytes | list[bytes] = data


class Pane:
    """Counts of one unit of event time of one key, by layout; merged when they are read.

    They are kept packed, in a fifth of the room: of the many panes of a state few are read at any time. A model has
    hundreds of them, so what stands around the counts is small, too: hardly any has a second layout. One that is put
    away is as it would be stored, on a shelf: it is read from there, and comes back for good when it is added to.
    """

    __slots__ = ("_covered", "_late", "_parts")

    def __init__(self) -> None:
        self._parts: tuple[_Part, ...] | Kept = ()  # by layout, in the order of their coming
        self._covered: tuple[tuple[str, int, int], ...] = ()
        self._late = 0

    def add(self, layout: str, counts: bytes) -> None:
        """Count packed counts in."""
        self.take_back()
        part, rows = self._under(layout), packed_rows(counts)
        if part is None:
            self._parts = (*self._all(), _Part(layout, rows, counts))
            return
        part.rows += rows
        if isinstance(part.data, bytes):
            part.data = [part.data]
        part.data.append(counts)
        if len(part.data) == PARTS:
            _merged(part)

    @property
    def rows(self) -> int:
        """Events counted in."""
        return sum(p.rows for p in self._all())

    @property
    def late(self) -> int:
        """Events of this time that came too late to be counted in."""
        return self._here()._late

    def add_late(self, rows: int) -> None:
        """So many more came too late."""
        self.take_back()
        self._late += rows

    def rows_under(self, layout: str) -> int:
        """Those under one layout."""
        part = self._under(layout)
        return 0 if part is None else part.rows

    def features_under(self, layout: str) -> int:
        """Events of a feature stream counted in under one layout."""
        part = self._under(layout)
        return 0 if part is None else feature_rows(_merged(part))

    @property
    def layouts(self) -> list[str]:
        """Ids of the layouts it has counts under, sorted."""
        return sorted(p.layout for p in self._all())

    @property
    def offsets(self) -> dict[str, tuple[int, int]]:
        """The offsets that had a part in it: "topic/partition" -> [from, to)."""
        return {place: (start, stop) for place, start, stop in self._here()._covered}

    def cover(self, place: str, start: int, stop: int) -> None:
        """Note that these offsets of a source had a part in it."""
        self.take_back()
        offsets = self.offsets
        low, high = offsets.get(place, (start, stop))
        offsets[place] = (min(low, start), max(high, stop))
        self._covered = tuple((p, a, b) for p, (a, b) in offsets.items())

    def counts(self) -> dict[str, Counts]:
        """Counts by layout id, sorted."""
        return {p.layout: _merged(p) for p in self._sorted()}

    def counts_under(self, layout: str) -> Counts | None:
        """Counts under one layout; None: there are none."""
        if isinstance(self._parts, Kept):
            data = _STORED.decode(self._parts.read()).layouts.get(layout)
            return None if data is None else unpack_counts(data)
        part = self._under(layout)
        return None if part is None else _merged(part)

    def _under(self, layout: str) -> _Part | None:
        return next((p for p in self._all() if p.layout == layout), None)

    def _sorted(self) -> list[_Part]:
        return sorted(self._all(), key=lambda p: p.layout)

    def _packed(self) -> dict[str, bytes]:
        found = {}
        for part in self._sorted():
            if not isinstance(part.data, bytes):
                _merged(part)
            assert isinstance(part.data, bytes)
            found[part.layout] = part.data = squeeze(part.data)
        return found

    def absorb(self, other: Pane) -> None:
        """Take in all that `other` holds."""
        for layout, counts in other._packed().items():
            self.add(layout, counts)
        for place, (start, stop) in other.offsets.items():
            self.cover(place, start, stop)
        self.add_late(other.late)

    def stored(self) -> bytes:
        """Bytes of it; equal panes have equal bytes."""
        if isinstance(self._parts, Kept):
            return self._parts.read()
        return ENCODER.encode(_StoredPane(self._packed(), self.offsets, self._late))

    @classmethod
    def restored(cls, data: bytes, shelf: Shelf | None = None) -> Pane:
        """The pane that was stored; put away on a shelf if there is one."""
        stored, pane = _STORED.decode(data), cls()
        if shelf is not None:
            pane._parts = shelf.keep(data)
            return pane
        for layout, counts in stored.layouts.items():
            pane.add(intern(layout), counts)
        for place, (start, stop) in stored.offsets.items():
            pane.cover(intern(place), start, stop)
        pane._late = stored.late
        return pane

    # on a shelf and back

    def put_away(self, shelf: Shelf) -> None:
        """Leave it on a shelf: it will seldom be read, and hardly ever be added to."""
        if not isinstance(self._parts, Kept):
            self._parts, self._covered, self._late = shelf.keep(self.stored()), (), 0

    def take_back(self) -> None:
        """Have it in memory again."""
        if isinstance(self._parts, Kept):
            here = self._here()
            self._parts, self._covered, self._late = here._parts, here._covered, here._late

    def _here(self) -> Pane:
        """Itself, or what it is on the shelf."""
        return Pane.restored(self._parts.read()) if isinstance(self._parts, Kept) else self

    def _all(self) -> tuple[_Part, ...]:
        parts = self._here()._parts
        assert not isinstance(parts, Kept)
        return parts


def _merged(part: _Part) -> Counts:
    if isinstance(part.data, bytes):
        return unpack_counts(part.data)
    merged = merge(map(unpack_counts, part.data))
    part.data = pack_counts(merged)
    return merged
