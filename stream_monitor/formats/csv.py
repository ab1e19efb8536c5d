"""CSV, one line an event.

The names of the columns are the format's `header`, or else the first line of a record that has several lines. Quoting
is that of RFC 4180. A name with dots is a place in an object, as paths are. An empty cell is missing; a cell that reads
as a number is one where a number is wanted, and its text where a category is.
"""

from __future__ import annotations

import csv
import io
from functools import cached_property, lru_cache
from typing import Any, Final

from stream_monitor.config import Format
from stream_monitor.counting.batches import Column, Headers, Mode
from stream_monitor.counting.columns import column, safe
from stream_monitor.counting.plans import LabelPlan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.parsed import AnyPlan, Messages, few, one_by_one
from stream_monitor.formats.rows import DictRows
from stream_monitor.formats.tables import cell_value

_BOM: Final = b"\xef\xbb\xbf"
csv.field_size_limit(1 << 30)  # how large an event may be is the configuration's to say


def loads(value: bytes, format: Format, limit: int) -> list[dict[str, Any]]:
    """The lines of a record as objects of texts, or InvalidRecord; `limit` is that of the bytes of a record.

    >>> loads(b'id,f.x,f.y\\n1,2.5,"a, b"\\n', Format(name="csv"), 1000)
    [{'id': '1', 'f': {'x': '2.5', 'y': 'a, b'}}]
    """
    try:
        text = value.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        raise InvalidRecord("not_utf8", str(error)) from None
    lines = lines_of(text, format.delimiter)
    header = format.header
    if not header:
        if len(lines) < 2:
            raise InvalidRecord("not_json", f"CSV: {len(lines)} lines, and the format has no header")
        header, lines = tuple(lines[0]), lines[1:]
    elif not lines:
        raise InvalidRecord("not_json", "CSV: no line")
    few(len(lines), limit)
    places = _places(header)
    events = []
    for number, cells in enumerate(lines):
        if len(cells) != len(header):
            raise InvalidRecord("not_an_object", f"line {number}: {len(cells)} cells instead of {len(header)}")
        event: dict[str, Any] = {}
        for (above, name), cell in zip(places, cells, strict=True):
            of = event
            for key in above:
                of = of.setdefault(key, {})
            of[name] = cell or None
        events.append(event)
    return events


def lines_of(text: str, delimiter: str) -> list[list[str]]:
    """The lines that are not blank, as cells."""
    if '"' not in text and "\r" not in text:
        found = (line.split(delimiter) for line in text.split("\n"))
        return [cells for cells in found if len(cells) > 1 or cells[0].strip()]
    try:
        read = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        return [cells for cells in read if cells and (len(cells) > 1 or cells[0].strip())]
    except csv.Error as error:
        raise InvalidRecord("not_json", f"CSV: {error}") from None


@lru_cache(maxsize=256)
def _places(header: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Of each column the objects around it, and its own key."""
    places = []
    for name in header:
        *above, last = name.split(".")
        places.append((tuple(above), last))
    whole = [(*above, last) for above, last in places]
    if twice := sorted({".".join(w) for w in whole if whole.count(w) > 1}):
        raise InvalidRecord("not_an_object", f"the header has {twice[0]!r} twice")
    for w in whole:
        if any(len(other) > len(w) and other[: len(w)] == w for other in whole):
            raise InvalidRecord("not_an_object", f"the header has {'.'.join(w)!r} and something in it")
    return tuple(places)


class CellRows(DictRows):
    """Rows of texts, each of which is what is wanted of it."""

    def values(self, path: str) -> list[Any]:
        values = super().values(path)
        return [None if v is None else cell_value(v) for v in values] if path in self._typed else values

    @cached_property
    def _typed(self) -> frozenset[str]:
        """The paths of what may be a number; ids and versions are texts."""
        assert self.plan is not None
        fields, labels = self.plan.model.fields, self.plan.model.labels
        if isinstance(self.plan, LabelPlan):
            assert labels is not None
            return frozenset({labels.fields.label, labels.fields.time})
        return frozenset({fields.time, fields.prediction, fields.score, fields.label, fields.latency_ms})

    def feature(self, name: str, mode: Mode) -> Column:
        values = self.feature_values(name)
        if mode in ("categorical", "text"):
            return column(safe(name), values, mode)
        return column(safe(name), [None if v is None else cell_value(v) for v in values], mode)


def _read(value: bytes, headers: Headers, plan: AnyPlan) -> Messages:
    return loads(value, plan.format, plan.max_event)


parse = one_by_one(_read, CellRows)
