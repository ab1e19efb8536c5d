"""Kinds of columns: what is derived of a value, in every format, however the events are cut; and drifts seen by it."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.counts import merge
from detectors.layouts import CategoricalLayout, Layout, NumericLayout
from detectors.projections import directions
from stream_monitor import app
from stream_monitor.config import Config, Fields, Kind, Model, Reference, Time
from stream_monitor.config.kinds import DERIVED, PROJECTIONS, counted_as
from stream_monitor.counting.batches import MISSING, NESTED, NONFINITE, NUMBER, TEXT, Batch, Column
from stream_monitor.counting.derivations import derive, script
from stream_monitor.counting.embeddings import LONGEST
from stream_monitor.counting.panes import count_block
from stream_monitor.counting.plans import MODES, event_plan
from stream_monitor.formats import decode
from stream_monitor.judging.references import layout_from_raw, prepare
from stream_monitor.packing import unpack_counts
from stream_monitor.shell import logs
from tests.counting import writers
from tests.counting.writers import NOW

COLUMNS: Mapping[str, Kind] = {
    "amount": "numeric", "country": "categorical", "ok": "boolean", "note": "text", "at": "timestamp",
    "v": "embedding", "tags": "list", "why": "attribution",
}  # fmt: skip
MODEL = Model(topic=("t",), fields=Fields(id="id", time="ts", features="f"), columns=COLUMNS, pane=10_000)
NAMES = list(counted_as(COLUMNS))


def decoded(features: Sequence[Mapping[str, Any]], layout: Layout | None = None, model: Model = MODEL) -> Batch:
    events = [{"id": i, "ts": NOW, "f": f} for i, f in enumerate(features)]
    plan = event_plan("m", Config(models={"m": model}))
    batch, dead = decode(writers.records(writers.as_json(events)), plan, layout, NOW)
    assert not dead
    return batch


def shown(of: Column) -> list[Any]:
    """Numbers and words as they are, other values as their kind."""
    return [
        of.numbers[i] if kind == NUMBER else of.words[of.codes[i]] if kind == TEXT else ["kind", kind]
        for i, kind in enumerate(of.kinds.tolist())
    ]


def derived(kind: Kind, values: Sequence[Any], suffix: str, times_ms: Sequence[int] = ()) -> list[Any]:
    times = np.array(times_ms or [NOW] * len(values), np.int64)
    (of,) = derive("x", kind, values, times, [suffix])
    assert of.name == f"x.{suffix}"
    return shown(of)


GONE, BAD, ODD = (["kind", kind] for kind in (MISSING, NESTED, NONFINITE))


@pytest.mark.parametrize(
    ("kind", "suffix", "value", "expected"),
    [
        ("text", "tokens", "a  longer\tnote", 3.0),
        ("text", "tokens", "", 0.0),
        ("text", "tokens", 7, BAD),
        ("text", "tokens", None, GONE),
        ("text", "script", "für Ελλάδα", "Greek"),
        ("text", "script", "ab αβ", "Latin"),  # of as many letters the first
        ("text", "script", "مرحبا", "Arabic"),
        ("text", "script", "안녕하세요", "Hangul"),
        ("text", "script", "ありがとう", "Hiragana"),
        ("text", "script", "नमस्ते", "Devanagari"),
        ("text", "script", "😀 1234 !?", "none"),
        ("text", "script", ["a"], BAD),
        ("text", "script", None, GONE),
        ("timestamp", "age", NOW - 1_500, 1.5),
        ("timestamp", "age", NOW / 1000 + 60, -60.0),
        ("timestamp", "age", "2023-11-14T22:13:10.250Z", 9.75),
        ("timestamp", "age", str(NOW // 1000 - 1), 1.0),
        ("timestamp", "age", "yesterday", BAD),
        ("timestamp", "age", True, BAD),
        ("timestamp", "age", None, GONE),
        ("timestamp", "hour_of_week", "2026-01-05T00:59:59Z", 0.0),  # a Monday
        ("timestamp", "hour_of_week", "2026-01-11T23:00:00Z", 167.0),
        ("timestamp", "hour_of_week", "2026-01-05T00:30:00+01:00", 167.0),  # in UTC it is still Sunday
        ("timestamp", "hour_of_week", 0, 72.0),  # 1970 began on a Thursday
        ("timestamp", "hour_of_week", [], BAD),
        ("embedding", "length", [1, 2.5, -3], 3.0),
        ("embedding", "norm", [3, 4], 5.0),
        ("embedding", "norm", [], 0.0),
        ("embedding", "norm", [math.nan, 1], ODD),
        ("embedding", "norm", [1e300, 1e300], ODD),
        ("embedding", "norm", [1, "2"], BAD),
        ("embedding", "norm", [1, True], BAD),
        ("embedding", "norm", [1, None], BAD),
        ("embedding", "norm", [10**400], BAD),
        ("embedding", "norm", "[1, 2]", BAD),
        ("embedding", "length", [0] * (LONGEST + 1), BAD),
        ("embedding", "length", None, GONE),
        ("list", "length", ["a", "b"], 2.0),
        ("list", "length", {"a": 1}, BAD),
        ("list", "length", None, GONE),
    ],
)
def test_derived_values(kind: Kind, suffix: str, value: Any, expected: Any) -> None:
    assert derived(kind, [value], suffix) == [expected]


def test_age_is_of_the_event() -> None:
    assert derived("timestamp", [NOW] * 3, "age", [NOW, NOW + 10, NOW - 10_000]) == [0.0, 0.01, -10.0]


def test_scripts_are_blocks_in_order() -> None:
    assert [script(c) for c in "zé×ßΩжԱאمदกགა한ゟヲ漢ﬀ"] == [
        "Latin", "Latin", "none", "Latin", "Greek", "Cyrillic", "Armenian", "Hebrew", "Arabic", "Devanagari", "Thai",
        "Tibetan", "Georgian", "Hangul", "Hiragana", "Katakana", "Han", "Latin",
    ]  # fmt: skip


@pytest.mark.parametrize("length", [1, 7, 384])
def test_projections_are_signed_sums(length: int) -> None:
    """Of a unit vector the projection is its place's sign over the root of the length; and they add up."""
    signs = directions(length, PROJECTIONS)
    assert signs.shape == (length, PROJECTIONS)
    for place in {0, length // 2, length - 1}:
        unit = [0.0] * length
        unit[place] = 1.0
        for k in (0, 7, PROJECTIONS - 1):
            assert derived("embedding", [unit], f"p{k}") == [signs[place, k] / math.sqrt(length)]
    rng = random.Random(length)
    vector = [rng.gauss(0, 1) for _ in range(length)]
    for k in range(PROJECTIONS):
        exact = math.fsum(v * s for v, s in zip(vector, signs[:, k].tolist(), strict=True)) / math.sqrt(length)
        assert derived("embedding", [vector], f"p{k}")[0] == pytest.approx(exact, rel=1e-12, abs=1e-12)


def test_directions_are_even_and_apart() -> None:
    """Signs are as good as drawn: means and products of 4,096 of them within 5 standard deviations of 0."""
    signs = directions(4096, PROJECTIONS)
    assert np.abs(signs.mean(axis=0)).max() < 5 / 64
    products = signs.T @ signs / 4096 - np.eye(PROJECTIONS)
    assert np.abs(products).max() < 5 / 64


def some_features(n: int, seed: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "amount": rng.gauss(0, 1),
            "country": rng.choice(["de", "fr", None]),
            "ok": rng.choice([True, False, None]),
            "note": rng.choice(["a note", "заметка", "x", None, "two\nlines of it"]),
            "at": rng.choice([None, NOW - rng.randrange(10**6)]),
            "v": rng.choice([None, [rng.gauss(0, 1) for _ in range(5)], [1.0, 2.0]]),
            "tags": rng.choice([None, ["a"], ["a", "b"], []]),
            "why": rng.choice([None, rng.gauss(0, 1)]),
        }
        for _ in range(n)
    ]


