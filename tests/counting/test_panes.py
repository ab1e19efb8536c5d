"""Columns -> counts, against a plain oracle that reads one event at a time; and any cut gives the same counts."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.counts import columns, float_to_limbs, outcome
from detectors.kernels import bucket, raw_bins, raw_buckets
from detectors.layouts import (
    CORRECT,
    FN,
    FP,
    HEAD,
    LABELS,
    LIMBS,
    LOG_LOSS,
    NEGATIVE_SCORES,
    OUTCOME_CELLS,
    POSITIVE_SCORES,
    RAW_BINS,
    RAW_STRIDE,
    SCORED,
    SQUARED_SCORE_ERROR,
    TN,
    TP,
    Layout,
    NumericLayout,
)  # fmt: skip
from stream_monitor.config import Model, Time, WindowSpec
from stream_monitor.counting.panes import (
    admitted,
    choose_pane,
    count_block,
    late_bounds,
    raw_pane_ms,
    reached,
    segments_of,
)
from stream_monitor.entries import PaneRecord
from stream_monitor.packing import unpack_counts
from tests.counting.blocks import LAYOUT, NOW, TIME, merged, model_of, read, total

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.just([1]),
    st.sampled_from(["de", "fr", "at", "null", "\ud800"]),
)
EVENTS = st.fixed_dictionaries(
    {
        "id": st.just("x"),
        "ts": st.integers(NOW - 12_000, NOW),
        "v": st.sampled_from(["v1", "v2", 3]),
        "f": st.dictionaries(st.sampled_from(["amount", "country", "z"]), VALUES, max_size=3),
        "prediction": st.sampled_from([0, 1, 1.0, "1", True]),
    },
    optional={"score": st.floats(-0.2, 1.2), "label": st.sampled_from([0, 1, "1", None, True, [1]])},
)
MODELS = [model_of(), model_of(columns={"amount": "numeric", "country": "categorical", "z": "text"})]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(EVENTS, max_size=25),
    st.lists(st.integers(0, 25), max_size=4).map(sorted),
    st.sampled_from([LAYOUT, None]),
    st.sampled_from(MODELS),
)
def test_any_cut_gives_the_same(events: list[Any], cuts: list[int], layout: Layout | None, model: Model) -> None:
    whole = count_block(read(model, events, layout), layout, "m", model, TIME, None)
    greatest: int | None = None
    parts: list[PaneRecord] = []
    rows = late = 0
    for first, last in zip([0, *cuts], [*cuts, len(events)], strict=True):
        batch = read(model, events[first:last], layout, min(first, len(events)))
        part = count_block(batch, layout, "m", model, TIME, greatest)
        parts += part.panes
        greatest, rows, late = part.max_time_ms, rows + part.rows, late + part.late
    assert merged(parts) == merged(whole.panes)
    assert (greatest, rows, late) == (whole.max_time_ms, whole.rows, whole.late)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.integers(0, 2)), max_size=25), st.sampled_from([LAYOUT, None]))
def test_any_partition_gives_the_same(events: list[tuple[Any, int]], layout: Layout | None) -> None:
    patient, model = Time(), MODELS[0]  # nothing is late
    whole = count_block(read(model, [e for e, _ in events], layout), layout, "m", model, patient, None)
    parts: list[PaneRecord] = []
    for p in range(3):
        part = count_block(read(model, [e for e, of in events if of == p], layout), layout, "m", model, patient, None)
        parts += part.panes
    found, expected = merged(parts), merged(whole.panes)
    assert {k: v[0] for k, v in found.items()} == {k: v[0] for k, v in expected.items()}


def segments(event: Any) -> list[str]:
    value = event["f"].get("country")
    if value is None:
        return ["all", "country=null"]
    if isinstance(value, list):
        return ["all", "country=other"]
    return ["all", f"country={plain_word(value)}"]


def plain_word(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("\ud800", "\\ud800")


def on_time(events: list[Any]) -> tuple[list[Any], list[Any]]:
    good: list[Any] = []
    late: list[Any] = []
    greatest = -math.inf
    for e in events:
        (late if e["ts"] < greatest - 5000 else good).append(e)
        greatest = max(greatest, e["ts"])
    return good, late


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=25))
def test_cells_like_the_oracle(events: list[Any]) -> None:
    model = MODELS[0]
    block = count_block(read(model, events, LAYOUT), LAYOUT, "m", model, TIME, None)
    good, late = on_time(events)
    groups: dict[tuple[str, str, int], list[Any]] = defaultdict(list)
    tardy: dict[tuple[str, str, int], int] = defaultdict(int)
    for e in good:
        for s in segments(e):
            groups[str(e["v"]), s, e["ts"] // 1000 * 1000].append(e)
    for e in late:
        for s in segments(e):
            tardy[str(e["v"]), s, e["ts"] // 1000 * 1000] += 1
    assert (block.rows, block.late) == (len(good), len(late))
    assert [(r.version, r.segment, r.start_ms) for r in block.panes] == sorted(groups) + sorted(tardy)
    assert {(r.version, r.segment, r.start_ms): r.late for r in block.panes if r.late} == tardy
    for record in block.panes[: len(groups)]:
        inside = groups[record.version, record.segment, record.start_ms]
        counts = unpack_counts(record.counts)
        assert counts.rows == len(inside)
        found = columns(counts, LAYOUT)
        for place, name, of in LAYOUT.columns:
            values = [e["f"].get(name) if place == "features" else e.get(name) for e in inside]
            column = found[place, name]
            numbers = [v for v in values if type(v) in (int, float)]
            finite = [float(v) for v in numbers if math.isfinite(v)]
            assert column.missing == values.count(None)
            if isinstance(of, NumericLayout):
                assert column.nonfinite == len(numbers) - len(finite)
                assert column.unparseable == len(values) - len(numbers) - column.missing
                expected = [0] * of.bins
                for x in finite:
                    expected[sum(e <= x for e in of.edges)] += 1
                assert column.counts.tolist() == expected
                assert column.sum == pytest.approx(math.fsum(finite), rel=1e-12, abs=1e-300)
                assert (column.low, column.high) == (min(finite, default=math.inf), max(finite, default=-math.inf))
            else:
                words = [plain_word(v) for v in values if v is not None and not isinstance(v, list)]
                assert column.counts.tolist() == [words.count(c) for c in of.categories]
                buckets = [0] * 32
                for w in words:
                    if w not in of.categories:
                        buckets[bucket(w)] += 1
                assert column.other.tolist() == buckets
                assert column.unparseable == len(values) - len(words) - column.missing
                named = {w for w in words if w not in of.categories}
                first = LAYOUT.offsets[place, name]
                assert {w for c, w in counts.words if first <= c < first + of.size} <= named
            assert column.rows == column.counts.sum() + column.other.sum() + column.missing + column.invalid
        check_binary(outcome(counts).cells, inside)


def is_one(value: Any) -> bool:
    return value in (1, "1")


def check_binary(cells: Any, inside: list[Any]) -> None:
    told = [e for e in inside if e.get("label") is not None and not isinstance(e["label"], list)]
    both = [(is_one(e["label"]), is_one(e["prediction"])) for e in told]
    assert cells[LABELS] == len(told)
    assert cells[[TP, FP, FN, TN]].tolist() == [
        both.count(c) for c in ((True, True), (False, True), (True, False), (False, False))
    ]
    assert cells[CORRECT] == sum(a == b for a, b in both)
    scored = [(is_one(e["label"]), e["score"]) for e in told if 0 <= e.get("score", -1) <= 1]
    assert cells[SCORED] == len(scored)
    for first, truth in ((POSITIVE_SCORES, True), (NEGATIVE_SCORES, False)):
        bins = [0] * 100
        for y, p in scored:
            if y is truth:
                bins[min(int(p * 100), 99)] += 1
        assert cells[first : first + 100].tolist() == bins
    squares = [(p - y) ** 2 for y, p in scored]
    assert (cells[SQUARED_SCORE_ERROR : SQUARED_SCORE_ERROR + LIMBS] == float_to_limbs(squares)).all()
    losses = [-math.log(min(max(p if y else 1 - p, 1e-15), 1 - 1e-15)) for y, p in scored]
    assert total(cells, LOG_LOSS) == pytest.approx(math.fsum(losses), rel=1e-14)


def test_raw_cells() -> None:
    model = model_of(columns={"amount": "numeric"}, segments=())
    events = [
        {"id": "a", "ts": NOW, "v": "", "prediction": 1, "f": {"amount": 2.0, "c": "x", "d": 3}},
        {"id": "a", "ts": NOW, "v": "", "prediction": 0, "f": {"amount": "x", "c": True, "e": [1]}},
        {"id": "a", "ts": NOW, "v": "", "prediction": 1, "f": {"amount": math.nan, "c": None}},
    ]
    (record,) = count_block(read(model, events, None), None, "m", model, TIME, None).panes
    counts = unpack_counts(record.counts)
    assert record.layout == "0"
    assert counts.names == ("f:amount", "f:c", "f:d", "f:e", "p:prediction")
    assert counts.low.tolist() == [2.0, math.inf, 3.0, math.inf, 0.0]
    got = [
        (names, cell, value)
        for names, (cell, value) in (
            (counts.names[(c - OUTCOME_CELLS) // RAW_STRIDE], ((c - OUTCOME_CELLS) % RAW_STRIDE, v))
            for c, v in zip(counts.cells.tolist(), counts.values.tolist(), strict=True)
        )
        if cell < RAW_STRIDE - LIMBS
    ]
    two, three, zero, one = (HEAD + int(b) for b in raw_bins(np.array([2.0, 3.0, 0.0, 1.0])))
    words = sorted((HEAD + RAW_BINS + b, 1) for w in ("x", "true") for b in raw_buckets(w))
    assert got == [
        ("f:amount", 1, 1), ("f:amount", 2, 1), ("f:amount", two, 1),
        *[("f:c", c, v) for c, v in words],
        ("f:d", three, 1), ("f:e", 2, 1), ("p:prediction", zero, 1), ("p:prediction", one, 2),
    ]  # fmt: skip
    assert {w for _, w in counts.words} == {"x", "true"}


def test_late_is_judged_in_offset_order() -> None:
    times = np.array([10_000, 4_999, 5_000, 20_000, 14_999, 15_000])
    assert (times < late_bounds(reached(times, None), TIME)).tolist() == [False, True, False, False, True, False]
    assert (times[:1] < late_bounds(reached(times[:1], 15_001), TIME)).tolist() == [True]
    assert not len(late_bounds(reached(times[:0], None), TIME))


def test_late_events_are_apart() -> None:
    model = model_of(segments=())
    events = [{"id": "a", "ts": NOW - d, "v": "", "f": {}, "prediction": 0} for d in (0, 5001, 5000)]
    first, last, late = count_block(read(model, events, LAYOUT, 7), LAYOUT, "m", model, TIME, None).panes
    assert [(r.offsets, r.late, unpack_counts(r.counts).rows) for r in (first, last, late)] == [
        ((9, 10), 0, 1), ((7, 8), 0, 1), ((8, 9), 1, 0),
    ]  # fmt: skip
    assert late.start_ms == NOW - 6000


def test_segments_are_capped() -> None:
    model = model_of(max_segments=3)
    words = [f"c{i}" for i in range(50)] + ["de"]
    events = [{"id": "a", "ts": NOW, "v": "", "f": {"country": w}, "prediction": 0} for w in words]
    batch = read(model, events, LAYOUT)
    names = {s for (s,) in segments_of(batch, LAYOUT, model)}
    assert {"country=de", "country=other"} < names
    assert len(names) == 3  # de, what is left of the three places (fr has one), other
    found = {r.segment: unpack_counts(r.counts).rows for r in count_block(batch, LAYOUT, "m", model, TIME, None).panes}
    assert set(found) == names | {"all"}
    assert found["country=other"] == 49
    halves = admitted(words[:25], [], 3) | admitted(words[25:], [], 3)
    assert admitted(halves, [], 3) == admitted(words, [], 3)


def test_long_versions_and_segments_are_cut() -> None:
    model = model_of()
    event = {"id": "a", "ts": NOW, "v": "v" * 10**5, "f": {"country": "c" * 10**5}, "prediction": 0}
    for record in count_block(read(model, [event], LAYOUT), LAYOUT, "m", model, TIME, None).panes:
        assert len(record.version) <= 128
        assert len(record.segment) <= 140
        assert len(record.counts) < 4000


@pytest.mark.parametrize(
    ("window", "pane", "expected"),
    [
        (WindowSpec(size=300_000), 0, 10_000),
        (WindowSpec(size=3_600_000, slide=600_000), 0, 20_000),
        (WindowSpec(size=7 * 86_400_000), 0, 4 * 3_600_000),
        (WindowSpec(size=1500), 0, 1500),
        (WindowSpec(size=7000), 0, 1000),
        (WindowSpec(size=300_000), 60_000, 60_000),
    ],
)
def test_raw_pane(window: WindowSpec, pane: int, expected: int) -> None:
    assert raw_pane_ms(model_of(window=window, pane=pane)) == expected


def test_chosen_pane() -> None:
    week = model_of(window=WindowSpec(size=7 * 86_400_000))
    hourly = np.arange(10_000) * 3_600_000
    assert choose_pane(week, hourly) == 7 * 86_400_000  # a day has but 24 rows
    assert choose_pane(week, hourly // 60) == 30 * 60_000
    assert choose_pane(week, np.arange(10**6)) == 1000
    assert choose_pane(model_of(window=WindowSpec(size=60_000)), hourly) == 60_000  # all that the window allows
    assert choose_pane(model_of(pane=1234), hourly) == 1234
