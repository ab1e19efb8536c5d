"""Values as messages hold them -> Columns, decoded as far as their counting needs.

Every text is made safe to store and to send: a lone surrogate, which JSON may hold and UTF-8 may not, becomes its
escape.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from stream_monitor.counting.batches import (
    BOOL,
    MISSING,
    NESTED,
    NO_CODES,
    NO_NUMBERS,
    NONFINITE,
    NUMBER,
    TEXT,
    Codes,
    Column,
    Mode,
)

MAX_NAME: Final = 128  # characters of a version or a segment; a longer one is cut and ends with a hash of the whole


def safe(text: str) -> str:
    r"""`text`, with lone surrogates as escapes.

    >>> safe("a\ud800"), safe("é")
    ('a\\ud800', 'é')
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text


def name_of(text: str) -> str:
    """`text` as a version or a segment is called: safe, and at most MAX_NAME characters."""
    text = safe(text)
    if len(text) <= MAX_NAME:
        return text
    return f"{text[: MAX_NAME - 17]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def json_text(value: object) -> str:
    """A number or boolean as JSON writes it, a text as itself.

    >>> [json_text(v) for v in (1, 1.0, 1e22, True, "a", float("nan"))]
    ['1', '1.0', '1e+22', 'true', 'a', 'NaN']
    """
    return value if isinstance(value, str) else json.dumps(value)


def encode_words(words: Sequence[str | None], name: Callable[[str], str] = safe) -> tuple[Codes, tuple[str, ...]]:
    """Texts as codes into the distinct ones, called by `name`, in order of appearance; -1 for None."""
    distinct = dict.fromkeys(words)
    distinct.pop(None, None)
    codes: dict[str | None, int] = {}
    known: dict[str, int] = {}
    for word in distinct:
        assert word is not None
        codes[word] = known.setdefault(name(word), len(known))
    codes[None] = -1
    return np.fromiter(map(codes.__getitem__, words), np.int32, len(words)), tuple(known)


def column(name: str, values: Sequence[Any], mode: Mode) -> Column:
    """The column of Python values, as json.loads makes them; None is missing."""
    types = set(map(type, values))
    if types <= {float, int} and mode != "categorical":
        numbers = _floats(values)
        if numbers is not None:
            return _numbers_only(name, numbers, mode)
    elif types <= {str, type(None)} and mode in ("categorical", "raw"):
        codes, words = encode_words(values)
        return Column(
            name=name,
            kinds=np.where(codes < 0, np.uint8(MISSING), np.uint8(TEXT)),
            numbers=NO_NUMBERS if mode == "categorical" else np.zeros(len(values)),
            codes=codes,
            words=words,
        )
    return _mixed(name, values, mode)


def _floats(values: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """All values as doubles, or None when one does not fit."""
    try:
        return np.array(values, np.float64)
    except OverflowError:
        return None


def _numbers_only(name: str, numbers: np.ndarray[Any, np.dtype[np.float64]], mode: Mode) -> Column:
    """A column that has nothing but numbers."""
    finite = np.isfinite(numbers)
    n = len(numbers)
    if mode == "text":  # a text column has no use for them
        return Column(name=name, kinds=np.full(n, NESTED, np.uint8), numbers=np.zeros(n), codes=NO_CODES)
    codes = np.full(n, -1, np.int32) if mode == "raw" else NO_CODES
    if finite.all():
        return Column(name=name, kinds=np.zeros(n, np.uint8), numbers=numbers, codes=codes)
    kinds = np.where(finite, np.uint8(NUMBER), np.uint8(NONFINITE))
    return Column(name=name, kinds=kinds, numbers=np.where(finite, numbers, 0.0), codes=codes)


def kind_of(value: object) -> int:
    """What a value is: one of the kinds of batches.py."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return TEXT
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int | float):
        try:
            return NUMBER if math.isfinite(value) else NONFINITE
        except OverflowError:  # an integer beyond every double
            return NONFINITE
    return NESTED


def _mixed(name: str, values: Sequence[Any], mode: Mode) -> Column:
    """The general way, value by value."""
    n = len(values)
    kinds = np.fromiter(map(kind_of, values), np.uint8, n)
    if mode == "text":
        lengths = [float(len(v)) if k == TEXT else 0.0 for v, k in zip(values, kinds.tolist(), strict=True)]
        kinds = np.select([kinds == TEXT, kinds == MISSING], [NUMBER, MISSING], NESTED).astype(np.uint8)
        return Column(name=name, kinds=kinds, numbers=np.array(lengths, np.float64), codes=NO_CODES)
    if mode == "categorical":
        worded = ~np.isin(kinds, (MISSING, NESTED))
        codes, words = encode_words([json_text(v) if w else None for v, w in zip(values, worded.tolist(), strict=True)])
        return Column(name=name, kinds=kinds, numbers=NO_NUMBERS, codes=codes, words=words)
    listed = kinds.tolist()
    numbers = np.array([float(v) if k == NUMBER else 0.0 for v, k in zip(values, listed, strict=True)], np.float64)
    if mode == "numeric":
        return Column(name=name, kinds=kinds, numbers=numbers, codes=NO_CODES)
    codes, words = encode_words(
        [json_text(v) if k in (TEXT, BOOL) else None for v, k in zip(values, listed, strict=True)]
    )
    return Column(name=name, kinds=kinds, numbers=numbers, codes=codes, words=words)
