"""What the fold remembers: one partition of the panes topic, as records that can be checkpointed one by one.

    head                                   sources and how far each was applied, counters
    record c                               the configuration, as the last config command gave it
    record m  model                        layout, references, watermark, requests, silences
    record k  model, version, segment      windows that may re-open, detectors, alerts
    record p  model, version, segment, t   counts of one unit of event time (the longest time that divides every window)
    record f  model, version, segment, t   the last panes, as fine as the scan looks at them
    record l  model, version, segment, t   panes being gathered for a reference
    record b  topic, partition, part       parts of a bundle whose other parts are not there yet
    record e  i                            panes of a model that no config command has named yet

Why units and not the tap's panes: a week of 1 s panes is 600,000 records a key, and no window can tell the difference.
Everything else in memory (thresholds, sums of sliding windows) is derived from these records and from the catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec

from stream_monitor.config import Config, Model
from stream_monitor.config.plain import config_from_plain
from stream_monitor.entries import Bundle, pack, unpack
from stream_monitor.interfaces import Catalog
from stream_monitor.shelves import Shelf
from stream_monitor.state.memories import ENCODER, Configured, Early, Head, Key, KeyState, ModelState, Pane

_PANES: Final = {"p": "panes", "f": "traces", "l": "gathered"}  # kinds of records that are panes


class State:
    """State of one worker partition. `step` changes it in place and gives it back: keep no second name for it."""

    def __init__(self, head: Head) -> None:
        self.head_state = head
        self.configured: Configured | None = None
        self.config: Config | None = None
        self.models: dict[str, ModelState] = {}
        self.keys: dict[Key, KeyState] = {}
        self.panes: dict[Key, dict[int, Pane]] = {}
        self.traces: dict[Key, dict[int, Pane]] = {}
        self.gathered: dict[Key, dict[int, Pane]] = {}
        self.parts: dict[tuple[str, int], dict[int, Bundle]] = {}
        self.early: dict[int, Early] = {}
        self.derived: dict[Any, Any] = {}  # recomputable; never stored
        self.ended = False  # files that are replayed are at their ends
        self.shelf = Shelf(block=1024, small=256)  # for panes of some kB that are seldom read
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

    # references that are needed no more

    @property
    def disused(self) -> tuple[str, ...]:
        """Ids of references that the state named once and, from the entry folded last on, names no more."""
        return tuple(self.head_state.disused)

    def disuse(self, name: str) -> None:
        """Note which of the references that the fold made for a model have been replaced.

        Why only those: an entry of the log names any other, and whoever folds the log again asks for it.
        """
        known = self.models[name]
        named = {known.reference, *known.references.values()}
        self.head_state.disused += [id for id in known.made if id not in named]
        known.made = [id for id in known.made if id in named]

    def withdrawn(self, ids: Iterable[str]) -> None:
        """These are gone from where references are kept. No output depends on whether or when this is called."""
        gone = set(ids)
        self.head_state.disused = [id for id in self.head_state.disused if id not in gone]

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
        return ENCODER.encode(self.head_state)

    def records(self) -> dict[bytes, bytes]:
        """All records."""
        return dict(self.all_records().items())

    def all_records(self) -> Records:
        """All records, made when they are asked for: the state must not go on meanwhile."""
        names = [record_key("c")] if self.configured is not None else []
        names += [record_key("m", m) for m in self.models]
        names += [record_key("k", *k) for k in self.keys]
        names += [record_key("p", *k, t) for k, panes in self.panes.items() for t in panes]
        names += [record_key("f", *k, t) for k, panes in self.traces.items() for t in panes]
        names += [record_key("l", *k, t) for k, panes in self.gathered.items() for t in panes]
        names += [record_key("b", *s, i) for s, parts in self.parts.items() for i in parts]
        names += [record_key("e", i) for i in self.early]
        return Records(sorted(names), self._record)

    def put_away(self, key: Key, units: Iterable[int]) -> None:
        """Leave these units on the shelf; not while a layout is learnt from all of them, over and over."""
        if self._is_counted(key[0]):
            for unit in units:
                self.panes[key][unit].put_away(self.shelf)

    def _is_counted(self, name: str) -> bool:
        """Whether there is a layout for a model, so that few of its units are read."""
        return name in self.models and bool(self.models[name].layout)

    def _is_learnt(self, name: str) -> bool:
        """Whether there is a reference, so that what is gathered waits for one that trails."""
        return name in self.models and bool(self.models[name].reference)

    def _record(self, name: bytes) -> bytes | None:
        kind, *parts = msgspec.msgpack.decode(name)
        if kind in _PANES:
            of: dict[Key, dict[int, Pane]] = getattr(self, _PANES[kind])
            pane = of.get((parts[0], parts[1], parts[2]), {}).get(parts[3])
            # What changed last is added to a little longer, and comes back for that; the others are read once a window.
            if pane is not None and (kind == "f" or (kind == "l" and self._is_learnt(parts[0]))):
                pane.put_away(self.shelf)
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
        return None if found is None else ENCODER.encode(found)

    @classmethod
    def restore(cls, head: bytes, records: Restorable, catalog: Catalog) -> State:
        """The state whose `head` and `records` these are: it goes on exactly as that one would.

        Panes are put away as they come, those of windows too: of a state that is on its shelf no more than the rest is
        ever in memory. KeyError from the catalog, if it lacks a layout or a reference that the state names.
        """
        decode = msgspec.msgpack.decode
        state = cls(decode(head, type=Head))
        for name, data in records.items():
            kind, *parts = decode(name)
            if kind == "c":
                state.configured = decode(data, type=Configured)
                state.config = config_from_plain(state.configured.plain)
            elif kind == "m":
                state.models[parts[0]] = decode(data, type=ModelState)
            elif kind == "k":
                state.keys[parts[0], parts[1], parts[2]] = decode(data, type=KeyState)
            elif kind in _PANES:
                of: dict[Key, dict[int, Pane]] = getattr(state, _PANES[kind])
                pane = Pane.restored(data, state.shelf)
                of.setdefault((parts[0], parts[1], parts[2]), {})[parts[3]] = pane
            elif kind == "e":
                state.early[parts[0]] = decode(data, type=Early)
            else:
                part = unpack(data)
                assert isinstance(part, Bundle)
                state.parts.setdefault((parts[0], parts[1]), {})[parts[2]] = part
        for kept in (
            state.models,
            state.keys,
            state.early,
            state.parts,
            *(getattr(state, of) for of in _PANES.values()),
        ):
            _sort(kept)
        often = [p for k, p in state.panes.items() if not state._is_counted(k[0])]
        often += [p for k, p in state.gathered.items() if not state._is_learnt(k[0])]
        for pane in (pane for panes in often for pane in panes.values()):
            pane.take_back()
        for model in state.models.values():
            if model.layout:
                catalog.layout(model.layout)
            for reference in (model.reference, *model.references.values()):
                if reference:
                    catalog.blob(reference)
        return state


class Records:
    """Records by name, each made when it is asked for."""

    def __init__(self, names: Sequence[bytes], read: Callable[[bytes], bytes | None]) -> None:
        self._names, self._read = names, read

    def __len__(self) -> int:
        return len(self._names)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Name and record, sorted."""
        for name in self._names:
            data = self._read(name)
            assert data is not None  # of those that are there
            yield name, data


class Restorable(Protocol):
    """What a state is restored from: a dict, or what reads it bit by bit."""

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """Name and record, in any order."""


def _sort(kept: dict[Any, Any]) -> None:
    """By key: in which order records came says nothing."""
    pairs = sorted(kept.items(), key=lambda pair: pair[0])
    kept.clear()
    kept.update(pairs)


def record_key(kind: str, *parts: str | int) -> bytes:
    """Name of a record."""
    return ENCODER.encode((kind, *parts))
