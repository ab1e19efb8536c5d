"""What is counted of labels and predictions, joined or in one event, against sums over single events."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.counts import outcome
from detectors.layouts import (
    ABSOLUTE_ERROR,
    CORRECT,
    ERROR,
    FN,
    FP,
    LABEL_DELAY,
    LABEL_SQUARE,
    LABEL_VALUE,
    LABELS,
    LIMBS,
    LOG_LOSS,
    NEGATIVE_SCORES,
    NONZERO_LABELS,
    POSITIVE_SCORES,
    RELATIVE_ERROR,
    RELATIVE_SQUARE,
    SCORED,
    SQUARED_ERROR,
    SQUARED_SCORE_ERROR,
    SYMMETRIC_ERROR,
    SYMMETRIC_SQUARE,
    TN,
    TP,
)  # fmt: skip
from stream_monitor.config import Config, Model
from stream_monitor.counting.batches import Records, labels_of, predictions_of
from stream_monitor.counting.classes import class_scores, of_labels
from stream_monitor.counting.panes import count_block, count_joined, segments_of
from stream_monitor.counting.plans import label_plan
from stream_monitor.formats import decode_labels
from stream_monitor.interfaces import Joined
from stream_monitor.packing import unpack_counts
from tests.counting.blocks import LAYOUT, NOW, SOURCE, TIME, merged, model_of, read, total


def join(model: Model, predictions: list[Any], labels: list[Any]) -> list[Joined]:
    batch = read(model, predictions, None)
    found = predictions_of(batch, SOURCE, segments_of(batch, None, model))
    values: list[bytes | None] = [json.dumps(e).encode() for e in labels]
    n = len(values)
    records = Records(values=values, timestamps_ms=np.zeros(n, np.int64), offsets=np.arange(n))
    told, dead = decode_labels(records, label_plan("m", Config(models={"m": model})), NOW)
    assert not dead
    return [Joined(p, y) for p, y in zip(found, labels_of(told, SOURCE), strict=True)]


def test_joined_labels() -> None:
    model = model_of()
    events = [
        {"id": i, "ts": NOW - 60_000, "v": "v1", "f": {"country": c}, "prediction": p, "score": s}
        for i, c, p, s in ((1, "de", 1, 0.75), (2, "de", 0, 0.25), (3, None, 1, 0.5))
    ]
    labels = [{"id": i, "ts": NOW - 60_000 + d, "y": y} for i, d, y in ((1, 1500, 1), (2, 1500, True), (3, 2500, 0))]
    pairs = join(model, events, labels)
    assert pairs[0].prediction.position == "t@id/0/0"
    records = count_joined(pairs, [5, 9, 7], LAYOUT, "m", model)
    start = NOW - 60_000
    assert [(r.version, r.segment, r.start_ms, r.layout, r.offsets, r.late) for r in records] == [
        ("v1", "all", start + 1000, LAYOUT.id, (5, 10), 0),
        ("v1", "all", start + 2000, LAYOUT.id, (7, 8), 0),
        ("v1", "country=de", start + 1000, LAYOUT.id, (5, 10), 0),
        ("v1", "country=null", start + 2000, LAYOUT.id, (7, 8), 0),
    ]
    counts = unpack_counts(records[0].counts)
    cells = outcome(counts).cells
    assert counts.rows == 0
    assert cells[[LABELS, CORRECT, TP, FP, FN, TN, SCORED]].tolist() == [2, 1, 1, 0, 1, 0, 2]
    assert total(cells, LABEL_DELAY) == 3.0
    assert total(cells, SQUARED_SCORE_ERROR) == 0.25**2 + 0.75**2
    late = count_joined(pairs, [5, 9, 7], LAYOUT, "m", model, late=[True, False, False])
    assert sum(r.late for r in late if r.segment == "all") == 1
    assert sum(int(outcome(unpack_counts(r.counts)).cells[LABELS]) for r in late if r.segment == "all") == 2
    assert count_joined([], [], LAYOUT, "m", model) == []


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, "1"]), st.floats(0, 1), st.sampled_from([0, 1, True]), st.integers(0, 9000)),
        min_size=1, max_size=12,
    ),
    st.integers(0, 12),
)  # fmt: skip
def test_any_cut_of_joined_labels_gives_the_same(rows: list[Any], cut: int) -> None:
    model = model_of()
    events = [
        {
            "id": i,
            "ts": NOW - 60_000,
            "v": f"v{i % 2}",
            "f": {"country": ("de", None)[i % 2]},
            "prediction": p,
            "score": s,
        }
        for i, (p, s, _, _) in enumerate(rows)
    ]
    pairs = join(model, events, [{"id": i, "ts": NOW - 60_000 + d, "y": y} for i, (*_, y, d) in enumerate(rows)])
    offsets = list(range(len(pairs)))
    for layout in (LAYOUT, None):
        parts = count_joined(pairs[:cut], offsets[:cut], layout, "m", model)
        parts += count_joined(pairs[cut:], offsets[cut:], layout, "m", model)
        assert merged(parts) == merged(count_joined(pairs, offsets, layout, "m", model))


def outcome_cells(model: Model, events: list[Any]) -> Any:
    events = [{"id": "a", "ts": NOW, "v": "", "f": {}, **e} for e in events]
    (record,) = count_block(read(model, events, None), None, "m", model, TIME, None).panes
    return outcome(unpack_counts(record.counts)).cells


def test_regression() -> None:
    model = model_of(task="regression", segments=())
    cells = outcome_cells(
        model,
        [
            {"prediction": p, "label": y}
            for p, y in ((3.0, 1), (1, 2.5), (1, None), (1, "x"), (1e200, -1e200), (math.nan, 1))
        ],
    )
    assert cells[LABELS] == 3
    assert total(cells, ABSOLUTE_ERROR) == pytest.approx(2e200)
    assert total(cells, ERROR) == pytest.approx(2e200)
    assert total(cells, SQUARED_ERROR) == pytest.approx(1.7976931348623157e308)
    cells = outcome_cells(model, [{"prediction": p, "label": y} for p, y in ((3.0, 1), (1, 2.5))])
    assert [total(cells, c) for c in (ERROR, ABSOLUTE_ERROR, SQUARED_ERROR)] == [0.5, 3.5, 6.25]
    assert [total(cells, c) for c in (LABEL_VALUE, LABEL_SQUARE)] == [3.5, 7.25]
    assert [total(cells, c) for c in (RELATIVE_ERROR, RELATIVE_SQUARE)] == [2.6, 4.36]  # 2 / 1 and 1.5 / 2.5
    assert total(cells, SYMMETRIC_ERROR) == pytest.approx(1 + 3 / 3.5, rel=1e-15)
    assert total(cells, SYMMETRIC_SQUARE) == pytest.approx(1 + (3 / 3.5) ** 2, rel=1e-15)
    cells = outcome_cells(model, [{"prediction": p, "label": y} for p, y in ((0, 0), (2, 0), (1e9, 1e9 + 1))])
    assert (cells[LABELS], cells[NONZERO_LABELS]) == (3, 1)
    assert total(cells, SYMMETRIC_ERROR) == pytest.approx(2 + 1e-9)
    square = sum(int(d) << (32 * i) for i, d in enumerate(cells[LABEL_SQUARE : LABEL_SQUARE + LIMBS]))
    assert square == (10**9 + 1) ** 2 << 1074  # one more bit than a double has


def test_multiclass() -> None:
    model = model_of(task="multiclass", segments=())
    cells = outcome_cells(
        model,
        [
            {"prediction": "a", "label": "a", "score": {"a": 0.5, "b": 0.5}},
            {"prediction": "a", "label": "b", "score": {"a": 0.75, "b": 0.25}},
            {"prediction": 1, "label": "1", "score": [0.5, 0.5]},
            {"prediction": 1, "label": 2, "score": [0.5, 0.5]},  # a class the model does not know
            {"prediction": 1, "label": 1.0},
            {"prediction": 1, "label": 1.0, "score": [2, -(10**400)]},  # no probabilities
        ],
    )
    assert cells[[LABELS, CORRECT, SCORED]].tolist() == [6, 4, 4]
    losses = [math.log(2), math.log(4), math.log(2), -math.log(1e-15)]
    assert total(cells, LOG_LOSS) == pytest.approx(sum(losses), rel=1e-14)
    assert total(cells, SQUARED_SCORE_ERROR) == 0.5 + 2 * 0.75**2 + 0.5 + 1.5
    assert cells[POSITIVE_SCORES : POSITIVE_SCORES + 100].nonzero()[0].tolist() == [50]
    assert cells[NEGATIVE_SCORES : NEGATIVE_SCORES + 100].nonzero()[0].tolist() == [50, 75]


def test_a_loss_is_of_events_whose_class_has_a_probability() -> None:
    """A single number says how sure a model is, and not of which class; one bad entry, that they are none."""
    model = model_of(task="multiclass", segments=())
    told = {"prediction": "a", "label": "a", "score": {"a": 0.5, "b": 0.5}}
    cells = outcome_cells(model, [told, {**told, "score": 0.6}, {**told, "score": {"a": 0.6, "b": 0.5, "c": -0.1}}])
    assert cells[[LABELS, CORRECT, SCORED]].tolist() == [3, 3, 1]
    assert total(cells, LOG_LOSS) == math.log(2)
    assert cells[POSITIVE_SCORES : POSITIVE_SCORES + 100].nonzero()[0].tolist() == [50, 60]


def test_multiclass_without_a_prediction() -> None:
    """The class of the greatest probability is taken; without probabilities nothing can be told."""
    model = model_of(task="multiclass", segments=(), fields=dataclasses.replace(model_of().fields, prediction=""))
    said = [({"a": 0.75, "b": 0.25}, "a"), ([0.25, 0.75], 1), ({"a": 0.75, "b": 0.25}, "b"), (0.6, "a"), (None, "a")]
    cells = outcome_cells(model, [{"score": s, "label": y} for s, y in said])
    assert cells[[LABELS, CORRECT, SCORED]].tolist() == [3, 2, 3]
    assert cells[POSITIVE_SCORES : POSITIVE_SCORES + 100].sum() == 2
    assert cells[NEGATIVE_SCORES : NEGATIVE_SCORES + 100].sum() == 1


def _of_one(said: Any, name: str) -> tuple[float, float] | None:
    """What labels.of_labels says of a row, in plain Python."""
    of = said if isinstance(said, dict) else {str(i): p for i, p in enumerate(said or [])}
    if not of or not all(0 <= p <= 1 for p in of.values()):
        return None
    squares = 0.0
    for key in sorted(of):
        squares += (float(of[key]) - (key == name)) * (float(of[key]) - (key == name))
    return float(of.get(name, 0.0)), squares + (name not in of)


PROBABILITY = st.one_of(st.floats(0, 1), st.sampled_from([0, 1, -0.0, 1.5, -(10**400), math.nan]))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(), st.lists(PROBABILITY, max_size=12), st.dictionaries(st.sampled_from("01ab"), PROBABILITY),
            st.floats(0, 1),
        ), min_size=1, max_size=8,
    ), st.data(),
)  # fmt: skip
def test_scores_of_classes(values: list[Any], data: Any) -> None:
    """Whatever beside them, and in whatever order, to the last bit."""
    names = ["0", "1", "a", "01", "11", "10", "-1", "9" * 30]
    actual = np.array([data.draw(st.integers(0, len(names) - 1)) for _ in values], np.int64)
    rows = np.array([data.draw(st.booleans()) for _ in values], np.bool_)
    _, said = class_scores(values)
    told, given, squares = of_labels(said, rows, actual, names)
    for i, value in enumerate(values):
        expected = None if isinstance(value, float) else _of_one(value, names[actual[i]])
        found = (float(given[i]), float(squares[i])) if told[i] else None
        assert found == (expected if rows[i] else None)
    order = data.draw(st.permutations(range(len(values))))
    again = of_labels(said.take(np.array(order)), rows[order], actual[order], names)
    assert [x.tobytes() for x in again] == [x[order].tobytes() for x in (told, given, squares)]
    assert repr(list(said.take(rows).and_then(said))) == repr(
        [s for s, r in zip(said, rows, strict=True) if r] + [*said]
    )


def test_binary_without_a_prediction() -> None:
    model = model_of(segments=(), positive="yes", fields=dataclasses.replace(model_of().fields, prediction=""))
    cells = outcome_cells(
        model, [{"score": s, "label": y} for s, y in ((0.5, "yes"), (0.49, "no"), (0.9, "no"), (None, "no"))]
    )
    assert cells[[LABELS, CORRECT, TP, FP, FN, TN]].tolist() == [3, 2, 1, 1, 0, 1]  # of the last nothing can be told
