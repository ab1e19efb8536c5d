"""What the lists become that a compiled walk reads into one array.

Embeddings are projected a chunk at a time, while their numbers are in the processor's cache, and these do not outlive
it; scores of classes are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from detectors.projections import project
from stream_monitor.counting.batches import (
    MISSING,
    NESTED,
    NONFINITE,
    NUMBER,
    Column,
    Floats,
    Integers,
    Kinds,
)
from stream_monitor.counting.classes import class_scores
from stream_monitor.counting.embeddings import LONGEST, Embedded, Lengths, kinds_of_lists, room
from stream_monitor.counting.plans import Mask
from stream_monitor.counting.scores import ClassScores
from stream_monitor.formats.found import ABSENT, OBJECT, Found
from stream_monitor.formats.needs import Needs
from stream_monitor.formats.vectors import gathered

LIST = NESTED + 1  # a kind as a walk writes it


class Lists:
    """The lists of so many records."""

    def __init__(self, needs: Needs, records: int) -> None:
        self._embeddings = {slot: (np.zeros(records, np.int64), *room(records)) for slot in needs.embeddings}
        self._scores = needs.scores
        self._counts = np.zeros(records if self._scores is not None else 0, np.int64)
        self._greatest = np.zeros(len(self._counts))
        self._parts: list[Floats] = []

    def take_in(self, found: Found, first: int, last: int) -> None:
        """The lists that the walk read in records `first` to `last`; the room for numbers is free again."""
        span = slice(first, last)
        for slot, (counts, norms, projections) in self._embeddings.items():
            starts, counts[span] = self._of(found, slot, span)
            project(found.pool, starts, counts[span], norms, projections, first, LONGEST)
        if self._scores is not None:
            starts, self._counts[span] = self._of(found, self._scores, span)
            part = np.empty(int(self._counts[span].sum()))
            gathered(found.pool, starts, self._counts[span], part, self._greatest, first)
            self._parts.append(part)
        found.used[0] = 0

    @staticmethod
    def _of(found: Found, slot: int, span: slice) -> tuple[Integers, Integers]:
        where = found.vectors[found.rows[slot, 3], span]
        return np.ascontiguousarray(where[:, 0]), np.ascontiguousarray(where[:, 1])

    def embedded(self, slot: int, walked: Kinds) -> Embedded:
        """What is derived of the embeddings in a slot."""
        counts, norms, projections = self._embeddings[slot]
        kinds = kinds_of_lists(walked == LIST, _missing(walked), counts)
        return Embedded(kinds=kinds, lengths=counts.astype(np.float64), norms=norms, projections=projections)

    def scores(self, walked: Kinds, numbers: Floats, objects: Mapping[int, Any]) -> tuple[Column, ClassScores]:
        """The score column and what events said of the classes, as classes.class_scores makes them.

        `numbers` are single scores, `objects` those by name, by their rows.
        """
        lists = (walked == LIST) & (self._counts > 0)
        kinds = np.full(len(walked), MISSING, np.uint8)
        kinds[(walked == NUMBER + 1) | lists] = NUMBER
        kinds[walked == NONFINITE + 1] = NONFINITE
        best = np.where(lists, self._greatest, np.where(walked == NUMBER + 1, numbers, 0.0))
        counts = np.where(lists, self._counts, 0)
        starts = self._counts.cumsum() - self._counts
        named: dict[int, dict[str, float]] = {}
        if objects:
            rows = np.fromiter(objects, np.int64, len(objects))
            of, said = class_scores(list(objects.values()))
            kinds[rows], best[rows] = of.kinds, of.numbers
            named = {int(rows[i]): scores for i, scores in said.named.items()}
        column = Column(name="score", kinds=kinds, numbers=best, codes=np.full(len(kinds), -1, np.int32))
        return column, ClassScores(np.concatenate([np.zeros(0), *self._parts]), starts, counts, named)


def lengths(walked: Kinds, numbers: Floats) -> Lengths:
    """What is derived of lists whose lengths a walk wrote among the numbers."""
    lists = walked == LIST
    return Lengths(kinds=kinds_of_lists(lists, _missing(walked)), lengths=np.where(lists, numbers, 0.0))


def scores_allowed(walked: Kinds) -> Mask:
    """Which scores of classes are numbers, lists of numbers, nothing, or objects, which are to be looked into."""
    allowed = np.zeros(OBJECT + 1, np.bool_)
    allowed[[ABSENT, MISSING + 1, NUMBER + 1, NONFINITE + 1, LIST, OBJECT]] = True
    found: Mask = allowed[walked]
    return found


def _missing(walked: Kinds) -> Mask:
    found: Mask = (walked == ABSENT) | (walked == MISSING + 1)
    return found
