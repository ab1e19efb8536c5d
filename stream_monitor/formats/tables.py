"""Tables as rows: what Arrow has read of a Parquet or a CSV file."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stream_monitor.counting.batches import MISSING, NO_CODES, NO_NUMBERS, NONFINITE, NUMBER, TEXT, Column, Mode
from stream_monitor.counting.columns import column
from stream_monitor.counting.plans import LabelPlan, Mask, Plan

_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_PLAIN_NUMBER: Final = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"  # as Arrow reads them, too
_NOT_FINITE: Final = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_NAIVE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?)?")


def cell_value(text: str) -> Any:
    """What a CSV cell says: a number, a boolean or a text.

    >>> [cell_value(c) for c in ("7", "1e3", "True", "007x", "nan")]
    [7, 1000.0, True, '007x', nan]
    """
    if _NUMBER.fullmatch(text):
        try:
            return int(text)
        except ValueError:
            return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text)
    lower = text.lower()
    return lower == "true" if lower in ("true", "false") else text


class TableRows:
    """Rows of a table. `texts`: it is from a CSV file, and all cells are text. `whole`: columns of whole numbers that
    the file holds as floating-point numbers, whose categories are written without a point."""

    def __init__(
        self, table: pa.Table, plan: Plan | LabelPlan, *, texts: bool, whole: frozenset[str] = frozenset()
    ) -> None:
        self.table = table
        self.plan = plan
        self.texts = texts
        self.whole = whole

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def has(self, path: str) -> bool:
        """Whether the file has something at `path`."""
        return self._array(path) is not None

    def planned(self, plan: Plan) -> TableRows:
        """The same rows, read by another plan."""
        return TableRows(self.table, plan, texts=self.texts, whole=self.whole)

    def _array(self, path: str) -> Any | None:
        names = self.table.column_names
        if path in names:
            return self.table.column(path)
        first, *rest = path.split(".")
        if first not in names:
            return None
        array = self.table.column(first)
        for key in rest:
            if not pa.types.is_struct(array.type) or array.type.get_field_index(key) < 0:
                return None
            array = pc.struct_field(array, key)
        return array

    @property
    def _object(self) -> Any | None:
        """The feature object, if the file has one."""
        assert isinstance(self.plan, Plan)
        if not isinstance(self.plan.features, str) or not self.plan.features:
            return None
        array = self._array(self.plan.features)
        return array if array is not None and pa.types.is_struct(array.type) else None

    def _feature_array(self, name: str) -> Any | None:
        assert isinstance(self.plan, Plan)
        features = self.plan.features
        if isinstance(features, tuple):
            return self._array(name)
        if (of := self._object) is not None:
            return pc.struct_field(of, name) if of.type.get_field_index(name) >= 0 else None
        for column_name in (f"{features}.{name}", name):
            if column_name in self.table.column_names:
                return self.table.column(column_name)
        return None

    def values(self, path: str) -> list[Any]:
        values = self._listed(self._array(path))
        fields, labels = self.plan.model.fields, self.plan.model.labels
        if path == fields.time or (labels is not None and path == labels.fields.time):
            return [_timed(v) for v in values]
        typed = {fields.prediction, fields.score, fields.label, fields.latency_ms}
        if self.texts and (path in typed or (labels is not None and path == labels.fields.label)):
            return [None if v is None else cell_value(v) for v in values]
        return values

    def _listed(self, array: Any | None) -> list[Any]:
        return [None] * len(self) if array is None else list(_plain(array).to_pylist())

    def feature_state(self) -> tuple[Mask, Mask] | None:
        of = self._object
        if of is None or not of.null_count:
            return None
        missing = np.asarray(pc.is_null(of).to_numpy(zero_copy_only=False), np.bool_)
        return missing, np.zeros(len(self), np.bool_)

    def feature_names(self) -> list[str]:
        assert isinstance(self.plan, Plan)
        if (of := self._object) is not None:
            return sorted(field.name for field in of.type)
        prefix = f"{self.plan.features}."
        inside = [name.removeprefix(prefix) for name in self.table.column_names if name.startswith(prefix)]
        outside = self.plan.outside
        return sorted(inside or [name for name in self.table.column_names if name not in outside])

    def feature_values(self, name: str) -> list[Any]:
        return self._listed(self._feature_array(name))

    def feature(self, name: str, mode: Mode) -> Column:
        array = self._feature_array(name)
        if array is None:
            return column(name, [None] * len(self), mode)
        if self.texts:
            return _text_column(name, _plain(array), mode)
        numeric = pa.types.is_integer(array.type) or pa.types.is_floating(array.type)
        if numeric and mode in ("numeric", "raw"):
            return _number_column(name, array, mode)
        if numeric and name in self.whole:
            array = pc.cast(array, pa.int64())
        return column(name, _plain(array).to_pylist(), mode)

    def take(self, keep: Mask) -> TableRows:
        return TableRows(self.table.filter(pa.array(keep)), self.plan, texts=self.texts, whole=self.whole)


def _plain(array: Any) -> Any:
    """The array with types that JSON has: times as RFC 3339 text, decimals as numbers, bytes as text."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _plain(pc.cast(array, kind.value_type))
    if pa.types.is_date(kind):
        return _plain(pc.cast(array, pa.timestamp("ms")))
    if pa.types.is_timestamp(kind):
        naive = pc.cast(array, pa.timestamp("us"), safe=False) if kind.tz is None else array
        if kind.tz is not None:
            naive = pc.cast(pc.cast(array, pa.timestamp("us", tz="UTC"), safe=False), pa.timestamp("us"))
        return pc.strftime(naive, format="%Y-%m-%dT%H:%M:%SZ")
    if pa.types.is_decimal(kind):
        return pc.cast(array, pa.float64())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pc.cast(array, pa.string())
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return pc.cast(array, pa.string() if pa.types.is_time(kind) else pa.int64())
    return array


