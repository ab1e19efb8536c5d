"""Which values of a JSON event a plan needs, as the slots and keys that the compiled walk fills and follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from detectors.layouts import CategoricalLayout, Layout
from stream_monitor.counting.batches import Mode
from stream_monitor.counting.plans import Path, Plan
from stream_monitor.formats.found import CODES, ITEMS, LENGTHS, NUMBERS, SPANS, TEXTS, TIMES, VECTORS
from stream_monitor.formats.interning import add, string, strings
from stream_monitor.formats.walking import CHILD, FACTS, NEXT, SLOT, Keys

LEARNT: Final = 1024  # keys that no plan needs, but that are remembered to be passed quickly
SPARE: Final = 64  # slots for features that no layout knows yet

WANTS: Final[dict[Mode, int]] = {
    "numeric": NUMBERS,
    "categorical": CODES,
    "raw": NUMBERS | TEXTS,
    "text": LENGTHS,
}
_DERIVED: Final[dict[str, int]] = {"embedding": VECTORS, "list": ITEMS}  # of others the values themselves
ROLES: Final = ("id", "time", "version", "prediction", "score", "label", "latency_ms")


class Needs:
    """Slots by path; `wants` grows with the features that an open object turns out to have.

    `embeddings` are the slots of those, `scores` is that of scores of classes, if the walk reads lists (`lists`).
    `whole` are the slots whose values are wanted as they are, whatever they are.
    """

    def __init__(self, plan: Plan, layout: Layout | None, *, lists: bool = False) -> None:
        self.embeddings: list[int] = []
        self.scores: int | None = None
        self.whole: set[int] = set()
        self._lists = lists
        self.wants: list[int] = []
        self.slots: dict[Path, int] = {}
        self._nodes: dict[Path, int] = {(): 0}
        self.modes = plan.modes(layout)
        model = plan.model
        features = plan.features
        self.at: Path | None = tuple(features.split(".")) if isinstance(features, str) else None
        self.open = self.at is not None and layout is None
        for role in ROLES:
            if path := getattr(model.fields, role):
                self._role(role, tuple(path.split(".")), plan, layout)
        for dimension in model.segments:
            self._add(tuple(dimension.split(".")), CODES)
            if self.at is not None:
                self._add((*self.at, dimension), CODES)
        if self.at is not None:
            self._add(self.at, 0)
            self._node(self.at)
        for name, mode in self.modes.items():
            self._add(self.feature_path(name), WANTS.get(mode, SPANS))
        self.wanted = plan.wanted(layout)
        for name in self.wanted:
            of = plan.model.columns[name]
            slot = self._add(self.feature_path(name), _DERIVED.get(of, SPANS) if lists else SPANS)
            if lists and of == "embedding":
                self.embeddings.append(slot)
        self.unnamed = frozenset(plan.derived.values()) - self.modes.keys()  # not counted themselves
        if self.open:
            assert self.at is not None
            for path in [p for p in (*self.slots, *self._nodes) if p[:-1] == self.at and p]:
                self._add(path, 0 if path[-1] in self.modes else WANTS["raw"])

    def _role(self, role: str, path: Path, plan: Plan, layout: Layout | None) -> None:
        model = plan.model
        words = layout is not None and isinstance(layout.predictions.get(role), CategoricalLayout)
        if role == "id":
            self._add(path, SPANS if plan.keeps_ids else 0)
        elif role == "score" and model.task == "multiclass":
            slot = self._add(path, SPANS if words or not self._lists else 0)
            if self._lists:  # of objects alone the values themselves
                self.wants[slot] |= SPANS | VECTORS | NUMBERS
                self.scores = slot
        elif role in ("prediction", "score", "label"):
            self._add(path, WANTS["raw"] | (CODES if words else 0))  # codes of numbers cost more than all else
        else:
            self._add(path, {"time": TIMES, "version": CODES, "latency_ms": NUMBERS}[role])

    def feature_path(self, name: str) -> Path:
        """Where a feature is: at a key of the feature object, or at a path."""
        return (*self.at, name) if self.at is not None else tuple(name.split("."))

    def feature(self, name: str) -> int:
        """The slot of a feature of an open object, a new one if nobody knew of it."""
        path = self.feature_path(name)
        if path not in self.slots:
            self._add(path, 0 if name in self.unnamed else WANTS["raw"])
        return self.slots[path]

    def reaches(self, path: Path) -> bool:
        """Whether the value at a path is wanted, or one below it."""
        return path in self.slots or path in self._nodes

    def members(self, path: Path) -> dict[str, Path]:
        """The keys of an object at `path` that are wanted -> their paths."""
        depth = len(path)
        return {p[depth]: p for p in {*self.slots, *self._nodes} if len(p) == depth + 1 and p[:depth] == path}

    def _add(self, path: Path, want: int) -> int:
        if path not in self.slots:
            self.slots[path] = len(self.wants)
            self.wants.append(0)
            self._node(path[:-1])
        slot = self.slots[path]
        self.wants[slot] |= want
        if want & SPANS:
            self.whole.add(slot)
        return slot

    def _node(self, path: Path) -> None:
        for depth in range(1, len(path) + 1):
            self._nodes.setdefault(path[:depth], len(self._nodes))

    def keys(self) -> Keys:
        """The keys to follow, with nothing learnt yet. UnicodeEncodeError if one cannot stand in a message."""
        nodes = len(self._nodes)
        paths: Sequence[Path] = sorted({*self.slots, *self._nodes} - {()})
        size = 1 << (2 * nodes + len(paths) + LEARNT).bit_length()
        names = strings(size, 64 * size + sum(len(p[-1].encode()) for p in paths))
        keys = Keys(
            names=names,
            facts=np.zeros((size, FACTS), np.int64),
            open=np.array([self.open and path == self.at for path in self._nodes], np.bool_),
            serial=np.array([0, len(self.wants)], np.int64),
        )
        keys.facts[:, [SLOT, CHILD, NEXT]] = -1
        added = add(
            names,
            [(-2 - number, b"") for number in range(2 * nodes)]
            + [(self._nodes[path[:-1]], path[-1].encode()) for path in paths],
        )
        for path, key in zip(paths, added[2 * nodes :], strict=True):
            keys.facts[key, SLOT] = self.slots.get(path, -1)
            keys.facts[key, CHILD] = self._nodes.get(path, -1)
        return keys

    def learn(self, keys: Keys) -> None:
        """Take in the slots that the walk gave to features it met."""
        if len(self.wants) == keys.serial[1]:
            return
        assert self.at is not None
        for key in range(int(keys.names.sizes[0])):
            if (slot := int(keys.facts[key, SLOT])) >= len(self.wants):
                self.slots[(*self.at, string(keys.names, key).decode())] = slot
        self.wants += [WANTS["raw"]] * (int(keys.serial[1]) - len(self.wants))
