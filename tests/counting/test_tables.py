"""Columns of a CSV file: what is read at once is what cell after cell would give, to the last bit."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_monitor.counting.columns import column
from stream_monitor.formats.tables import _plain_numbers, _text_column, cell_value

NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers(-(2**70), 2**70).map(str)
DIGITS = st.from_regex(r"-?[0-9]{0,25}\.?[0-9]{1,25}([eE][+-]?[0-9]{1,3})?", fullmatch=True)
CELLS = st.lists(st.none() | NUMBERS | DIGITS, max_size=8)
ODD = st.sampled_from(
    ["+1", "1.", ".5", ".", "-", "1e", " 1", "1 ", "1\n", "٣", "0x1", "1_0", "nan", "-inf", "True", ""]
)


@pytest.mark.parametrize("mode", ["numeric", "raw"])
@given(cells=CELLS | st.lists(st.none() | NUMBERS | ODD, max_size=6))
@example(cells=["-0", "1"])
@example(cells=["-0.0", "0"])
@example(cells=["1e999", "1" * 400, "1e-999"])
@example(cells=["4.9e-324", "9007199254740993", "0.1e-6"])
@example(cells=[None, None])
def test_numbers_of_a_csv(mode: Literal["numeric", "raw"], cells: list[str | None]) -> None:
    found = _text_column("x", pa.chunked_array([pa.array(cells, pa.string())]), mode)
    wanted = column("x", [None if cell is None else cell_value(cell) for cell in cells], mode)
    assert found.kinds.tolist() == wanted.kinds.tolist()
    assert found.numbers.tobytes() == wanted.numbers.tobytes()
    words = [[None if code < 0 else of.words[code] for code in of.codes] for of in (found, wanted)]
    assert words[0] == words[1]


def test_numbers_are_read_at_once() -> None:
    numbers = _plain_numbers(pa.array(["1.5", "-2e3", "7", None]))
    assert numbers is not None
    assert numbers.to_pylist() == [1.5, -2000.0, 7.0, None]
    assert [_plain_numbers(pa.array(["1", odd])) for odd in ("x", "-0", "+1", "")] == [None] * 4
