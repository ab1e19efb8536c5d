"""Arrow's odd types, and how records of them mix: what can be read is what JSON would say, the rest dead letters."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stream_monitor.config import Config
from stream_monitor.counting.batches import DeadLetter
from stream_monitor.counting.plans import event_plan
from stream_monitor.formats import decode
from stream_monitor.formats.arrays import listed
from tests.counting import writers
from tests.counting.some_events import EVENT, MODEL
from tests.counting.writers import NOW, records

MANY = [f"a{i}" for i in range(100)]  # two of these are more than 127, which is what int8 can count
TYPES: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "many categories of pandas": (pa.dictionary(pa.int8(), pa.string()), MANY, [f"b{i}" for i in range(100)]),
    "large indices": (pa.dictionary(pa.uint64(), pa.string_view()), ["a", "b"], ["c", None]),
    "categories without a value": (pa.dictionary(pa.int8(), pa.null()), [None, None], [None]),
    "text views": (pa.string_view(), ["a", "b" * 20], ["c" * 30, None]),
    "byte views": (pa.binary_view(), [b"a", b"b" * 20], [b"c" * 30, None]),
    "list of views": (pa.list_(pa.string_view()), [["a"], None, []], [["b" * 20]]),
    "list of dictionaries": (pa.list_(pa.dictionary(pa.int8(), pa.string())), [MANY, None, []], [["b", "c"] * 60]),
    "dictionary of times": (pa.dictionary(pa.int8(), pa.timestamp("s")), [1, None], [2]),
    "struct of views": (pa.struct({"a": pa.string_view()}), [{"a": "x"}, None], [{"a": "y" * 20}]),
    "bits": (pa.bool_(), [True, None], [False]),
    "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1)], None], [[]]),
}


def flat(arrays: list[Any], place: str) -> list[bytes | None]:
    """A record an array, of good events but for its last row, which has no version."""
    found: list[bytes | None] = []
    for k, array in enumerate(arrays):
        n = len(array)
        of = {
            "id": [f"{k}-{i}" for i in range(n)],
            "ts": [NOW] * n,
            "model.version": [*["1"] * (n - 1), None],
            "y": [1] * n,
            "f.other": [1.5] * n,
        }
        values = pa.StructArray.from_arrays([array], ["x"]) if place == "f" else array
        if place == "f":
            del of["f.other"]
        found.append(writers.ipc(pa.table({**of, place: values})))
    return found


def read(values: list[bytes | None], format: str = "arrow") -> tuple[Any, list[DeadLetter]]:
    model = dataclasses.replace(MODEL, columns={}, segments=(), format=format)
    return decode(records(values), event_plan("m", Config(models={"m": model})), None, NOW)


@pytest.mark.parametrize("place", ["f", "f.x", "id"])
@pytest.mark.parametrize("name", TYPES)
def test_records_of_a_type_mix(name: str, place: str) -> None:
    kind, *values = TYPES[name]
    arrays = [array_of(v, kind) for v in values]
    batch, dead = read(flat(arrays, place))
    if place == "id":
        assert {letter.reason for letter in dead} <= {"missing_field", "wrong_type"}
        return
    alone = [read([value])[0] for value in flat(arrays, place)]
    assert len(batch) == sum(map(len, values)) - len(values)
    assert seen(batch) == [value for one in alone for value in seen(one)]
    assert [(letter.index, letter.reason) for letter in dead] == [(0, "missing_field"), (1, "missing_field")]


def array_of(values: list[Any], kind: Any) -> Any:
    if pa.types.is_dictionary(kind) and pa.types.is_null(kind.value_type):
        return pa.DictionaryArray.from_arrays(pa.nulls(len(values), kind.index_type), pa.nulls(0))
    if not pa.types.is_dictionary(kind):
        return pa.array(values, kind)
    words = [v for v in dict.fromkeys(values) if v is not None]
    codes = [None if v is None else words.index(v) for v in values]
    return pa.DictionaryArray.from_arrays(pa.array(codes, kind.index_type), pa.array(words, kind.value_type))


def seen(batch: Any) -> list[Any]:
    x = next(c for c in batch.features if c.name == "x")
    words = [x.words[code] if code >= 0 else None for code in x.codes.tolist()]
    return list(zip(x.kinds.tolist(), x.numbers.tolist(), words, strict=True))


NOT_READ: dict[str, Any] = {
    "union": pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["a", "b"])]),
    "dense union": pa.UnionArray.from_dense(
        pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1]), pa.array(["a"])]
    ),
    "dictionary of structs": pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array([{"a": 1}])),
    "dictionary of lists": pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array([[1]])),
    "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["a"])),
    "powers of ten": pa.Array.from_buffers(pa.decimal128(5, -100), 2, [None, pa.py_buffer(bytes([1] + [0] * 31))]),
    "map of views": pa.array([[("a", 1)], None], pa.map_(pa.string_view(), pa.int64())),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_not_read_says_its_type(name: str) -> None:
    good = writers.as_json([EVENT])
    values = flat([NOT_READ[name]], "f.x")
    batch, (letter,) = read([*values, *good], "auto")
    assert (len(batch), letter.index, letter.reason) == (1, 0, "not_json")
    assert str(NOT_READ[name].type) in letter.detail
    assert "f.x" in letter.detail


def test_a_table_without_bytes_is_not_a_million_events() -> None:
    """Columns of nulls take nothing of a record, whatever their rows and their number."""
    rows = pa.table({"id": pa.nulls(1_000_000)})
    columns = pa.table({f"f.x{i}": pa.nulls(50_000) for i in range(2_000)})
    for of in (rows, columns):
        value = writers.ipc(of)
        assert len(value) < 1 << 20
        assert [letter.reason for letter in read([value])[1]] == ["too_large"]


def test_values_that_python_has_no_times_for() -> None:
    """Beyond the year 9999, and in a time zone that nobody knows, in an object and in a list."""
    far = pa.Array.from_buffers(
        pa.timestamp("s", "Nowhere/Place"), 1, [None, pa.py_buffer(np.array([1 << 40], np.int64))]
    )
    assert listed(pa.StructArray.from_arrays([far, far], ["a", "a"])) == [{"a": f"{listed(far)[0]}"}]
    assert listed(pa.ListArray.from_arrays([0, 1], far)) == [listed(far)]
