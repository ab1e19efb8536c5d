"""Every format against JSON: the same events are the same counts, and what is no event is the same dead letter."""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.layouts import CategoricalLayout, Layout, NumericLayout
from stream_monitor.config import Config, Format, Kafka
from stream_monitor.counting.batches import DeadLetter, LabelBatch
from stream_monitor.counting.plans import event_plan, label_plan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats import FORMATS, decode, decode_labels
from stream_monitor.formats.packed import unpack
from tests.counting import writers
from tests.counting.some_events import EVENT, LAYOUT, MODEL, counted, model_of, some_events, without
from tests.counting.writers import NOW, WRITERS, Event, records


@pytest.mark.parametrize("layout", [LAYOUT, None], ids=["layout", "raw"])
@pytest.mark.parametrize("name", WRITERS)
def test_the_same_counts_as_json(name: str, layout: Layout | None) -> None:
    format, write = WRITERS[name]
    events = some_events()
    assert counted(format, write(events), layout) == counted("json", writers.as_json(events), layout)


@pytest.mark.parametrize("name", WRITERS)
def test_auto_finds_out(name: str) -> None:
    events = some_events(20)
    assert counted("auto", WRITERS[name][1](events)) == counted("json", writers.as_json(events))


@pytest.mark.parametrize("name", WRITERS)
def test_any_cut_gives_the_same(name: str) -> None:
    format, write = WRITERS[name]
    values = write(some_events())
    plan = event_plan("m", Config(models={"m": model_of(format)}))
    whole, _ = decode(records(values), plan, None, NOW)
    rows = list(zip(whole.offsets.tolist(), whole.times_ms.tolist(), whole.ids or [], strict=True))
    for cut in (1, len(values) // 2):
        parts = []
        some = records(values)
        for piece in (slice(None, cut), slice(cut, None)):
            part = dataclasses.replace(
                some, values=some.values[piece], timestamps_ms=some.timestamps_ms[piece], offsets=some.offsets[piece]
            )
            batch, _ = decode(part, plan, None, NOW)
            parts += list(zip(batch.offsets.tolist(), batch.times_ms.tolist(), batch.ids or [], strict=True))
        assert parts == rows


@pytest.mark.parametrize("name", WRITERS)
def test_labels(name: str) -> None:
    format, write = WRITERS[name]
    events = [{"id": f"id-{i}", "ts": NOW - i, "y": i % 3 * 0.5} for i in range(20)]
    plan = label_plan("m", Config(models={"m": model_of(format)}))

    def read(values: Sequence[bytes | None], of: str) -> tuple[LabelBatch, list[DeadLetter]]:
        return decode_labels(records(values), dataclasses.replace(plan, format=Format(name=of)), NOW)

    (batch, dead), (expected, none) = read(write(events), format), read(writers.as_json(events), "json")
    assert (batch.ids, batch.labels, batch.times_ms.tolist()) == (
        expected.ids,
        expected.labels,
        expected.times_ms.tolist(),
    )
    assert dead == none == []


BAD: list[tuple[str, Event, str]] = [
    ("no id", without(EVENT, "id"), "missing_field"),
    ("null id", {**EVENT, "id": None}, "missing_field"),
    ("no version", without(EVENT, "model"), "missing_field"),
    ("null prediction", {**EVENT, "y": None}, "missing_field"),
    ("score a text", {**EVENT, "s": "high"}, "wrong_type"),
    ("missing before wrong", {**EVENT, "s": "high", "y": None}, "missing_field"),
    ("a time that is none", {**EVENT, "ts": "yesterday"}, "bad_time"),
    ("wrong before bad time", {**EVENT, "s": "high", "ts": "yesterday"}, "wrong_type"),
    ("the future", {**EVENT, "ts": NOW + 3_600_001}, "future_time"),
]


@pytest.mark.parametrize(("event", "reason"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
@pytest.mark.parametrize("name", WRITERS)
def test_bad_events(name: str, event: Event, reason: str) -> None:
    format, write = WRITERS[name]
    found, reasons = counted(format, write([event]))
    assert (found.total(), reasons) == (0, [reason])


@pytest.mark.parametrize("name", ["arrow", "arrow files", "arrow flat", "csv", "csv in lz4"])
def test_one_bad_event_of_many(name: str) -> None:
    """The others count, and the record is kept once."""
    format, write = WRITERS[name]
    events = some_events(7)
    found, reasons = counted(format, write([*events[:3], {**events[3], "y": None}, *events[4:]]))
    assert reasons == ["missing_field"]
    assert found == counted("json", writers.as_json([*events[:3], *events[4:]]))[0]
    plan = event_plan("m", Config(models={"m": model_of(format)}))
    _, (letter,) = decode(records(write([{**e, "y": None} if i in (3, 5) else e for i, e in enumerate(events)])),
                          plan, LAYOUT, NOW)  # fmt: skip
    assert letter.detail == "event 3 of 7: y (and 1 more events)"


@pytest.mark.parametrize(
    ("format", "value", "reason"),
    [
        *[(f, None, "null_value") for f in FORMATS],
        *[(f, b"\xff" * (1 << 21), "too_large") for f in FORMATS],
        *[(f, b"", "not_json") for f in FORMATS],
        ("msgpack", b"\xc1", "not_json"),
        ("msgpack", b"\x81\xa2id", "not_json"),
        ("msgpack", b"\x81\xa2id\xa1\xff", "not_utf8"),
        ("msgpack", b"\x93\x01\x02\x03", "not_an_object"),
        ("msgpack", b'{"id": 1}', "not_json"),
        ("msgpack", b"\x91" * 600 + b"\xc0", "not_json"),
        ("msgpack", b"\x91" * 100_000 + b"\xc0", "not_json"),
        ("arrow", b"ARROW1\x00\x00", "not_json"),
        ("arrow", b"\xff\xff\xff\xff", "not_json"),
        ("arrow", b'{"id": 1}', "not_json"),
        ("csv", b"\xff,1\n1,2", "not_utf8"),
        ("csv", b"id,ts", "not_json"),
        ("csv", b"id,ts\n\n", "not_json"),
        ("csv", b"id,ts\n1", "not_an_object"),
        ("csv", b"id,ts\n1,2,3", "not_an_object"),
        ("csv", b"id,id\n1,2", "not_an_object"),
        ("csv", b"id,id.a\n1,2", "not_an_object"),
        ("csv", b'id,ts\n"1,2', "not_json"),
        ("csv", b'id,ts\n"1"x,2', "not_json"),
        ("auto", b"hello", "not_json"),
        ("auto", b"[1]", "not_an_object"),
        ("auto", b"\xde\x00", "not_json"),
        *[(f, gzip.compress(b" " * (1 << 21), mtime=0), "too_large") for f in FORMATS],
        *[(f, gzip.compress(b"{}" * 50, mtime=0)[:-5], "not_json") for f in FORMATS],
        *[(f, pa.compress(b"x" * (1 << 21), "zstd", asbytes=True), "too_large") for f in FORMATS],
        ("json", b"\x1f\x8b", "not_json"),
        ("json", gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "not_utf8"),  # once is enough
        ("json", gzip.compress(b'{"id": 1}', mtime=0), "missing_field"),
    ],
)
def test_no_events(format: str, value: bytes | None, reason: str) -> None:
    good = writers.as_json([EVENT]) if format in ("json", "auto") else []
    found, reasons = counted(format, [*good, value, *good])
    assert reasons == [reason]
    assert found.total() == counted(format, [*good, *good])[0].total()


def test_a_compressed_table_says_how_large_it_is() -> None:
    """Whatever is in it is not unpacked to find out."""
    bomb = pa.table({"id": ["x" * (1 << 22)]})
    for file in (False, True):
        for how in ("zstd", "lz4"):
            value = writers.ipc(bomb, file=file, compression=how)
            assert len(value) < 1 << 20
            assert counted("arrow", [value])[1] == ["too_large"]


def test_a_dictionary_is_not_written_out() -> None:
    """A thousand events of half a megabyte of text each, in one record of half a megabyte."""
    word, n = "x" * 500_000, 1_000
    of = pa.table(
        {
            "id": [str(i) for i in range(n)],
            "ts": [NOW] * n,
            "model.version": ["1"] * n,
            "y": [1] * n,
            "f.country": pa.DictionaryArray.from_arrays(np.zeros(n, np.int8), [word]),
        }
    )
    found, reasons = counted("arrow", [writers.ipc(of)])
    assert reasons == []
    assert sum(1 for _, segment, *_ in found if segment == "all") == 1


ARROW_TYPES: list[tuple[str, Any, list[Any]]] = [
    *[(str(t), t, [1, None, 100]) for t in (pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint32(), pa.int64())],
    ("uint64", pa.uint64(), [2**64 - 1, None, 0]),
    *[(str(t), t, [1.5, None, -0.25]) for t in (pa.float16(), pa.float32(), pa.float64())],
    ("nan", pa.float64(), [math.nan, math.inf, -math.inf]),
    ("bool", pa.bool_(), [True, False, None]),
    *[(str(t), t, ["a", None, "ü😀"]) for t in (pa.string(), pa.large_string(), pa.string_view())],
    *[(str(t), t, [b"a", None, "ü".encode()]) for t in (pa.binary(), pa.large_binary())],
    ("dictionary", pa.dictionary(pa.int8(), pa.string()), ["a", None, "a"]),
    ("numbers by dictionary", pa.dictionary(pa.int16(), pa.float64()), [1.5, None, 2.5]),
    ("null", pa.null(), [None, None, None]),
    ("list", pa.list_(pa.int64()), [[1], None, []]),
    ("struct", pa.struct({"a": pa.int64()}), [{"a": 1}, None, {"a": None}]),
    ("decimal", pa.decimal128(10, 2), [None, None, None]),
]


@pytest.mark.parametrize("mode", ["numeric", "categorical", "text", None])
@pytest.mark.parametrize(("kind", "values"), [t[1:] for t in ARROW_TYPES], ids=[t[0] for t in ARROW_TYPES])
def test_arrow_types_are_what_json_would_say(kind: Any, values: list[Any], mode: Any) -> None:
    plain = [v.decode() if isinstance(v, bytes) else v for v in values]
    events = [{**EVENT, "id": str(i), "f": {"x": v}} for i, v in enumerate(plain)]
    base = pa.Table.from_pylist([{**e, "f": None} for e in events])
    of = base.set_column(base.column_names.index("f"), "f", pa.StructArray.from_arrays([pa.array(values, kind)], ["x"]))
    model = dataclasses.replace(MODEL, columns={"x": mode} if mode else {}, segments=())
    layouts = {"categorical": CategoricalLayout(categories=("a", "1", "true"))}
    layout = Layout(pane_ms=1, features={"x": layouts.get(mode, NumericLayout(edges=(0.0,)))}, predictions={})

    def read(format: str, value: list[bytes | None], under: Layout | None) -> Any:
        plan = event_plan("m", Config(models={"m": dataclasses.replace(model, format=format)}))
        batch, dead = decode(records(value), plan, under, NOW)
        assert not dead
        x = next((c for c in batch.features if c.name == "x"), None)  # beside it what is derived of a text
        return None if x is None else (
            x.kinds.tolist(), [None if math.isnan(n) else n for n in x.numbers.tolist()],
            [x.words[c] if c >= 0 else None for c in x.codes.tolist()],
        )  # fmt: skip

    for under in (layout, None):
        assert read("arrow", [writers.ipc(of)], under) == read("json", writers.as_json(events), under)


def test_times_of_arrow_and_msgpack() -> None:
    columns = {
        "s": pa.array([1_699_999_999], pa.timestamp("s")),
        "ms": pa.array([1_699_999_999_250], pa.timestamp("ms", tz="Europe/Berlin")),
        "us": pa.array([1_699_999_999_250_001], pa.timestamp("us")),
        "ns": pa.array([1_699_999_999_250_001_999], pa.timestamp("ns", tz="UTC")),
        "date": pa.array([19_675], pa.date32()),
    }
    base = writers.table([without(EVENT, "ts")])
    expected = {"s": 1_699_999_999_000, "date": 19_675 * 86_400_000}
    plan = event_plan("m", Config(models={"m": model_of("arrow")}))
    for name, array in columns.items():
        batch, dead = decode(records([writers.ipc(base.append_column("ts", array))]), plan, None, NOW)
        assert (batch.times_ms.tolist(), dead) == ([expected.get(name, 1_699_999_999_250)], [])
    message = msgspec.msgpack.encode(
        {**EVENT, "ts": msgspec.msgpack.Ext(-1, (250_001_999 << 34 | 1_699_999_999).to_bytes(8, "big"))}
    )
    plan = event_plan("m", Config(models={"m": model_of("msgpack")}))
    assert decode(records([message]), plan, None, NOW)[0].times_ms.tolist() == [1_699_999_999_250]


def test_msgpack_of_odd_keys_and_bytes() -> None:
    event = {**EVENT, "id": b"id-0", "f": {1: 2.5, b"country": b"de", "note": b"\xff", (1,): 2, None: 3}}
    batch, dead = decode(
        records([msgspec.msgpack.encode(event)]), event_plan("m", Config(models={"m": model_of("msgpack")})), None, NOW
    )
    assert (dead, batch.ids) == ([], ["id-0"])
    assert {c.name for c in batch.features} >= {"1", "country", "note", "null"}


def test_a_stated_header_and_delimiter() -> None:
    events = some_events(10)
    names = writers.header(events)
    text = writers.lines(events, names, with_header=False).decode()
    found = counted("csv", [text.encode()], header=tuple(names))
    assert found == counted("json", writers.as_json(events))
    assert counted("auto", [text.encode()], header=tuple(names)) == found
    one_by_one = [writers.lines([e], names, with_header=False) for e in events]
    assert counted("csv", one_by_one, header=tuple(names)) == found
    tabs = [b"id\tts\tmodel.version\tf.n\ty\n1\t%d\t1\t5\t1\n" % NOW]
    assert counted("csv", tabs, delimiter="\t")[1] == []


def test_gzip_of_many_members_of_any_size() -> None:
    """Empty ones, and ones that end where a piece of what is read ends."""
    parts = [b"", b"a", b"b" * 5_000, bytes(range(256)) * 16, b""]
    value = b"".join(gzip.compress(part, level, mtime=0) for level in (0, 9) for part in parts * 200)
    assert unpack(value, 1 << 24) == b"".join(parts * 400)
    assert unpack(gzip.compress(b"") * 40_000 + gzip.compress(b"end"), 3) == b"end"
    for cut in (*range(1, 20), *range(21, 40)):  # the last member is of 20 bytes
        with pytest.raises(InvalidRecord, match="cut off"):
            unpack(value[:-cut], 1 << 24)


@pytest.mark.parametrize("quoted", [False, True])
def test_a_line_of_delimiters_is_an_event(quoted: bool) -> None:
    """One that lacks all that it must have, not a blank line that nobody hears of."""
    good = '"1"' if quoted else "1"
    tabs = f"id\tts\tmodel.version\tf.n\ty\n{good}\t{NOW}\t1\t5\t1\n\t\t\t\t\n \n\n"
    found, reasons = counted("csv", [tabs.encode()], delimiter="\t")
    assert (reasons, sum(1 for _, segment, *_ in found if segment == "all") > 0) == (["missing_field"], True)


def test_a_record_is_not_any_number_of_events() -> None:
    """A line may be a byte, and an event takes hundreds in memory."""
    assert counted("csv", [b"id\n" + b"1\n" * 110_000])[1] == ["too_large"]


VALUE = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text())


@settings(max_examples=30, deadline=None)
@given(features=st.lists(st.dictionaries(st.sampled_from(["amount", "n", "country", "note", "z"]), VALUE), max_size=5))
def test_msgpack_is_json(features: list[dict[str, Any]]) -> None:
    events = [{**EVENT, "id": str(i), "f": f} for i, f in enumerate(features)]
    try:
        packed = writers.as_msgpack(events)
    except UnicodeEncodeError:  # half a surrogate pair, which only JSON can write
        return
    for layout in (LAYOUT, None):
        assert counted("msgpack", packed, layout) == counted("json", writers.as_json(events), layout)


COLUMNS = {
    "amount": st.one_of(st.none(), st.floats()),
    "n": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "country": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
    "note": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
}


@settings(max_examples=30, deadline=None)
@given(features=st.lists(st.fixed_dictionaries(COLUMNS), max_size=6), cut=st.integers(0, 6))
def test_arrow_is_json(features: list[dict[str, Any]], cut: int) -> None:
    events = [{**EVENT, "id": str(i), "f": f} for i, f in enumerate(features)]
    values = [writers.ipc(writers.table(part)) for part in (events[:cut], events[cut:]) if part]
    for layout in (LAYOUT, None):
        assert counted("arrow", values, layout) == counted("json", writers.as_json(events), layout)


@settings(max_examples=30, deadline=None)
@given(features=st.lists(st.fixed_dictionaries(COLUMNS), max_size=6))
def test_csv_is_json_but_for_types(features: list[dict[str, Any]]) -> None:
    """An empty text is missing; everything else that a cell can hold is what it was."""
    events = [{**EVENT, "id": str(i), "f": {k: v or None if k in ("country", "note") else v for k, v in f.items()}}
              for i, f in enumerate(features)]  # fmt: skip
    if events:
        values: list[bytes | None] = [writers.lines(events, writers.header(events), with_header=True)]
        assert counted("csv", values) == counted("json", writers.as_json(events))


@settings(max_examples=80, deadline=None)
@given(name=st.sampled_from(sorted(WRITERS)), data=st.data())
def test_damaged_bytes_are_dead_letters(name: str, data: st.DataObject) -> None:
    """Never an exception, never a read outside the record, and never more than one letter a record."""
    format, write = WRITERS[name]
    value = bytearray(write(some_events(7))[0] or b"")
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    value = value[: data.draw(st.integers(0, len(value)))] if data.draw(st.booleans()) else value
    for of in (format, "auto"):
        assert len(counted(of, [bytes(value)], None)[1]) <= 1


@settings(max_examples=50, deadline=None)
@given(format=st.sampled_from(sorted(FORMATS)), value=st.binary(max_size=200))
def test_garbage_is_dead(format: str, value: bytes) -> None:
    found, reasons = counted(format, [value], None)
    assert (found.total(), len(reasons)) == (0, 1)


def test_max_event_holds_for_what_is_in_a_record() -> None:
    value = gzip.compress(json.dumps(EVENT).encode(), mtime=0)
    for limit, dead in ((len(json.dumps(EVENT)), []), (len(json.dumps(EVENT)) - 1, ["too_large"])):
        config = Config(models={"m": model_of("json")}, kafka=Kafka(max_event=limit))
        assert [d.reason for d in decode(records([value]), event_plan("m", config), LAYOUT, NOW)[1]] == dead
