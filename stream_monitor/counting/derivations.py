"""Columns that are derived of the values of others: see config/kinds.py for which, and of what.

What is missing or invalid in a value is so in all that is derived of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream_monitor.config import Kind
from stream_monitor.counting.batches import (
    MISSING,
    NESTED,
    NO_CODES,
    NO_NUMBERS,
    NONFINITE,
    NUMBER,
    TEXT,
    Column,
    Integers,
)
from stream_monitor.counting.columns import encode_words
from stream_monitor.counting.embeddings import Embedded, Lengths, embedded, kinds_of, listed
from stream_monitor.counting.times import parse_times

Floats = NDArray[np.float64]
Kinds = NDArray[np.uint8]
WEEK_HOURS: Final = 168
_THURSDAY: Final = 72  # hours of the week at the epoch


Values = Sequence[Any] | Lengths | Embedded


def derive(name: str, kind: Kind, values: Values, times_ms: Integers, wanted: Sequence[str]) -> list[Column]:
    """The columns of these suffixes, in their order, from values as json.loads makes them, or from what lists said."""
    made = _MAKERS[kind](values, times_ms, wanted)
    return [_renamed(f"{name}.{suffix}", made[suffix]) for suffix in wanted]


def sizes(of: Column, kind: Kind | None) -> Column:
    """A column as it is counted: of attributions their sizes."""
    if kind != "attribution":
        return of
    return Column(name=of.name, kinds=of.kinds, numbers=np.abs(of.numbers), codes=of.codes, words=of.words)


def _renamed(name: str, of: Column) -> Column:
    return Column(name=name, kinds=of.kinds, numbers=of.numbers, codes=of.codes, words=of.words)


def _numeric(kinds: Kinds, numbers: Floats) -> Column:
    finite = np.isfinite(numbers)
    if finite.all() and not kinds.any():  # all NUMBER
        return Column(name="", kinds=kinds, numbers=numbers, codes=NO_CODES)
    kinds = np.where((kinds == NUMBER) & ~finite, np.uint8(NONFINITE), kinds)
    return Column(name="", kinds=kinds, numbers=np.where(kinds == NUMBER, numbers, 0.0), codes=NO_CODES)


def _timestamps(values: Sequence[Any], times_ms: Integers, wanted: Sequence[str]) -> dict[str, Column]:
    """A number may also stand in a text, as CSV has it."""
    plain = [int(v) if type(v) is str and v.isdigit() and v.isascii() and len(v) < 19 else v for v in values]
    at_ms, good = parse_times(plain)
    kinds = np.where(good, NUMBER, [MISSING if v is None else NESTED for v in values]).astype(np.uint8)
    hours = (at_ms // 3_600_000 + _THURSDAY) % WEEK_HOURS
    return {
        "age": _numeric(kinds, (times_ms - at_ms) / 1000.0),
        "hour_of_week": _numeric(kinds, hours.astype(np.float64)),
    }


def _texts(values: Sequence[Any], _: Integers, wanted: Sequence[str]) -> dict[str, Column]:
    kinds = kinds_of(values, lambda v: isinstance(v, str))
    made: dict[str, Column] = {}
    if "tokens" in wanted:
        counts = [float(len(v.split())) if isinstance(v, str) else 0.0 for v in values]
        made["tokens"] = _numeric(kinds, np.array(counts, np.float64))
    if "script" in wanted:
        codes, words = encode_words([script(v) if isinstance(v, str) else None for v in values])
        worded = np.where(kinds == NUMBER, np.uint8(TEXT), kinds)
        made["script"] = Column(name="", kinds=worded, numbers=NO_NUMBERS, codes=codes, words=words)
    return made


# Where the letters of a script begin in Unicode, up to the next entry; "" is no letter or none of these scripts.
_SCRIPTS: Final[Sequence[tuple[int, str]]] = (
    (0x0, ""), (0x41, "Latin"), (0x5B, ""), (0x61, "Latin"), (0x7B, ""), (0xAA, "Latin"), (0xAB, ""),
    (0xBA, "Latin"), (0xBB, ""), (0xC0, "Latin"), (0xD7, ""), (0xD8, "Latin"), (0xF7, ""), (0xF8, "Latin"),
    (0x2B9, ""), (0x370, "Greek"), (0x400, "Cyrillic"), (0x530, "Armenian"), (0x590, "Hebrew"), (0x600, "Arabic"),
    (0x700, ""), (0x750, "Arabic"), (0x780, ""), (0x8A0, "Arabic"), (0x900, "Devanagari"), (0x980, "Bengali"),
    (0xA00, "Gurmukhi"), (0xA80, "Gujarati"), (0xB00, "Oriya"), (0xB80, "Tamil"), (0xC00, "Telugu"),
    (0xC80, "Kannada"), (0xD00, "Malayalam"), (0xD80, "Sinhala"), (0xE00, "Thai"), (0xE80, "Lao"), (0xF00, "Tibetan"),
    (0x1000, "Myanmar"), (0x10A0, "Georgian"), (0x1100, "Hangul"), (0x1200, "Ethiopic"), (0x1400, ""),
    (0x1780, "Khmer"), (0x1800, "Mongolian"), (0x18B0, ""), (0x1C80, "Cyrillic"), (0x1C90, "Georgian"), (0x1CC0, ""),
    (0x1E00, "Latin"), (0x1F00, "Greek"), (0x2000, ""), (0x2DE0, "Cyrillic"), (0x2E00, ""), (0x3005, "Han"),
    (0x3006, ""), (0x3041, "Hiragana"), (0x30A0, ""), (0x30A1, "Katakana"), (0x30FB, ""), (0x3131, "Hangul"),
    (0x3190, ""), (0x3400, "Han"), (0x4DC0, ""), (0x4E00, "Han"), (0xA000, ""), (0xA640, "Cyrillic"), (0xA6A0, ""),
    (0xA720, "Latin"), (0xA800, ""), (0xAC00, "Hangul"), (0xD7B0, ""), (0xF900, "Han"), (0xFB00, "Latin"),
    (0xFB13, "Armenian"), (0xFB1D, "Hebrew"), (0xFB50, "Arabic"), (0xFE00, ""), (0xFE70, "Arabic"), (0xFEFF, ""),
    (0xFF21, "Latin"), (0xFF3B, ""), (0xFF41, "Latin"), (0xFF5B, ""), (0xFF66, "Katakana"), (0xFFA0, "Hangul"),
    (0xFFE0, ""), (0x20000, "Han"), (0x32000, ""),
)  # fmt: skip
_STARTS: Final = [start for start, _ in _SCRIPTS]
NO_SCRIPT: Final = "none"


def script(text: str) -> str:
    """The script that most of the letters of a text are of, the first of them when there are as many of another.

    >>> script("Straße 7"), script("Привет, world"), script("漢字かな交じり文"), script("1 + 1")
    ('Latin', 'Cyrillic', 'Han', 'none')
    """
    counts: dict[str, int] = {}
    for letter in text:
        name = _SCRIPTS[bisect_right(_STARTS, ord(letter)) - 1][1]
        if name:
            counts[name] = counts.get(name, 0) + 1
    return max(counts, key=counts.__getitem__) if counts else NO_SCRIPT


def _lists(values: Sequence[Any] | Lengths, _: Integers, wanted: Sequence[str]) -> dict[str, Column]:
    of = values if isinstance(values, Lengths) else listed(values)
    return {"length": _numeric(of.kinds, of.lengths)}


def _embeddings(values: Sequence[Any] | Embedded, _: Integers, wanted: Sequence[str]) -> dict[str, Column]:
    of = values if isinstance(values, Embedded) else embedded(values)
    made = {"length": _numeric(of.kinds, of.lengths), "norm": _numeric(of.kinds, of.norms)}
    return made | {f"p{k}": _numeric(of.kinds, numbers) for k, numbers in enumerate(of.projections)}


_MAKERS: Final[Mapping[str, Callable[[Any, Integers, Sequence[str]], dict[str, Column]]]] = {
    "text": _texts,
    "timestamp": _timestamps,
    "embedding": _embeddings,
    "list": _lists,
}
