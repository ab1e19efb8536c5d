"""Layouts from data: where the bins of a column lie, and which categories are known.

Deterministic: additions, multiplications and sorting only. A numeric column gets bins of about equal mass, a bin for
each value that many rows share, and outside the range of what was seen doubling bins, so that a shift far away still
has a size.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.counts import Counts
from detectors.kernels import hash_bytes, raw_buckets
from detectors.layouts import (
    HEAD,
    MAX_EDGES,
    OUTCOME_CELLS,
    RAW_BINS,
    RAW_BUCKETS,
    RAW_HASHES,
    RAW_STRIDE,
    CategoricalLayout,
    ColumnLayout,
    NumericLayout,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MAX_CATEGORIES: Final = 100
_GREATEST: Final = float(np.finfo(np.float64).max)
TAIL: Final = 15  # doubling bins on either side, the first an eighth of the range wide
INNER: Final = MAX_EDGES - 2 * TAIL  # edges within the range seen
MASSES: Final = (INNER - 4, 150, 100, 70)  # bins of equal mass: the first number that leaves room for the shared values
FENCE: Final = 5.0  # interquartile ranges beyond the quartiles from which on a value is wild


def guess(*, numbers: int, words: int) -> str:
    """The kind of a column that nobody declared, from how many values are numbers and how many are text or boolean.

    >>> guess(numbers=10, words=0), guess(numbers=1, words=9), guess(numbers=0, words=0)
    ('numeric', 'categorical', 'numeric')
    """
    return "numeric" if numbers >= words else "categorical"


def categorical(words: Mapping[str, int]) -> CategoricalLayout:
    """At most MAX_CATEGORIES of them, see `distinguished`, in order of frequency and then of the alphabet.

    >>> categorical({"fr": 2, "de": 5, "at": 2}).categories
    ('de', 'at', 'fr')
    """
    return CategoricalLayout(categories=distinguished(words, MAX_CATEGORIES))


def distinguished(words: Mapping[str, int], most: int) -> tuple[str, ...]:
    """All words if they are at most so many, else those that are clearly the most frequent and some of the others.

    The same rows often serve as reference, and those that come first of many about equally frequent ones have been
    seen too often there: later they come less often, and the rest more (the winner's curse). So the line is drawn
    where few counts are near it, and how much too often those above it have been seen (near x sd / 2, as a count
    just beyond the line is there by chance) is at most half the error of their share. Places that are left go to others
    by their hash, which knows nothing of counts, but for what the rest not seen at all takes from those seen once.

    >>> distinguished({"a": 900, "b": 400, "c": 50, "d": 50, "e": 50}, 2)
    ('a', 'b')
    """
    ordered = sorted(words, key=lambda word: (-words[word], word))
    if len(ordered) <= most:
        return tuple(ordered)
    counts = np.array([words[word] for word in ordered], np.float64)
    above = np.cumsum(counts)
    total = float(above[-1])
    head = 0
    for k in range(most, 0, -1):
        line = float(counts[k - 1] + counts[k]) / 2
        near = int((np.abs(counts - line) <= line**0.5).sum())
        share = float(above[k - 1]) / total
        if near * line**0.5 <= (total * share * (1 - share)) ** 0.5:
            head = k
            break
    others, places = ordered[head:], most - head
    part, rest = places / len(others), float(counts[head:].sum())
    once = int((counts[head:] == 1).sum())
    if part * once > (part * rest) ** 0.5 / 2:
        return tuple(ordered[:head])
    some = set(sorted(others, key=lambda word: (hash_bytes(word), word))[:places])
    return tuple(word for i, word in enumerate(ordered) if i < head or word in some)


def boolean() -> CategoricalLayout:
    """The two categories of a column that is true or false, whatever has been seen of it.

    >>> boolean().categories
    ('false', 'true')
    """
    return CategoricalLayout(categories=("false", "true"))


def numeric(numbers: Floats) -> NumericLayout:
    """Bins for a column with these finite values.

    Edges lie midway between two values, so that a value's bin does not hang on its last digit (0.24 in single precision
    is another double than 0.24); those of a column of whole numbers lie on them.

    >>> layout = numeric(np.array([0.0, 1.0] * 50))
    >>> [edge for edge in layout.edges if 0 <= edge <= 2]
    [0.0, 1.0, 2.0]
    >>> len(numeric(np.arange(1e5)).edges) <= MAX_EDGES
    True
    """
    if not len(numbers):
        return NumericLayout(edges=())
    values, counts = np.unique(numbers + 0.0, return_counts=True)
    whole = bool((values == np.rint(values)).all() and np.abs(values).max() < 2**53)
    starts, ends = _bounds(values, whole)
    total, below = int(counts.sum()), np.cumsum(counts)
    fences = _fences(values, below, starts, whole)
    edges = np.zeros(0)
    for masses in MASSES:
        ranks = np.arange(1, masses, dtype=np.int64) * total // masses
        quantiles = starts[np.searchsorted(below, ranks, side="right")]
        shared = (counts * masses >= total) & (counts > 2)
        edges = np.unique(np.concatenate([quantiles, starts[shared], ends[shared], fences]))
        if len(edges) <= INNER - 2:
            break
    return _with_tails(edges, float(starts[0]), float(ends[-1]), whole=whole, constant=len(values) == 1)


def _fences(values: Floats, below: Integers, starts: Floats, whole: bool) -> Floats:
    """Edges that keep wild values in the data apart from the bins of the others."""
    if len(values) <= INNER:  # each has a bin of its own, or nearly
        return np.zeros(0)
    first, third = values[np.searchsorted(below, np.array([1, 3]) * int(below[-1]) // 4, side="right")].tolist()
    low, high = first - FENCE * (third - first), third + FENCE * (third - first)  # infinite, where that is too much
    if not third > first or not math.isfinite(high - low):
        return np.zeros(0)
    ends = (math.floor(low), math.ceil(high)) if whole else (low, high)
    return np.array([e for e in ends if starts[0] < e < values[-1]], np.float64)


def _bounds(values: Floats, whole: bool) -> tuple[Floats, Floats]:
    """Where the bin of each of the sorted values would begin and end if it were alone in it."""
    if whole:
        return values, values + 1.0
    between = values[:-1] / 2 + values[1:] / 2
    between = np.where(between > values[:-1], between, values[1:])
    low, high = _around(float(values[0]), float(values[-1]))
    return np.concatenate([[low], between]), np.concatenate([between, [high]])


def _around(low: float, high: float) -> tuple[float, float]:
    """A range that is wider than [low, high] on either side: by a millionth of the greatest number, so that single
    precision stays inside, but by no more than an eighth of what is between them, as numbers far from 0 may lie close.

    >>> _around(0.0, 8.0) == (-8 / 2**20, 8 + 8 / 2**20), _around(2.0**40, 2.0**40 + 8) == (2.0**40 - 1, 2.0**40 + 9)
    (True, True)
    """
    between, greatest = high / 2**20 - low / 2**20, max(abs(low), abs(high)) / 2**20
    slack = max(between, min(greatest, between * 2**17) if high > low else greatest) or high - low or 2.0**-20
    return max(low - slack, -_GREATEST), min(high + slack, _GREATEST)


def _with_tails(inner: Floats, low: float, high: float, *, whole: bool, constant: bool) -> NumericLayout:
    """The edges within [low, high], the range itself, and the doubling edges outside."""
    with np.errstate(over="ignore"):
        # Of one value its size is all there is to go by.
        span = max(abs(low), abs(high)) if constant and not whole else high - low
        steps = span * 2.0 ** np.arange(-3, TAIL - 3)
        if whole:
            steps = np.ceil(steps)
        tails = np.concatenate([low - steps, high + steps])
    edges = np.unique(np.concatenate([inner[: INNER - 2], [low, high], tails]) + 0.0)
    return NumericLayout(edges=tuple(edges[np.isfinite(edges)].tolist()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawColumn:
    """One column of counts under the raw layout."""

    bins: Integers  # numbers of the raw bins that hold something
    counts: Integers
    low: float
    high: float
    texts: int  # values that are text or boolean
    words: Mapping[str, int]  # how often each came, estimated from above; rare ones may lack

    @property
    def numbers(self) -> int:
        return int(self.counts.sum())


def raw_columns(counts: Counts) -> dict[str, RawColumn]:
    """The columns of counts under the raw layout, by their names there ("f:NAME", "p:NAME")."""
    found = {}
    column, cell = np.divmod(counts.cells.astype(np.int64) - OUTCOME_CELLS, RAW_STRIDE)
    named: list[list[tuple[int, str]]] = [[] for _ in counts.names]
    for at, word in counts.words:
        of, rest = divmod(at - OUTCOME_CELLS, RAW_STRIDE)
        named[of].append((rest - HEAD - RAW_BINS, word))
    for i, name in enumerate(counts.names):
        inside = column == i
        cells, values = cell[inside] - HEAD, counts.values[inside]
        number = (cells >= 0) & (cells < RAW_BINS)
        buckets = np.zeros(RAW_BUCKETS, np.int64)
        text = (cells >= RAW_BINS) & (cells < RAW_BINS + RAW_BUCKETS)
        buckets[cells[text] - RAW_BINS] = values[text]
        found[name] = RawColumn(
            bins=cells[number],
            counts=values[number],
            low=float(counts.low[i]),
            high=float(counts.high[i]),
            texts=int(buckets[: RAW_BUCKETS // RAW_HASHES].sum()),
            words=_estimates(buckets, named[i]),
        )
    return found


def _estimates(buckets: Integers, named: Iterable[tuple[int, str]]) -> dict[str, int]:
    """How often each word came, from above: in each row of buckets it shares its own with others at random."""
    estimates = {}
    for bucket, word in named:
        own = raw_buckets(word)
        if bucket in own:  # a name that was cut for display is not the word
            estimates[word] = int(min(buckets[own]))
    return estimates


def numeric_from_raw(column: RawColumn) -> NumericLayout:
    """Bins for a column of which only raw counts are known: the mass of a raw bin is taken to be spread evenly."""
    if not len(column.bins):
        return NumericLayout(edges=())
    start = (column.bins & 0x3FFF).astype(np.uint64) << np.uint64(49)
    near, far = start.view(np.float64), (start + (np.uint64(1) << np.uint64(49))).view(np.float64)
    far = np.where(np.isfinite(far), far, np.finfo(np.float64).max)
    negative = column.bins >= RAW_BINS // 2
    left, right = np.where(negative, -far, near), np.where(negative, -near, far)
    order = np.argsort(left, kind="stable")
    left = np.clip(left[order], column.low, column.high)
    right = np.clip(right[order], column.low, column.high)
    counts = column.counts[order].astype(np.float64)
    below = np.concatenate([[0.0], np.cumsum(counts)])
    masses = INNER - 2
    ranks = np.arange(1, masses) * (below[-1] / masses)
    at = np.minimum(np.searchsorted(below, ranks, side="right") - 1, len(counts) - 1)
    share = np.round(8 * (ranks - below[at]) / counts[at]) / 8  # at most 8 edges in one raw bin
    edges = left[at] + share * (right[at] - left[at])
    ends = _around(column.low, column.high)
    return _with_tails(np.unique(edges), *ends, whole=False, constant=column.low == column.high)


def from_raw(column: RawColumn | None, declared: str | None) -> ColumnLayout:
    """The layout of a column seen under the raw layout; None is one that was never seen.

    A "text" column is counted by its length, as a number.
    """
    if declared == "boolean":
        return boolean()
    if column is None:
        return CategoricalLayout(categories=()) if declared == "categorical" else NumericLayout(edges=())
    kind = declared or guess(numbers=column.numbers, words=column.texts)
    return categorical(column.words) if kind == "categorical" else numeric_from_raw(column)


def from_values(*, numbers: Floats, words: Mapping[str, int], declared: str | None) -> ColumnLayout:
    """The layout of a column with these finite numbers and these words with their counts."""
    if declared == "boolean":
        return boolean()
    kind = declared or guess(numbers=len(numbers), words=sum(words.values()))
    return categorical(words) if kind == "categorical" else numeric(numbers)