LAYOUT = Layout(
    pane_ms=10_000,
    features={
        name: CategoricalLayout(categories=("false", "true", "Latin", "de"))
        if kind in ("categorical", "boolean")
        else NumericLayout(edges=(-1.0, 0.0, 0.5, 2.0, 5.0, 100.0))
        for name, kind in counted_as(COLUMNS).items()
    },
    predictions={},
)


def counted(values: Sequence[bytes | None], format: str, layout: Layout | None, cut: int | None = None) -> Any:
    plan = event_plan("m", Config(models={"m": replace(MODEL, format=format)}))
    records = writers.records(values)
    pieces = [slice(0, cut), slice(cut, None)] if cut is not None else [slice(None)]
    found: dict[Any, list[Any]] = {}
    for piece in pieces:
        some = records.take(np.arange(len(records))[piece])
        batch, dead = decode(some, plan, layout, NOW)
        assert not dead
        for pane in count_block(batch, layout, "m", MODEL, Time(), None).panes:
            found.setdefault((pane.segment, pane.start_ms), []).append(unpack_counts(pane.counts))
    return {key: (c := merge(parts), c.rows, c.cells.tolist(), c.values.tolist())[1:] for key, parts in found.items()}


@pytest.mark.parametrize("layout", [LAYOUT, None], ids=["layout", "raw"])
@pytest.mark.parametrize("name", ["json", "msgpack", "arrow", "arrow files", "json in gzip"])
def test_every_format_derives_the_same(name: str, layout: Layout | None) -> None:
    events = [{"id": str(i), "ts": NOW - i, "f": f} for i, f in enumerate(some_features(60))]
    format, write = writers.WRITERS[name]
    expected = counted(writers.as_json(events), "json", layout)
    assert counted(write(events), format, layout) == expected
    for cut in (1, 3):
        assert counted(write(events), format, layout, cut) == expected