def _timed(value: Any) -> Any:
    """A time as a table writes it, as messages write it: in a CSV numbers are text, and UTC goes without saying."""
    if isinstance(value, str):
        if _NAIVE.fullmatch(value):
            return f"{value}Z" if len(value) > 10 else f"{value}T00:00:00Z"
        if _NUMBER.fullmatch(value):
            return cell_value(value)
    return value


def _number_column(name: str, array: Any, mode: Mode) -> Column:
    """A column of a numeric type."""
    missing = np.asarray(pc.is_null(array).to_numpy(zero_copy_only=False), np.bool_)
    numbers = np.asarray(
        pc.fill_null(pc.cast(array, pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False), np.float64
    )
    finite = np.isfinite(numbers)
    kinds = np.select([missing, ~finite], [MISSING, NONFINITE], NUMBER).astype(np.uint8)
    return Column(
        name=name,
        kinds=kinds,
        numbers=np.where(finite, numbers, 0.0),
        codes=np.full(len(numbers), -1, np.int32) if mode == "raw" else NO_CODES,
    )


def _plain_numbers(array: Any) -> Any | None:
    """The cells as doubles; None where one of them is anything else, or no double says what it says."""
    if not pc.all(pc.match_substring_regex(array, _PLAIN_NUMBER)).as_py():
        return None
    try:
        numbers = pc.cast(array, pa.float64())
    except pa.ArrowInvalid:  # Arrow reads it otherwise after all
        return None
    zeros = np.asarray(pc.fill_null(numbers, 1.0).to_numpy(zero_copy_only=False), np.float64)
    return None if bool((np.signbit(zeros) & (zeros == 0)).any()) else numbers  # the integer -0 has no sign


def _text_column(name: str, array: Any, mode: Mode) -> Column:
    """A column of a CSV file: each distinct cell is looked at once."""
    if mode == "text":
        return column(name, array.to_pylist(), mode)
    if mode != "categorical" and (numbers := _plain_numbers(array)) is not None:
        return _number_column(name, numbers, mode)
    encoded = array.combine_chunks().dictionary_encode() if isinstance(array, pa.ChunkedArray) else array
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    codes = np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False), np.int64)
    words = encoded.dictionary.to_pylist()
    if mode == "categorical":
        return Column(
            name=name,
            kinds=np.where(codes < 0, np.uint8(MISSING), np.uint8(TEXT)),
            numbers=NO_NUMBERS,
            codes=codes.astype(np.int32),
            words=tuple(words),
        )
    distinct = column(name, [*map(cell_value, words), None], mode)  # the last one is for code -1
    return distinct.take(codes)
