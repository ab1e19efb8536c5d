"""Bytes -> columns: every kind of good and bad event, and the quick way against the plain one."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.layouts import CategoricalLayout, Layout, NumericLayout
from stream_monitor.config import Config, Fields, Kafka, LabelFields, Labels, Model
from stream_monitor.counting.batches import BOOL, MISSING, NESTED, NONFINITE, NUMBER, TEXT, Batch, Column, Records
from stream_monitor.counting.plans import Plan, event_plan, label_plan
from stream_monitor.formats import decode, decode_labels
from tests.fuzz.plain import differences

NOW = 1_700_000_000_000
FIELDS = Fields(
    id="id", time="ts", version="model.version", features="features", prediction="prediction", score="score",
    label="label", latency_ms="latency",
)  # fmt: skip
LABELS = Labels(topic="labels", fields=LabelFields(id="id", time="ts", label="y"))
MODEL = Model(topic=("t",), task="binary", fields=FIELDS, labels=LABELS, segments=("country",))
LAYOUT = Layout(
    pane_ms=1000,
    features={"amount": NumericLayout(edges=(0.0, 10.0)), "country": CategoricalLayout(categories=("de", "fr"))},
    predictions={"prediction": NumericLayout(edges=(0.5,)), "score": NumericLayout(edges=(0.5,))},
)
GOOD: dict[str, Any] = {
    "id": "a",
    "ts": NOW,
    "model": {"version": "v1"},
    "features": {"amount": 5.5, "country": "de"},
    "prediction": 1,
    "score": 0.9,
}


def plan_of(model: Model = MODEL, **kafka: Any) -> Plan:
    return event_plan("m", Config(models={"m": model}, kafka=Kafka(**kafka)))


PLAN = plan_of()  # one for all: what it learnt of an event must not show in another's columns


def records(*values: bytes | None) -> Records:
    n = len(values)
    return Records(values=list(values), timestamps_ms=np.full(n, NOW), offsets=np.arange(n, dtype=np.int64) + 100)


def event(**changes: Any) -> bytes:
    return json.dumps({k: v for k, v in {**GOOD, **changes}.items() if v is not ...}).encode()


def one(value: bytes | None, model: Model = MODEL, layout: Layout | None = LAYOUT, **kafka: Any) -> str | Batch:
    """The reason, or the batch."""
    batch, dead = decode(records(value), PLAN if model is MODEL and not kafka else plan_of(model, **kafka), layout, NOW)
    assert len(batch) + len(dead) == 1
    return dead[0].reason if dead else batch


NAN = b'{"id": "a", "ts": 1, "model": {"version": "v"}, "features": {"amount": NaN}, "prediction": Infinity}'
REASONS: list[tuple[str, bytes | None, str]] = [
    ("no value", None, "null_value"),
    ("empty", b"", "not_json"),
    ("blank", b" \n", "not_json"),
    ("text", b"hello", "not_json"),
    ("cut off", event()[:-1], "not_json"),
    ("two objects", event() + event(), "not_json"),
    ("not utf-8", b'{"id": "\xff"}', "not_utf8"),
    ("not utf-8 in a field nobody reads", event()[:-1] + b', "x": "\xff"}', "not_utf8"),
    ("not utf-8 and not JSON", b"\xff{", "not_utf8"),
    ("utf-16", json.dumps(GOOD).encode("utf-16"), "not_utf8"),
    ("surrogates as utf-8", b'{"id": "\xed\xa0\x80"}', "not_utf8"),
    ("10 MB", event(x="y" * 10_000_000), "too_large"),
    ("10 MB of garbage", b"\xff" * 10_000_000, "too_large"),
    ("deep", b"[" * 100_000, "not_json"),
    ("deep and whole", b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", "not_json"),
    ("a deep event", event()[:-1] + b', "x":' + b"[" * 600 + b"]" * 600 + b"}", "not_json"),
    ("a control character", b'{"id": "\x01"}', "not_json"),
    ("too long an integer", event()[:-1] + b', "x": ' + b"1" * 5000 + b"}", "not_json"),
    ("a list", b"[1]", "not_an_object"),
    ("a number", b"1", "not_an_object"),
    ("null", b"null", "not_an_object"),
    ("a text", b'"a"', "not_an_object"),
    ("NaN alone", b"NaN", "not_an_object"),
    ("no id", event(id=...), "missing_field"),
    ("null id", event(id=None), "missing_field"),
    ("no time", event(ts=...), "missing_field"),
    ("no version", event(model={}), "missing_field"),
    ("version below a text", event(model="v1"), "missing_field"),
    ("version below null", event(model=None), "missing_field"),
    ("version below a list", event(model=[]), "missing_field"),
    ("no features", event(features=...), "missing_field"),
    ("null features", event(features=None), "missing_field"),
    ("null prediction", event(prediction=None), "missing_field"),
    ("missing before wrong", event(id=[], prediction=None), "missing_field"),
    ("features no object", event(features=[1]), "wrong_type"),
    ("features a text", event(features="a"), "wrong_type"),
    ("features missing, id wrong", event(features=None, id={}), "missing_field"),
    ("id a list", event(id=[1]), "wrong_type"),
    ("id a boolean", event(id=True), "wrong_type"),
    ("prediction an object", event(prediction={"a": 1}), "wrong_type"),
    ("score a text", event(score="0.9"), "wrong_type"),
    ("score a boolean", event(score=True), "wrong_type"),
    ("score a list", event(score=[0.9]), "wrong_type"),
    ("version an object", event(model={"version": {}}), "wrong_type"),
    ("wrong before bad time", event(id=[], ts="x"), "wrong_type"),
    ("time without offset", event(ts="2024-01-01T00:00:00"), "bad_time"),
    ("time a boolean", event(ts=True), "bad_time"),
    ("time an object", event(ts={}), "bad_time"),
    ("time NaN", event(ts=math.nan), "bad_time"),
    ("time in 2100", event(ts="2100-01-01T00:00:00Z"), "future_time"),
    ("time a little ahead", event(ts=NOW + 3_600_001), "future_time"),
    ("time far beyond", event(ts=1e300), "future_time"),
]


@pytest.mark.parametrize(("value", "reason"), [r[1:] for r in REASONS], ids=[r[0] for r in REASONS])
@pytest.mark.parametrize("layout", [LAYOUT, None], ids=["layout", "raw"])
def test_dead(value: bytes | None, reason: str, layout: Layout | None) -> None:
    assert one(value, layout=layout) == reason


GOODS: list[tuple[str, bytes]] = [
    ("plain", event()),
    ("NaN and Infinity", NAN),
    ("1970", event(ts=0)),
    ("an hour ahead", event(ts=NOW + 3_600_000)),
    ("BOM", b"\xef\xbb\xbf" + event()),
    ("twice the same key", event()[:-1] + b', "id": "b"}'),
    ("number id", event(id=17)),
    ("nothing optional", event(score=..., label=...)),
    ("null score", event(score=None)),
    ("label a list", event(label=[1])),
    ("latency a text", event(latency="fast")),
    ("unknown numbers beyond doubles", event()[:-1] + b', "x": 1e999, "y": ' + b"9" * 400 + b"}"),
    ("lone surrogate", event()[:-1] + b', "x": "\\ud800"}'),
    ("not ASCII", event(x="ü")),
    ("nested, but not too deep", event()[:-1] + b', "x":' + b"[" * 450 + b"]" * 450 + b"}"),
    ("many brackets side by side", event(x=[[]] * 2000)),
    ("brackets in a text", event(x="[" * 2000)),
    ("empty features", event(features={})),
    ("big", event(x="y" * 900_000)),
]


@pytest.mark.parametrize("value", [g[1] for g in GOODS], ids=[g[0] for g in GOODS])
@pytest.mark.parametrize("layout", [LAYOUT, None], ids=["layout", "raw"])
def test_alive(value: bytes, layout: Layout | None) -> None:
    assert isinstance(one(value, layout=layout), Batch)


def shown(of: Column) -> list[tuple[int, float | None, str | None]]:
    """(kind, number if it is one, word if it has one) of each value."""
    return [
        (
            int(kind),
            float(of.numbers[i]) if kind == NUMBER and len(of.numbers) else None,
            of.words[of.codes[i]] if len(of.codes) and of.codes[i] >= 0 else None,
        )
        for i, kind in enumerate(of.kinds.tolist())
    ]


BIG = 2**64 + 1
VALUES: list[tuple[str, tuple[int, float | None, str | None], tuple[int, float | None, str | None]]] = [
    # JSON, in a numeric column, in a categorical one
    ("1", (NUMBER, 1.0, None), (NUMBER, None, "1")),
    ("1.0", (NUMBER, 1.0, None), (NUMBER, None, "1.0")),
    ("-0.0", (NUMBER, -0.0, None), (NUMBER, None, "-0.0")),
    ("1e2", (NUMBER, 100.0, None), (NUMBER, None, "100.0")),
    (str(BIG), (NUMBER, float(BIG), None), (NUMBER, None, str(BIG))),
    ("1" + "0" * 400, (NONFINITE, None, None), (NONFINITE, None, "1" + "0" * 400)),
    ("1e999", (NONFINITE, None, None), (NONFINITE, None, "Infinity")),
    ("NaN", (NONFINITE, None, None), (NONFINITE, None, "NaN")),
    ("-Infinity", (NONFINITE, None, None), (NONFINITE, None, "-Infinity")),
    ("true", (BOOL, None, None), (BOOL, None, "true")),
    ('"1"', (TEXT, None, None), (TEXT, None, "1")),
    ('""', (TEXT, None, None), (TEXT, None, "")),
    ('"\\ud83d\\ude00"', (TEXT, None, None), (TEXT, None, "😀")),
    ('"\\ud83d"', (TEXT, None, None), (TEXT, None, "\\ud83d")),
    ("null", (MISSING, None, None), (MISSING, None, None)),
    ("[1]", (NESTED, None, None), (NESTED, None, None)),
    ("{}", (NESTED, None, None), (NESTED, None, None)),
]


@pytest.mark.parametrize(("text", "numeric", "categorical"), VALUES, ids=[v[0][:20] for v in VALUES])
def test_value(text: str, numeric: Any, categorical: Any) -> None:
    value = event(features="?").replace(b'"?"', f'{{"amount": {text}, "country": {text}}}'.encode())
    batch = one(value)
    assert isinstance(batch, Batch)
    amount, country = batch.features
    assert (shown(amount), shown(country)) == ([numeric], [categorical])
    raw = one(value, layout=None)
    assert isinstance(raw, Batch)
    kinds = [MISSING] if text == "null" else [numeric[0]]
    assert [c.kinds.tolist() for c in raw.features] == [kinds, kinds]


def test_text_columns_are_their_length() -> None:
    model = dataclasses.replace(MODEL, columns={"note": "text"})
    layout = dataclasses.replace(LAYOUT, features={"note": NumericLayout(edges=())})
    for of in (layout, None):
        batch, _ = decode(
            records(*(event(features={"note": v}) for v in ("abc", "", "ü😀", 7, None))), plan_of(model), of, NOW
        )
        note = batch.features[0]
        assert [c.name for c in batch.features[1:]] == ([] if of else ["note.tokens", "note.script"])
        assert [s[:2] for s in shown(note)] == [
            (NUMBER, 3.0), (NUMBER, 0.0), (NUMBER, 2.0), (NESTED, None), (MISSING, None),
        ]  # fmt: skip


def test_listed_features_are_paths() -> None:
    fields = dataclasses.replace(FIELDS, features=("a.b", "c", "a.b.c"))
    model = dataclasses.replace(MODEL, fields=fields, segments=("a.b", "model.version"))
    value = event(a={"b": 1}, **{"a.b": 2})
    for layout in (
        None,
        Layout(pane_ms=1, features={n: NumericLayout(edges=()) for n in fields.features}, predictions={}),
    ):
        batch = one(value, model, layout)
        assert isinstance(batch, Batch)
        assert [(c.name, shown(c)[0][:2]) for c in batch.features] == [
            ("a.b", (NUMBER, 1.0)),
            ("c", (MISSING, None)),  # an absent path is a missing value, not a missing field
            ("a.b.c", (MISSING, None)),
        ]
        assert {d: shown(c)[0][2] for d, c in batch.segments.items()} == {"a.b": "1", "model.version": "v1"}


def test_one_field_below_another() -> None:
    fields = dataclasses.replace(FIELDS, prediction="out", score="out.p", label="out.p.q")
    batch, dead = decode(
        records(event(out={"p": 1}), event(out=1)), plan_of(dataclasses.replace(MODEL, fields=fields)), LAYOUT, NOW
    )
    assert [(d.index, d.reason) for d in dead] == [(0, "wrong_type")]
    assert batch.score is not None
    assert shown(batch.score) == [(MISSING, None, None)]


def test_segments_by_key_then_by_path() -> None:
    values = [event(), event(features={}, country="at"), event(features={}), event(features={"country": [1]})]
    for layout in (LAYOUT, None):
        batch, _ = decode(records(*values), plan_of(), layout, NOW)
        assert [s[2] for s in shown(batch.segments["country"])] == ["de", "at", None, None]
        assert batch.segments["country"].kinds.tolist()[2:] == [MISSING, NESTED]


def test_kafka_time_when_none_is_configured() -> None:
    model = dataclasses.replace(MODEL, fields=dataclasses.replace(FIELDS, time=""))
    some = Records(
        values=[event(ts="junk")] * 3,
        timestamps_ms=np.array([NOW - 1, -1, NOW + 10**10]),
        offsets=np.array([5, 7, 9]),
    )
    batch, dead = decode(some, plan_of(model), LAYOUT, NOW)
    assert (batch.times_ms.tolist(), batch.offsets.tolist()) == ([NOW - 1], [5])
    assert [(d.index, d.reason) for d in dead] == [(1, "bad_time"), (2, "future_time")]


@pytest.mark.parametrize(
    ("task", "prediction", "score", "dead"),
    [
        ("regression", "a", None, True),
        ("regression", True, None, True),
        ("regression", 1.5, None, False),
        ("multiclass", "a", [0.1, 0.9], False),
        ("multiclass", "a", {"a": 0.1, "b": 0.9}, False),
        ("multiclass", 3, 0.4, False),
        ("multiclass", True, [], False),
        ("multiclass", "a", [0.1, "x"], True),
        ("multiclass", "a", {"a": None}, True),
        ("multiclass", "a", "high", True),
        ("none", "anything", None, False),
    ],
)
def test_impossible_kinds(task: Any, prediction: Any, score: Any, dead: bool) -> None:
    found = one(event(prediction=prediction, score=score), dataclasses.replace(MODEL, task=task))
    assert (found == "wrong_type") == dead


def test_multiclass_score_is_the_greatest() -> None:
    model = dataclasses.replace(MODEL, task="multiclass")
    batch, _ = decode(
        records(*(event(score=s) for s in ([0.2, 0.8], {"x": 0.6, "y\ud800": 0.4}, 0.3, None))),
        plan_of(model),
        None,
        NOW,
    )
    assert batch.score is not None
    assert [s[1] for s in shown(batch.score)] == [0.8, 0.6, 0.3, None]
    assert batch.class_scores is not None
    assert list(batch.class_scores) == [[0.2, 0.8], {"x": 0.6, "y\\ud800": 0.4}, None, None]


def test_max_event_is_exact() -> None:
    value = event()
    assert isinstance(one(value, max_event=len(value)), Batch)
    assert one(value, max_event=len(value) - 1) == "too_large"


def test_labels() -> None:
    plan = label_plan("m", Config(models={"m": MODEL}))
    values = [
        b'{"id": 1, "ts": 1000000, "y": true}',
        b'{"id": "\\ud800", "ts": "1970-01-01T00:00:01Z", "y": "fraud"}',
        b'{"id": "a", "y": 1}',
        b'{"id": "a", "ts": 1, "y": null}',
        b'{"id": "a", "ts": 1, "y": [1]}',
        b'{"id": {}, "ts": 1, "y": 1}',
        b'{"id": "a", "ts": "then", "y": 1}',
        b'{"id": "a", "ts": 9e9, "y": 1}',
        b"{",
        None,
    ]
    batch, dead = decode_labels(records(*values), plan, NOW)
    assert (batch.ids, batch.labels, batch.times_ms.tolist()) == (
        ["1", "\\ud800"],
        [1.0, "fraud"],
        [1_000_000_000, 1000],
    )
    assert batch.offsets.tolist() == [100, 101]
    assert [(d.index, d.reason) for d in dead] == [
        (2, "missing_field"), (3, "missing_field"), (4, "wrong_type"), (5, "wrong_type"), (6, "bad_time"),
        (7, "future_time"), (8, "not_json"), (9, "null_value"),
    ]  # fmt: skip


# The quick way must agree with json.loads to the last bit, on anything.

NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(json.dumps),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
SCALARS = st.one_of(
    NUMBERS,
    st.sampled_from(
        ["null", "true", "false", '"a"', '"\\u00e9"', '"\\ud800"', '"1"', "-", "01", '"\\q"', '"\x01"', "1."]
    ),
    st.text(max_size=5).map(json.dumps),
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda v: f"[{','.join(v)}]"),
        st.lists(st.tuples(st.sampled_from(["a", "amount", "version", "\u00fc"]), inner), max_size=3).map(
            lambda v: "{" + ",".join(f"{json.dumps(k)}: {x}" for k, x in v) + "}"
        ),
    ),
    max_leaves=6,
)
FEATURES = st.lists(st.tuples(st.sampled_from(["amount", "country", "x"]), SCALARS), max_size=4).map(
    lambda v: "{" + ",".join(f'"{k}":{x}' for k, x in v) + "}"
)


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """Mostly good events, with anything anywhere, keys twice, and bytes broken now and then."""
    parts = {
        "id": '"i"',
        "ts": "1600000000",
        "model": '{"version": "v"}',
        "features": draw(FEATURES),
        "prediction": "1",
    }
    for key in draw(st.lists(st.sampled_from([*parts, "score", "country", "x"]), max_size=2)):
        parts[key] = draw(ANY)
    listed = [f'"{k}":{v}' for k, v in parts.items()]
    if draw(st.booleans()):
        listed.append(draw(st.sampled_from(listed)))
        listed.append(f'"features":{draw(FEATURES)}')
    value = ("{" + ", ".join(listed) + "}").encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(value) - 1))
        value = value[:at] + draw(st.binary(max_size=2)) + value[at + 1 :]
    return value


@settings(max_examples=300, deadline=None)
@given(st.lists(events(), max_size=6), st.sampled_from([LAYOUT, None]))
def test_quick_like_plain(values: list[bytes], layout: Layout | None) -> None:
    assert differences(records(*values), PLAN, layout) == []


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_no_bytes_are_fatal(value: bytes) -> None:
    for layout in (LAYOUT, None):
        one(value, layout=layout)