@settings(max_examples=20, deadline=None)
@given(
    values=st.lists(st.lists(st.floats(allow_nan=False, width=32), max_size=40) | st.none(), min_size=1, max_size=12),
    cut=st.integers(0, 12),
)
def test_embeddings_hang_on_nothing_but_themselves(values: list[Any], cut: int) -> None:
    """Bit for bit, whatever else is in the block."""
    suffixes = list(DERIVED["embedding"])
    times = np.zeros(len(values), np.int64)
    whole = derive("v", "embedding", values, times, suffixes)
    parts = [derive("v", "embedding", part, times[: len(part)], suffixes) for part in (values[:cut], values[cut:])]
    for i, of in enumerate(whole):
        assert of.numbers.tobytes() == b"".join(part[i].numbers.tobytes() for part in parts)
        assert of.kinds.tobytes() == b"".join(part[i].kinds.tobytes() for part in parts)


ATTRIBUTION = Layout(pane_ms=1, features={"why.a": NumericLayout(edges=(0.0,))}, predictions={})


@pytest.mark.parametrize("layout", [None, ATTRIBUTION], ids=["raw", "layout"])
def test_attributions_are_counted_by_their_size(layout: Layout | None) -> None:
    """Beside the features as well as among them; by the compiled walk of JSON as well as by the plain way."""
    model = replace(MODEL, fields=Fields(features=("f.x", "why.a")), columns={"why.a": "attribution"})
    values: list[Any] = [-1.5, 2.0, -0.0, None, "3", -7]
    events = [{"f": {"x": -1}, "why": {"a": v}} for v in values]
    for format, write in (("json", writers.as_json), ("msgpack", writers.WRITERS["msgpack"][1])):
        plan = event_plan("m", Config(models={"m": replace(model, format=format)}))
        batch, dead = decode(writers.records(write(events)), plan, layout, NOW)
        (of,) = [c for c in batch.features if c.name == "why.a"]
        assert not dead
        assert of.numbers.tolist() == [1.5, 2.0, 0.0, 0.0, 0.0, 7.0]
        assert [c.numbers.tolist() for c in batch.features if c.name == "f.x"] in ([], [[-1.0] * 6])


def test_columns_of_a_layout_learnt_from_a_file_and_from_the_raw_counts_are_the_same(tmp_path: Path) -> None:
    rows = [{"id": i, "ts": NOW - 1000 * i, **f} for i, f in enumerate(some_features(800))]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    model = replace(MODEL, reference=Reference(file="r.parquet"))
    from_file = prepare("m", model, tmp_path).layout
    assert from_file is not None
    batch = decoded([{k: v for k, v in r.items() if k not in ("id", "ts")} for r in rows])
    panes = count_block(batch, None, "m", MODEL, Time(), None).panes
    from_raw = layout_from_raw(MODEL, merge(unpack_counts(p.counts) for p in panes if p.segment == "all"))
    for layout in (from_file, from_raw):
        assert sorted(layout.features) == sorted(NAMES)
        assert {n: of.kind for n, of in layout.features.items()} == {
            n: "categorical" if kind in ("categorical", "boolean") else "numeric"
            for n, kind in counted_as(COLUMNS).items()
        }
        assert layout.features["ok"] == CategoricalLayout(categories=("false", "true"))
    assert [c.name for c in decoded(some_features(5), from_file).features if "." not in c.name] == [
        n for n in from_file.features if n in MODES or "." not in n
    ]


