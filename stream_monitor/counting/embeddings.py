"""Columns of lists -> what is derived of them: how long they are and, of embeddings, where they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np

from stream_monitor.config.kinds import PROJECTIONS
from stream_monitor.counting.batches import MISSING, NESTED, NUMBER, Floats, Integers, Kinds
from stream_monitor.counting.plans import Mask

LONGEST: Final = 1 << 14  # of lists that are projected


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lengths:
    """How long the lists of a column are. Kinds are NUMBER where there is a list, MISSING or NESTED elsewhere."""

    kinds: Kinds
    lengths: Floats

    def take(self, rows: Mask) -> Lengths:
        """Those of some rows."""
        return Lengths(kinds=self.kinds[rows], lengths=self.lengths[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Embedded:
    """The same of lists of numbers, with their norms and projections: (PROJECTIONS, rows)."""

    kinds: Kinds
    lengths: Floats
    norms: Floats
    projections: Floats

    def take(self, rows: Mask) -> Embedded:
        """Those of some rows."""
        return Embedded(
            kinds=self.kinds[rows],
            lengths=self.lengths[rows],
            norms=self.norms[rows],
            projections=self.projections[:, rows],
        )


def listed(values: Sequence[Any]) -> Lengths:
    """Of values as json.loads makes them."""
    lengths = np.fromiter((len(v) if isinstance(v, list) else 0 for v in values), np.float64, len(values))
    return Lengths(kinds=kinds_of(values, lambda v: isinstance(v, list)), lengths=lengths)


def embedded(values: Sequence[Any]) -> Embedded:
    """Of values as json.loads makes them."""
    kinds = kinds_of(values, _is_vector)
    vectors = [v if kind == NUMBER else () for v, kind in zip(values, kinds.tolist(), strict=True)]
    counts = np.fromiter(map(len, vectors), np.int64, len(vectors))
    numbers = np.fromiter(chain.from_iterable(vectors), np.float64, int(counts.sum()))
    norms, projections = room(len(vectors))
    from detectors.projections import project  # here: it is compiled, which who only names a format need not wait for

    project(numbers, counts.cumsum() - counts, counts, norms, projections)
    return Embedded(kinds=kinds, lengths=counts.astype(np.float64), norms=norms, projections=projections)


def room(rows: int) -> tuple[Floats, Floats]:
    """Norms and projections of so many rows, of which nothing is known yet."""
    return np.zeros(rows), np.zeros((PROJECTIONS, rows))


def kinds_of_lists(lists: Mask, missing: Mask, counts: Integers | None = None) -> Kinds:
    """The kinds of rows that are lists, of so many numbers, or missing, or neither."""
    if counts is not None:
        lists = lists & (counts <= LONGEST)
    return np.where(lists, np.uint8(NUMBER), np.where(missing, np.uint8(MISSING), np.uint8(NESTED)))


def kinds_of(values: Sequence[Any], good: Callable[[Any], bool]) -> Kinds:
    """NUMBER where a value is good, MISSING or NESTED elsewhere."""
    return np.fromiter((MISSING if v is None else NUMBER if good(v) else NESTED for v in values), np.uint8, len(values))


def _is_vector(value: Any) -> bool:
    """Whether it is a list of numbers that are doubles, and not too long."""
    if not isinstance(value, list) or len(value) > LONGEST:
        return False
    types = set(map(type, value))
    if int not in types:
        return types <= {float}
    return types <= {int, float} and all(type(v) is float or -(2**1023) <= v <= 2**1023 for v in value)
