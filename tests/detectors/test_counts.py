"""Merging adds up exactly, in any order and any split; sums of doubles too."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.counts import ZERO, Counts, column, columns, float_to_limbs, limbs_to_float, merge, outcome
from detectors.layouts import (
    HEAD,
    LABELS,
    LIMBS,
    OUTCOME_CELLS,
    RAW_STRIDE,
    CategoricalLayout,
    Layout,
    NumericLayout,
)

LAYOUT = Layout(
    pane_ms=1000,
    features={"a": NumericLayout(edges=(0.0, 1.0)), "c": CategoricalLayout(categories=("x", "y"))},
    predictions={"score": NumericLayout(edges=(0.5,))},
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.dictionaries(st.integers(OUTCOME_CELLS, OUTCOME_CELLS + 99), st.text("ab", max_size=3), max_size=3)


def _counts(
    cells: dict[int, int], rows: int, ends: list[float], names: tuple[str, ...], words: dict[int, str]
) -> Counts:
    kept = sorted((c, v) for c, v in cells.items() if v)
    return Counts(
        rows=rows,
        cells=np.array([c for c, _ in kept], np.int32),
        values=np.array([v for _, v in kept], np.int64),
        low=np.array(ends, np.float64),
        high=np.array(ends, np.float64),
        names=names,
        words=tuple(sorted(words.items())),
    )


@st.composite
def under_a_layout(draw: st.DrawFn) -> Counts:
    cells = draw(st.dictionaries(st.integers(0, LAYOUT.size - 1), st.integers(-(2**40), 2**40), max_size=8))
    return _counts(cells, draw(st.integers(0, 10**9)), draw(st.lists(FINITE, min_size=3, max_size=3)), (), draw(WORDS))


@st.composite
def raw(draw: st.DrawFn) -> Counts:
    names = tuple(sorted(draw(st.sets(st.sampled_from(["f:a", "f:b", "f:c", "p:score"])))))
    cells: dict[int, int] = draw(st.dictionaries(st.integers(0, OUTCOME_CELLS - 1), st.integers(1, 99), max_size=3))
    words: dict[int, str] = {}
    for i in range(len(names)):
        at = OUTCOME_CELLS + i * RAW_STRIDE
        inside = st.integers(at, at + RAW_STRIDE - 1)
        cells |= draw(st.dictionaries(inside, st.integers(1, 99), max_size=3))
        words |= draw(st.dictionaries(inside, st.text("ab", min_size=1, max_size=2), max_size=2))
    ends = draw(st.lists(FINITE, min_size=len(names), max_size=len(names)))
    return _counts(cells, draw(st.integers(0, 99)), ends, names, words)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.lists(under_a_layout(), max_size=6), st.lists(raw(), max_size=6)), st.randoms(use_true_random=False)
)
def test_merging_is_associative_commutative_and_has_a_zero(parts: list[Counts], random: Random) -> None:
    whole = merge(parts)
    shuffled = list(parts)
    random.shuffle(shuffled)
    assert merge(shuffled) == whole
    cut = len(parts) // 2
    assert merge(shuffled[:cut]) + merge(shuffled[cut:]) == whole
    assert whole + ZERO == whole
    assert ZERO + whole == whole
    assert whole.rows == sum(p.rows for p in parts)
    assert whole.values.sum() == sum(int(p.values.sum()) for p in parts)
    assert all(a < b for a, b in zip(whole.cells.tolist(), whole.cells.tolist()[1:], strict=False))
    assert not np.any(whole.values == 0)


@given(st.lists(raw(), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_raw_columns_keep_their_counts_under_their_names(parts: list[Counts]) -> None:
    def by_name(counts: Counts) -> dict[tuple[str, int], int]:
        out: dict[tuple[str, int], int] = {}
        for cell, value in zip(counts.cells.tolist(), counts.values.tolist(), strict=True):
            place, rest = divmod(cell - OUTCOME_CELLS, RAW_STRIDE) if cell >= OUTCOME_CELLS else (-1, cell)
            key = (counts.names[place] if place >= 0 else "", rest)
            out[key] = out.get(key, 0) + value
        return out

    expected: dict[tuple[str, int], int] = {}
    for part in parts:
        for key, value in by_name(part).items():
            expected[key] = expected.get(key, 0) + value
    assert by_name(merge(parts)) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(FINITE, max_size=30))
def test_limbs_hold_the_exact_sum(values: list[float]) -> None:
    exact = sum((Fraction(v) for v in values), Fraction(0))
    limbs = float_to_limbs(values)
    assert sum(Fraction(int(d)) * 2 ** (32 * i) for i, d in enumerate(limbs)) / 2**1074 == exact
    try:
        expected = math.fsum(values)
    except OverflowError:
        return
    assert limbs_to_float(limbs) == expected


@given(st.lists(st.lists(FINITE, max_size=6), max_size=5))
@settings(max_examples=100, deadline=None)
def test_limbs_of_any_split_add_up(parts: list[list[float]]) -> None:
    added = np.sum([np.zeros(LIMBS, np.int64), *(float_to_limbs(p) for p in parts)], axis=0)
    whole = float_to_limbs([v for p in parts for v in p])
    assert np.array_equal(added, whole)


def test_a_sum_beyond_the_doubles_is_infinite() -> None:
    assert limbs_to_float(float_to_limbs([1.7e308] * 4)) == math.inf
    assert limbs_to_float(float_to_limbs([-1.7e308] * 4)) == -math.inf
    assert limbs_to_float(float_to_limbs([5e-324] * 3)) == 1.5e-323


def test_dense_columns_account_for_every_row() -> None:
    at = LAYOUT.offsets["features", "c"]
    score = LAYOUT.offsets["predictions", "score"]
    cells = {LABELS: 2, at: 1, at + 2: 1, at + HEAD: 3, at + HEAD + 1: 4, at + HEAD + 2: 5, score + HEAD + 1: 14}
    cells |= {score + HEAD + 2 + i: int(d) for i, d in enumerate(float_to_limbs([0.75] * 14))}
    counts = _counts(cells, 14, [0.0, 0.0, 0.75], (), {})
    text = column(counts, LAYOUT, "features", "c")
    assert (text.counts.tolist(), int(text.other.sum()), text.missing, text.invalid) == ([3, 4], 5, 1, 1)
    assert text.rows == text.valid + text.missing + text.invalid
    number = columns(counts, LAYOUT)["predictions", "score"]
    assert (number.counts.tolist(), number.sum, number.low) == ([0, 14], 10.5, 0.75)
    assert outcome(counts).cells[LABELS] == 2
    assert outcome(counts).cells.sum() == 2