def test_a_reference_without_times_has_no_ages(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(some_features(300)), tmp_path / "r.parquet")
    layout = prepare("m", replace(MODEL, reference=Reference(file="r.parquet")), tmp_path).layout
    assert layout is not None
    assert sorted(layout.features) == sorted(set(NAMES) - {"at.age"})


CONFIG = """\
models:
  m:
    topic: t
    fields: {id: id, time: ts, features: f}
    columns: {note: text, at: timestamp, v: embedding, amount: numeric, why_a: attribution, why_b: attribution}
    reference: {file: reference.jsonl}
    pane: 10s
    window: {size: 1m}
    monitors:
      - {metric: psi, columns: [note, note.tokens, note.script, at.age, v.norm, v.p0, v.p1, v.p2, v.p3, amount],
         threshold: 0.5}
      - {metric: text_drift}
      - {metric: embedding_drift, columns: v}
      - {metric: embedding_mmd}
      - {metric: attribution_drift}
    alerts: {for: 1}
"""


def drifting(n: int, seed: int, *, begin_ms: int, drift_from: int | None) -> list[dict[str, Any]]:
    """Events of ten minutes; from `drift_from` on notes are longer and in Greek, embeddings have another centre, what
    `at` tells of is older and the model goes by b instead of a. The amount stays as it is."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        drifted = drift_from is not None and i >= drift_from
        ts = begin_ms + 600_000 * i // n
        words = [rng.choice(["άλφα", "βήτα"] if drifted else ["alpha", "beta"]) for _ in range(8 if drifted else 4)]
        rows.append(
            {
                "id": f"e{i}",
                "ts": ts,
                "f": {
                    "note": " ".join(words),
                    "at": ts - int(rng.expovariate(1 / (600_000 if drifted else 60_000))),
                    "v": [rng.gauss(4 * directions(8, PROJECTIONS)[j, 1] if drifted else 0, 1) for j in range(8)],
                    "amount": rng.gauss(0, 1),
                    "why_a": rng.gauss(0, 0.2 if drifted else 1),
                    "why_b": rng.gauss(0, 1 if drifted else 0.2),
                },
            }
        )
    return rows


def test_drifts_are_seen(tmp_path: Path) -> None:
    for name, rows in (
        ("reference", drifting(6_000, 1, begin_ms=NOW - 3_600_000, drift_from=None)),
        ("events", drifting(6_000, 2, begin_ms=NOW - 1_200_000, drift_from=3_000)),
    ):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "monitor.yaml").write_text(CONFIG)
    out = tmp_path / "out"
    app.replay(
        str(tmp_path / "monitor.yaml"), "m", str(tmp_path / "events.jsonl"), None, str(out), logs.Formatter("text")
    )
    verdicts = [json.loads(line) for line in (out / "verdicts.jsonl").read_text().splitlines()]
    starts = sorted({v["start"] for v in verdicts})
    early, late = starts[1:4], starts[7:9]
    by_column: dict[str, dict[str, set[str]]] = {}
    together = {"text_drift": "note", "embedding_drift": "v", "embedding_mmd": "v", "attribution_drift": "attributions"}
    for metric, column in together.items():
        found = {v["start"]: v for v in verdicts if v["metric"] == metric}
        assert {v["column"] for v in found.values()} == {column}
        assert {found[s]["level"] for s in early} == {"ok"}
        assert {found[s]["level"] for s in late} == {"drift"}
        assert max(found[s]["p_value"] for s in late) < 1e-6 < min(found[s]["p_value"] for s in early)
        assert all(found[s]["rows"] >= 500 and found[s]["reference_rows"] == 6_000 for s in late)
    for v in [v for v in verdicts if v["metric"] == "psi"]:
        when = "early" if v["start"] in early else "late" if v["start"] in late else "between"
        by_column.setdefault(v["column"], {}).setdefault(when, set()).add(v["level"])
    assert all(levels["early"] == {"ok"} for levels in by_column.values())
    drifted = {column for column, levels in by_column.items() if levels["late"] == {"drift"}}
    assert drifted >= {"note", "note.tokens", "note.script", "at.age", "v.norm", "v.p1"}
    assert "amount" not in drifted
    for window in (out / "windows.jsonl").read_text().splitlines():
        for name, of in json.loads(window)["columns"].items():
            assert json.loads(window)["rows"] == sum(of["counts"]) + of["other"] + of["missing"] + of["invalid"], name
        assert "άλφα" not in window  # no text leaves the tap
