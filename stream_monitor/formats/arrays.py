"""Arrow arrays as columns: no object per value where its type allows it, and none of the text of a category twice."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stream_monitor.counting.batches import MISSING, NESTED, NO_CODES, NONFINITE, NUMBER, Column, Mode
from stream_monitor.counting.columns import column
from stream_monitor.formats.arrow_types import converted, is_view, widened

_TEXTS: Final = (pa.types.is_string, pa.types.is_large_string)


def one(array: Any) -> Any:
    """A whole array in one piece, of the type that its extension is stored as."""
    if isinstance(array, pa.ChunkedArray):
        try:
            array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
        except pa.ArrowException:  # more words in all than the dictionaries of each count
            array = converted(array, widened(array.type)).combine_chunks()
    while isinstance(array, pa.ExtensionArray):
        array = array.storage
    return array


def missing(array: Any) -> NDArray[np.bool_]:
    """Which values are null."""
    return np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False), np.bool_)


def listed(array: Any) -> list[Any]:
    """The values as JSON has them: times as RFC 3339 text, decimals as numbers, bytes as text where they are UTF-8."""
    array = one(array)
    kind = array.type
    if pa.types.is_dictionary(kind):
        words = [*listed(array.dictionary), None]  # the last one is for code -1
        return [words[code] for code in codes_of(array).tolist()]
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return [None if t is None else f"{t}Z" for t in _instants(array)]
    if pa.types.is_decimal(kind):
        return [None if v is None else float(v) for v in array.to_pylist()]
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return list(pc.cast(array, pa.string() if pa.types.is_time(kind) else pa.int64()).to_pylist())
    if pa.types.is_struct(kind):
        fields = [listed(pc.struct_field(array, [i])) for i in range(kind.num_fields)]
        rows = zip(*fields, strict=True) if fields else [()] * len(array)
        names = [field.name for field in kind]
        objects = [dict(zip(names, row, strict=True)) for row in rows]
        return [None if gone else of for of, gone in zip(objects, missing(array).tolist(), strict=True)]
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and not _is_plain(kind.value_type):
        items = listed(array.values)
        ends = array.offsets.to_pylist()
        lists = [items[start:end] for start, end in pairwise(ends)]
        return [None if gone else of for of, gone in zip(lists, missing(array).tolist(), strict=True)]
    values: list[Any] = array.to_pylist()
    return [_text(v) for v in values] if any(type(v) is bytes for v in values) else values


def _is_plain(kind: Any) -> bool:
    """Whether Python has all values of a type, and as JSON does."""
    return any(test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, *_TEXTS))


def _text(value: Any) -> Any:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value


def _instants(array: Any) -> list[str | None]:
    """Times to the microsecond as texts in UTC, without the Z."""
    unit = "us" if not pa.types.is_timestamp(array.type) or array.type.unit == "ns" else array.type.unit
    if pa.types.is_date(array.type):
        array = pc.cast(array, pa.timestamp("ms"))
        unit = "ms"
    numbers = np.asarray(pc.fill_null(array.view(pa.int64()), 0).to_numpy(zero_copy_only=False), np.int64)
    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        numbers = numbers // 1000
    texts = np.datetime_as_string(numbers.astype(f"datetime64[{unit}]"))
    return [None if gone else str(t) for t, gone in zip(texts, missing(array).tolist(), strict=True)]


def codes_of(array: Any) -> NDArray[np.int64]:
    """Positions in the dictionary, -1 for null."""
    return np.asarray(pc.fill_null(pc.cast(array.indices, pa.int64()), -1).to_numpy(zero_copy_only=False), np.int64)


def array_column(name: str, array: Any, mode: Mode) -> Column:
    """The column of an array."""
    array = one(array)
    kind = array.type
    if pa.types.is_dictionary(kind):
        return column(name, [*listed(array.dictionary), None], mode).take(codes_of(array))
    if mode in ("numeric", "raw") and (
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    ):
        return number_column(name, array, mode)
    if mode == "text" and any(test(kind) for test in _TEXTS):
        gone = missing(array)
        lengths = np.asarray(pc.fill_null(pc.utf8_length(array), 0).to_numpy(zero_copy_only=False), np.float64)
        kinds = np.where(gone, np.uint8(MISSING), np.uint8(NUMBER))
        return Column(name=name, kinds=kinds, numbers=lengths, codes=NO_CODES)
    if mode != "text" and (
        any(test(kind) for test in _TEXTS) or pa.types.is_boolean(kind) or pa.types.is_integer(kind)
    ):
        encoded = array.dictionary_encode()
        return column(name, [*encoded.dictionary.to_pylist(), None], mode).take(codes_of(encoded))
    if (pa.types.is_list(kind) or pa.types.is_struct(kind)) and mode != "text":  # no need to look into it
        kinds = np.where(missing(array), np.uint8(MISSING), np.uint8(NESTED))
        n = len(kinds)
        return Column(
            name=name,
            kinds=kinds,
            numbers=np.zeros(0 if mode == "categorical" else n),
            codes=NO_CODES if mode == "numeric" else np.full(n, -1, np.int32),
        )
    return column(name, listed(array), mode)


def number_column(name: str, array: Any, mode: Mode) -> Column:
    """A column of a numeric type."""
    gone = missing(array)
    if pa.types.is_float16(array.type):
        values = array.to_numpy(zero_copy_only=False).astype(np.float64)
    else:
        values = pc.cast(array, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    numbers = np.where(gone, 0.0, np.asarray(values, np.float64))
    finite = np.isfinite(numbers)
    return Column(
        name=name,
        kinds=np.select([gone, ~finite], [MISSING, NONFINITE], NUMBER).astype(np.uint8),
        numbers=np.where(finite, numbers, 0.0),
        codes=np.full(len(numbers), -1, np.int32) if mode == "raw" else NO_CODES,
    )


def expanded_bytes(array: Any) -> int:
    """Bytes of text in arrays of views, where many values may point to the same ones."""
    kind = array.type
    if not len(array):
        return 0
    if is_view(kind):
        views = np.frombuffer(array.buffers()[1], np.int32)[array.offset * 4 : (array.offset + len(array)) * 4 : 4]
        return int(np.where(missing(array), 0, views).astype(np.int64).sum())
    if pa.types.is_struct(kind):
        return sum(expanded_bytes(array.field(i)) for i in range(kind.num_fields))
    if pa.types.is_dictionary(kind):
        return expanded_bytes(array.dictionary)
    return expanded_bytes(array.values) if pa.types.is_list(kind) or pa.types.is_large_list(kind) else 0
