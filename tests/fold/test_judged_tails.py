"""What is kept of a tail's judgements is what judging it anew would give, and a value is judged once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import Judgement, Level
from stream_monitor.judging.tails import Judged

TOO_LARGE = 1e300


@dataclass
class Summing:
    """A detector whose judgement tells all it has seen; it counts its updates."""

    updates: list[int] = field(default_factory=lambda: [0], compare=False)

    def update(self, state: Mapping[str, Any], value: float) -> tuple[Mapping[str, Any], Judgement]:
        self.updates[0] += 1
        if value == TOO_LARGE:
            raise OverflowError("too large")
        seen = [*state["seen"], value]
        return {"seen": seen}, Judgement(level=Level.OK, reason=str(seen))


def plainly(before: Mapping[str, Any], tail: list[tuple[int, float]]) -> list[str]:
    seen = list(before["seen"])
    return [str(seen := [*seen, value]) for _, value in tail]


MOVES = st.lists(
    st.tuples(st.sampled_from(["add", "change", "drop", "settle", "look", "anew"]), st.integers(0, 5)), max_size=40
)


@settings(max_examples=300, deadline=None)
@given(MOVES)
def test_it_is_as_if_it_were_judged_anew(moves: list[tuple[str, int]]) -> None:
    known, detector = Judged(), Summing()
    before: Mapping[str, Any] = {"seen": []}
    tail: list[tuple[int, float]] = []
    for i, (move, at) in enumerate(moves):
        if move == "add":
            tail = [*tail, (i * 10, float(i))]
        elif move == "change" and at < len(tail):
            tail = [*tail[:at], (tail[at][0], i + 0.5), *tail[at + 1 :]]
        elif move == "drop" and at < len(tail):
            tail = [*tail[:at], *tail[at + 1 :]]
        elif move == "settle" and tail:
            first, tail = tail[:at], tail[at:]
            before = {"seen": [*before["seen"], *(value for _, value in first)]}
            known.settled(before, first)
        elif move == "anew":
            before = {"seen": []}
        some = tail[: len(tail) - at] if move == "look" else tail
        assert [j.reason for j in known.along(detector, before, some)] == plainly(before, some)


def test_a_value_is_judged_once() -> None:
    known, detector, tail = Judged(), Summing(), [(i, float(i)) for i in range(50)]
    before: Mapping[str, Any] = {"seen": []}
    for end in range(1, 51):
        known.along(detector, before, tail[:end])
    before = {"seen": [float(i) for i in range(20)]}
    known.settled(before, tail[:20])
    assert known.along(detector, before, tail[20:])[-1].reason == str([float(i) for i in range(50)])
    assert detector.updates == [50]


def test_a_value_that_cannot_be_computed_with_is_unknown_and_leaves_no_trace() -> None:
    said = Judged().along(Summing(), {"seen": []}, [(0, 1.0), (1, TOO_LARGE), (2, 3.0)])
    assert [(j.level, j.reason) for j in said] == [
        (Level.OK, "[1.0]"),
        (Level.UNKNOWN, "cannot be computed: OverflowError: too large"),
        (Level.OK, "[1.0, 3.0]"),
    ]
