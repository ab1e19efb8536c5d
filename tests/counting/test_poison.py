"""Records that bring out a mistake in a decoder: one of them must not take the others along."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from stream_monitor.counting.batches import DeadLetter, Records
from stream_monitor.errors import Unreachable
from stream_monitor.formats.poison import survived
from tests.counting.writers import records


def decode(of: Records) -> tuple[list[bytes], list[DeadLetter]]:
    """A decoder with a mistake: it divides by what it reads."""
    dead = [DeadLetter(i, "null_value", "none") for i, value in enumerate(of.values) if value is None]
    return [b"%d" % (100 // int(value)) for value in of.values if value is not None], dead


@pytest.mark.parametrize("pills", [[0], [6], [2, 3], [0, 1, 2, 3, 4, 5, 6, 7]])
def test_the_others_count(pills: list[int], caplog: pytest.LogCaptureFixture) -> None:
    values: list[bytes | None] = [b"0" if i in pills else b"5" for i in range(8)]
    values[1] = values[1] if 1 in pills else None
    found, dead = survived(decode, records(values))
    assert found == [b"20"] * values.count(b"5")
    assert [(letter.index, letter.reason) for letter in dead] == sorted(
        [(i, "not_json") for i in pills] + ([] if 1 in pills else [(1, "null_value")])
    )
    assert "ZeroDivisionError" in next(letter.detail for letter in dead if letter.index == pills[0])
    (told,) = caplog.records
    assert (told.levelno, told.exc_info is not None) == (logging.ERROR, True)


@pytest.mark.parametrize("error", [MemoryError(), Unreachable("no registry")])
def test_what_records_are_not_to_blame_for(error: Exception) -> None:
    def fail(_: Records) -> Any:
        raise error

    with pytest.raises(type(error)):
        survived(fail, records([b"1", b"2"]))


def test_what_fails_only_together_is_not_hidden() -> None:
    def fail(of: Records) -> tuple[int, list[DeadLetter]]:
        if len(of) > 1:
            raise ValueError("too many")
        return len(of), []

    with pytest.raises(ValueError, match="too many"):
        survived(fail, records([b"1", b"2", b"3"]))
