"""Event times against Python's own datetime."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_monitor.counting.times import parse_times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))
FIRST, LAST = datetime(2, 1, 1), datetime(9998, 1, 1)  # noqa: DTZ001 (hypothesis wants them naive)
MOMENTS = st.datetimes(min_value=FIRST, max_value=LAST, timezones=OFFSETS)


def one(value: Any) -> int | None:
    times, good = parse_times([value])
    return int(times[0]) if good[0] else None


@given(
    st.lists(st.tuples(MOMENTS, st.sampled_from(["T", "t", " "]), st.sampled_from(["auto", "seconds", "milliseconds"])))
)
def test_texts_like_datetime(moments: list[tuple[datetime, str, str]]) -> None:
    texts = [m.isoformat(sep=sep, timespec=spec) for m, sep, spec in moments]
    times, good = parse_times(texts)
    assert good.all()
    for (moment, _, spec), time in zip(moments, times.tolist(), strict=True):
        kept = moment.replace(microsecond=0) if spec == "seconds" else moment
        assert time == (kept - EPOCH) // timedelta(milliseconds=1)


@given(st.lists(st.text(alphabet="0123456789-+:.TZz t²", min_size=18, max_size=32)))
def test_what_datetime_refuses_is_bad(texts: list[str]) -> None:
    _, good = parse_times(texts)
    for text, ok in zip(texts, good.tolist(), strict=True):
        if ok:
            moment = datetime.fromisoformat(text.upper().replace(":60", ":59"))
            assert moment.tzinfo is not None


@given(st.lists(st.one_of(st.integers(-(10**20), 10**20), st.floats(-1e18, 1e18))))
def test_numbers_like_exact_arithmetic(values: list[float]) -> None:
    times, good = parse_times(values)
    for value, time, ok in zip(values, times.tolist(), good.tolist(), strict=True):
        unit = 10**6 if value < 1e11 else 10**3 if value < 1e14 else 1
        assert ok == (float(value) >= -62_135_596_800)
        if ok and time < 9_000_000_000_000_000:
            assert abs(time - Fraction(value) * unit / 1000) <= 1 + abs(time) * 2**-50


CASES: list[tuple[Any, int | None]] = [
    ("2024-02-29T12:00:00Z", 1_709_208_000_000),
    ("2023-02-29T12:00:00Z", None),  # no such day
    ("2024-01-01T00:00:00", None),  # no offset
    ("2024-01-01T00:00:00+0100", None),  # not RFC 3339
    ("2024-01-01T00:00:00+01:00", 1_704_063_600_000),
    ("2024-01-01T00:00:00-00:00", 1_704_067_200_000),
    ("2024-01-01T00:00:00.Z", None),  # a dot without digits
    ("2024-01-01T00:00:00.1234567890123Z", 1_704_067_200_123),
    ("2024-01-01T24:00:00Z", None),
    ("2016-12-31T23:59:60Z", 1_483_228_800_000),  # a leap second is the next minute
    ("2024-01-01", None),
    ("20240101T000000Z000000", None),
    ("1970-01-01T00:00:00Z", 0),
    ("2100-01-01T00:00:00Z", 4_102_444_800_000),
    ("١٩٧٠-01-01T00:00:00Z", None),  # digits, but not ASCII
    ("1700000000", None),  # numeric text is text
    ("", None),
    (0, 0),
    (-1, -1000),
    (1_700_000_000, 1_700_000_000_000),
    (1_700_000_000.007, 1_700_000_000_007),
    (1_700_000_000.999999, 1_700_000_000_999),
    (99_999_999_999, 99_999_999_999_000),
    (1e11, 100_000_000_000),
    (99_999_999_999_999, 99_999_999_999_999),
    (1e14, 100_000_000_000),
    (1_700_000_000_999_999, 1_700_000_000_999),
    (1e300, 9_000_000_000_000_000),  # far in the future, not bad
    (10**400, 9_000_000_000_000_000),
    (-(10**400), None),
    (float("nan"), None),
    (float("inf"), None),
    (True, None),
    (None, None),
    ([], None),
    ({}, None),
]


@pytest.mark.parametrize(("value", "expected"), CASES, ids=[str(c[0])[:40] for c in CASES])
def test_one(value: Any, expected: int | None) -> None:
    assert one(value) == expected


def test_a_column_is_its_values() -> None:
    times, good = parse_times([c[0] for c in CASES])
    assert [t if g else None for t, g in zip(times.tolist(), good.tolist(), strict=True)] == [c[1] for c in CASES]
    assert times.dtype == np.int64
