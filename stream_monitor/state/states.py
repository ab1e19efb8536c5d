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

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from stream_monitor.config import Config, Model
from stream_monitor.config.plain import config_from_plain
from stream_monitor.entries import Bundle, pack, unpack
from stream_monitor.interfaces import Catalog
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
        names = [record_key("c")] if self.configured is not None else []
        names += [record_key("m", m) for m in self.models]
        names += [record_key("k", *k) for k in self.keys]
        names += [record_key("p", *k, t) for k, panes in self.panes.items() for t in panes]
        names += [record_key("f", *k, t) for k, panes in self.traces.items() for t in panes]
        names += [record_key("l", *k, t) for k, panes in self.gathered.items() for t in panes]
        names += [record_key("b", *s, i) for s, parts in self.parts.items() for i in parts]
        names += [record_key("e", i) for i in self.early]
        return {name: data for name in sorted(names) if (data := self._record(name)) is not None}

    def _record(self, name: bytes) -> bytes | None:
        kind, *parts = msgspec.msgpack.decode(name)
        if kind in _PANES:
            of: dict[Key, dict[int, Pane]] = getattr(self, _PANES[kind])
            pane = of.get((parts[0], parts[1], parts[2]), {}).get(parts[3])
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
            elif kind in _PANES:
                of: dict[Key, dict[int, Pane]] = getattr(state, _PANES[kind])
                of.setdefault((parts[0], parts[1], parts[2]), {})[parts[3]] = Pane.restored(data)
            elif kind == "e":
                state.early[parts[0]] = decode(data, type=Early)
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
    return ENCODER.encode((kind, *parts))
