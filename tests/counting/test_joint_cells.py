"""Joint and residual cells of events, against plain Python that reads one event at a time; any cut gives the same."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.counts import merge
from detectors.layouts import CategoricalLayout, Layout, NumericLayout, Residual
from stream_monitor.config import Config, Fields, LabelFields, Labels, Model, Time
from stream_monitor.counting.batches import Records
from stream_monitor.counting.panes import count_block
from stream_monitor.counting.plans import event_plan
from stream_monitor.formats import decode
from stream_monitor.judging.references import residual_of
from stream_monitor.packing import unpack_counts

NOW = 1_700_000_000_000
EDGES: dict[str, tuple[float, ...]] = {"a": (0.0, 1.0), "b": (-1.0, 0.5, 2.0), "c": (0.0,)}
CATEGORIES = ("de", "fr")
VALUE = st.one_of(st.none(), st.just("text"), st.sampled_from([-2.0, -0.5, 0.0, 0.5, 1.5, 3.0]))
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "ts": st.integers(NOW - 3_000, NOW),
            "f": st.fixed_dictionaries(
                {}, optional={**dict.fromkeys(EDGES, VALUE), "k": st.sampled_from(["de", "fr", "xx", None])}
            ),
            "prediction": st.sampled_from([0, 1]),
        },
        optional={"score": st.sampled_from([0.0, 0.123456789, 0.5, 1.0, 1.5]), "label": st.sampled_from([0, 1, None])},
    ),
    max_size=25,
)


def layout_of(residual: Residual) -> Layout:
    return Layout(
        pane_ms=1000,
        features={n: NumericLayout(edges=e) for n, e in EDGES.items()}
        | {"k": CategoricalLayout(categories=CATEGORIES)},
        predictions={"prediction": NumericLayout(edges=(0.5,)), "score": NumericLayout(edges=(0.5,))},
        residual=residual,
    )


def model_of(task: Any) -> Model:
    fields = Fields(time="ts", features="f", prediction="prediction", score="score", label="label")
    return Model(topic=("t",), task=task, fields=fields, segments=("k",))


def panes(events: list[Any], model: Model, layout: Layout, first: int = 0) -> dict[tuple[str, int], Any]:
    values: list[bytes | None] = [json.dumps(e).encode() for e in events]
    n = len(values)
    records = Records(values=values, timestamps_ms=np.zeros(n, np.int64), offsets=np.arange(first, first + n))
    batch, _ = decode(records, event_plan("m", Config(models={"m": model})), layout, NOW)
    block = count_block(batch, layout, "m", model, Time(), None)
    return {(p.segment, p.start_ms): unpack_counts(p.counts) for p in block.panes}


def rank(value: Any, edges: tuple[float, ...]) -> int:
    return 2 * sum(e <= value for e in edges) - len(edges) if isinstance(value, float) else 0


def residual(event: dict[str, Any], how: Residual) -> int | None:
    label, score = event.get("label"), event.get("score")
    if label is None:
        return None
    if how == "score":
        return round(4096 * (label - score)) if score is not None and score <= 1 else None
    if how == "correct":
        return 4096 * int(label != event["prediction"])
    return int(label) - int(event["prediction"])


def expected(events: list[Any], how: Residual) -> list[int]:
    ranks = [[rank(e["f"].get(n), edges) for n, edges in EDGES.items()] for e in events]
    pairs = [sum(r[i] * r[j] for r in ranks) for i, j in ((0, 1), (0, 2), (1, 2))]
    told = [(x, r, e["f"].get("k")) for e, r in zip(events, ranks, strict=True) if (x := residual(e, how)) is not None]
    products = [sum(x * r[i] for x, r, _ in told) for i in range(3)]
    words = [sum(x for x, _, k in told if k == word) for word in CATEGORIES]
    return [*pairs, len(told), sum(x for x, _, _ in told), sum(x * x for x, _, _ in told), *products, *words]


@pytest.mark.parametrize(("task", "how"), [("binary", "score"), ("multiclass", "correct"), ("regression", "value")])
@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(0, 25))
def test_cells_across_columns(task: str, how: Residual, events: list[Any], cut: int) -> None:
    model, layout = model_of(task), layout_of(how)
    whole = panes(events, model, layout)
    groups: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for e in events:
        start, word = e["ts"] // 1000 * 1000, e["f"].get("k")
        groups["all", start].append(e)
        groups[f"k={'null' if word is None else word}", start].append(e)
    assert whole.keys() == groups.keys()
    for key, inside in groups.items():
        dense = np.zeros(layout.size, np.int64)
        dense[whole[key].cells] = whole[key].values
        assert dense[layout.joint_offset :].tolist() == expected(inside, how)
    parts = [panes(events[:cut], model, layout), panes(events[cut:], model, layout, cut)]
    assert {key: merge(p[key] for p in parts if key in p) for key in whole} == whole


def test_what_a_residual_is_follows_the_task() -> None:
    labels = Labels(topic="l", fields=LabelFields(id="id", label="y"))

    def told(task: Any, **fields: str) -> Residual:
        return residual_of(Model(topic=("t",), task=task, fields=Fields(**fields), labels=labels))

    assert told("binary", prediction="p", score="s") == "score"
    assert told("binary", prediction="p") == told("multiclass", prediction="p", score="s") == "correct"
    assert told("regression", prediction="p") == "value"
    assert told("ranking", prediction="p") == told("none", prediction="p") == told("regression") == ""
    assert residual_of(Model(topic=("t",), task="binary", fields=Fields(score="s"))) == ""


def test_residuals_under_a_prediction_that_is_counted_as_words() -> None:
    layout = layout_of("value")
    words = {**layout.predictions, "prediction": CategoricalLayout(categories=("0", "1"))}
    layout = Layout(pane_ms=1000, features=layout.features, predictions=words, residual="value")
    events = [{"ts": NOW, "f": {}, "prediction": p, "label": y} for p, y in ((0, 3), (2, 1), (1, 1), (0, 9))]
    (counts,) = (c for key, c in panes(events, model_of("regression"), layout).items() if key[0] == "all")
    dense = np.zeros(layout.size, np.int64)
    dense[counts.cells] = counts.values
    assert dense[layout.residual_offset :][:3].tolist() == [4, 64, 3 * 64**2]
