"""Mergeable exact counts: the one thing that is added up from the tap to the verdict.

Counts of any split of the events add up to the same integers, so that crashes, partitions and batch sizes cannot show
in a window. Sums of doubles are kept exactly too, as 32-bit digits ("limbs") of one long fixed-point number with unit
2**-1074 (Kulisch 1971): adding integers is associative, adding doubles is not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import (
    HEAD,
    LABEL_CELLS,
    LIMBS,
    OUTCOME_CELLS,
    RAW_STRIDE,
    CategoricalLayout,
    Layout,
    NumericLayout,
)

Cells = NDArray[np.int32]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

SCORE: Final = ("predictions", "score")  # place and name

_NO_CELLS: Final = np.zeros(0, np.int32)
_NO_VALUES: Final = np.zeros(0, np.int64)
_NO_FLOATS: Final = np.zeros(0, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """Sparse counts of some events of one key under one layout.

    `cells` are sorted cell numbers of the layout with their `values`. `low` and `high` are the least and greatest valid
    value per column, in the order of the layout's columns (+inf and -inf where there is none; both for categorical).
    `names` are the columns of a raw layout ("f:NAME" or "p:NAME", sorted), empty otherwise. `words` are display names
    of hash-bucket cells, at most a few; the least name wins, so that merging commutes.
    """

    rows: int
    cells: Cells
    values: Integers
    low: Floats
    high: Floats
    names: tuple[str, ...] = ()
    words: tuple[tuple[int, str], ...] = ()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Counts)
            and (self.rows, self.names, self.words) == (other.rows, other.names, other.words)
            and all(np.array_equal(getattr(self, f), getattr(other, f)) for f in ("cells", "values", "low", "high"))
        )

    def __hash__(self) -> int:
        return hash((self.rows, self.cells.tobytes(), self.values.tobytes()))

    def __add__(self, other: Counts) -> Counts:
        """Counts of both together: associative, commutative, with ZERO."""
        return merge((self, other))


ZERO: Final = Counts(rows=0, cells=_NO_CELLS, values=_NO_VALUES, low=_NO_FLOATS, high=_NO_FLOATS)


def merge(parts: Iterable[Counts]) -> Counts:
    """Counts of all parts together; all of one layout, or all raw.

    >>> one = Counts(rows=1, cells=np.array([3], np.int32), values=np.array([2]), low=np.zeros(0), high=np.zeros(0))
    >>> both = one + one + ZERO
    >>> both.rows, both.cells.tolist(), both.values.tolist()
    (2, [3], [4])
    """
    some = [p for p in parts if p is not ZERO]
    if not some:
        return ZERO
    if len(some) == 1:
        return some[0]
    names = some[0].names
    if any(p.names != names for p in some):
        names = tuple(sorted({n for p in some for n in p.names}))
        some = [_renamed(p, names) for p in some]
    dense = np.zeros(max((int(p.cells[-1]) + 1 for p in some if len(p.cells)), default=0), np.int64)
    for p in some:
        dense[p.cells] += p.values  # the cells of one part are all different
    cells = np.flatnonzero(dense)  # digits of sums may cancel; a zero is not stored: equal counts are equal bytes
    width = max(len(p.low) for p in some)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    for p in some:
        np.minimum(low[: len(p.low)], p.low, out=low[: len(p.low)])
        np.maximum(high[: len(p.high)], p.high, out=high[: len(p.high)])
    words: dict[int, str] = {}
    for p in some:
        for cell, word in p.words:
            words[cell] = min(word, words.get(cell, word))
    return Counts(
        rows=sum(p.rows for p in some),
        cells=cells.astype(np.int32),
        values=dense[cells],
        low=low,
        high=high,
        names=names,
        words=tuple(sorted(words.items())),
    )


def _renamed(part: Counts, names: tuple[str, ...]) -> Counts:
    """The same raw counts with the columns moved to their places among `names`."""
    at = np.array([names.index(n) for n in part.names] or [0], np.int64)
    column, rest = np.divmod(part.cells.astype(np.int64) - OUTCOME_CELLS, RAW_STRIDE)
    moved = np.where(
        part.cells < OUTCOME_CELLS, part.cells, OUTCOME_CELLS + at[np.maximum(column, 0)] * RAW_STRIDE + rest
    )
    order = np.argsort(moved, kind="stable")
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    low[at[: len(part.names)]] = part.low
    high[at[: len(part.names)]] = part.high

    def word(cell: int) -> int:
        c, r = divmod(cell - OUTCOME_CELLS, RAW_STRIDE)
        return OUTCOME_CELLS + int(at[c]) * RAW_STRIDE + r

    return Counts(
        rows=part.rows,
        cells=moved[order].astype(np.int32),
        values=part.values[order],
        low=low,
        high=high,
        names=names,
        words=tuple(sorted((word(c), w) for c, w in part.words)),
    )


def limbs_to_float(limbs: Integers) -> float:
    """The correctly rounded value of an exact sum.

    >>> limbs_to_float(float_to_limbs([1e300, 1.0, -1e300]))
    1.0
    """
    total = limbs_to_int(limbs)
    if not total:
        return 0.0
    try:
        return total / (1 << 1074)
    except OverflowError:
        return float("inf") if total > 0 else float("-inf")


def limbs_to_int(limbs: Integers) -> int:
    """An exact sum in units of 2**-1074."""
    some = limbs.nonzero()[0]
    return sum(d << (32 * i) for i, d in zip(some.tolist(), limbs[some].tolist(), strict=True))


def float_to_limbs(values: Iterable[float]) -> Integers:
    """Digits of the exact sum of finite `values`: the plain, slow way, which the kernels must agree with."""
    limbs = np.zeros(LIMBS, np.int64)
    for value in values:
        numerator, denominator = abs(float(value)).as_integer_ratio()
        fixed, i = numerator * (1 << 1074) // denominator, 0
        while fixed:
            limbs[i] += (fixed & 0xFFFFFFFF) * (1 if value > 0 else -1)
            fixed >>= 32
            i += 1
    return limbs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColumnCounts:
    """One column of a window, dense: what column metrics read.

    rows = counts.sum() + other.sum() + missing + nonfinite + unparseable: where features come in a stream of their own,
    that are its rows and not those of the predictions.
    """

    layout: NumericLayout | CategoricalLayout
    rows: int
    counts: Integers  # per bin, or per known category
    other: Integers  # categorical: the hash buckets of unknown categories; numeric: empty
    missing: int
    nonfinite: int
    unparseable: int
    sum: float  # numeric: exact sum of the valid values, rounded once; categorical: nan
    low: float  # least valid value; +inf where there is none
    high: float
    labels: OutcomeCounts | None = None  # of the column `score`: what labels said of the same events

    @property
    def invalid(self) -> int:
        return self.nonfinite + self.unparseable

    @property
    def valid(self) -> int:
        """Events with a usable value, unknown categories included."""
        return int(self.counts.sum()) + int(self.other.sum())


def same(a: ColumnCounts, b: ColumnCounts) -> bool:
    """Whether two columns' counts are equal in all that they say.

    >>> from dataclasses import replace
    >>> from detectors.layouts import NumericLayout
    >>> of = NumericLayout(edges=(0.0,))
    >>> layout = Layout(pane_ms=1, features={"a": of}, predictions={})
    >>> one, two = (column(ZERO, layout, "features", "a") for _ in range(2))
    >>> same(one, two), same(one, replace(two, missing=1)), same(one, replace(two, counts=np.array([0, 1])))
    (True, False, False)
    """
    for field in fields(ColumnCounts):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            if not np.array_equal(x, y):
                return False
        elif isinstance(x, OutcomeCounts):
            if y is None or x.rows != y.rows or not np.array_equal(x.cells, y.cells):
                return False
        elif x != y and not (x != x and y != y):
            return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OutcomeCounts:
    """What the labelled predictions of a window say of the model: `cells` are the first LABEL_CELLS of layouts.py."""

    rows: int
    cells: Integers

    def total(self, first: int) -> float:
        """The exact sum whose digits begin at cell `first`, rounded once."""
        return limbs_to_float(self.cells[first : first + LIMBS])

    def exact(self, first: int) -> int:
        """The same in units of 2**-1074, not rounded."""
        return limbs_to_int(self.cells[first : first + LIMBS])


def outcome(counts: Counts) -> OutcomeCounts:
    """What labels say in `counts`, dense."""
    cells = np.zeros(LABEL_CELLS, np.int64)
    stop = int(np.searchsorted(counts.cells, LABEL_CELLS))
    cells[counts.cells[:stop]] = counts.values[:stop]
    return OutcomeCounts(rows=counts.rows, cells=cells)


def column(counts: Counts, layout: Layout, place: str, name: str) -> ColumnCounts:
    """One column of `counts`, dense. KeyError for a column the layout does not have."""
    return columns(counts, layout)[place, name]


def columns(counts: Counts, layout: Layout) -> dict[tuple[str, str], ColumnCounts]:
    """All columns of `counts`, dense, by (place, name)."""
    dense = np.zeros(layout.size, np.int64)
    dense[counts.cells] = counts.values
    out: dict[tuple[str, str], ColumnCounts] = {}
    for i, (place, name, column_layout) in enumerate(layout.columns):
        at = layout.offsets[place, name]
        body = at + HEAD
        stop = body + column_layout.bins
        numeric = isinstance(column_layout, NumericLayout)
        counted = dense[at:stop] if numeric else dense[at : at + column_layout.size]
        out[place, name] = ColumnCounts(
            layout=column_layout,
            rows=int(counted.sum()),
            counts=dense[body:stop],
            other=_NO_VALUES if numeric else dense[stop : at + column_layout.size],
            missing=int(dense[at]),
            nonfinite=int(dense[at + 1]),
            unparseable=int(dense[at + 2]),
            sum=limbs_to_float(dense[stop : stop + LIMBS]) if numeric else float("nan"),
            low=float(counts.low[i]) if i < len(counts.low) else float("inf"),
            high=float(counts.high[i]) if i < len(counts.high) else float("-inf"),
            labels=outcome(counts) if (place, name) == SCORE else None,
        )
    return out
