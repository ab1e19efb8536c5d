"""Fairness: one verdict per dimension with the windows of all events, from the counts of its segments.

country=de  8 of 10 right     country=fr  4 of 10 right     country=it  2 labels: too few to have a rate
"""

from __future__ import annotations

import pytest

from stream_monitor.config import MonitorSpec
from tests.fold.makers import SECOND, Event, Run, Tap, bodies, steady

RIGHT = {"de": (8, 10), "fr": (4, 10), "it": (2, 2)}
MONITOR = MonitorSpec(metric="accuracy_difference", threshold=0.3)


def window(start: int, right: dict[str, tuple[int, int]]) -> list[Event]:
    return [
        Event(at=start * SECOND, right=i < good, segments=(f"country={country}",))
        for country, (good, of) in right.items()
        for i in range(of)
    ]


def test_segments_of_one_window_are_compared() -> None:
    run, tap = Run(model=steady(monitors=(MONITOR,), segments=("country",))), Tap()
    made = bodies(
        run.feed(tap.block([*window(1, RIGHT), *window(11, {"de": (9, 10), "it": (1, 2)}), Event(at=25_000)])),
        "verdict",
    )
    first, second = [v for v in made if v["metric"] == "accuracy_difference"][:2]
    assert (first["segment"], first["column"], first["group"]) == ("all", "country", "fairness")
    assert first["value"] == pytest.approx(0.4)  # 0.8 - 0.4
    assert first["level"] == "drift"
    assert first["rows"] == 22
    assert second["level"] == "unknown"  # one segment alone
    assert "1 segments of country" in second["reason"]
    assert {v["segment"] for v in made} == {"all"}


def test_a_late_label_judges_the_dimension_again() -> None:
    run, tap = Run(model=steady(monitors=(MONITOR,), segments=("country",))), Tap()
    run.feed(tap.block([*window(1, RIGHT), Event(at=15_000)]))
    late = [Event(at=5_000, right=True, segments=("country=fr",)) for _ in range(10)]
    made = bodies(run.feed(tap.block(late)), "verdict")
    assert [(v["revision"], v["level"]) for v in made] == [(1, "ok")]
    assert made[0]["value"] == pytest.approx(0.8 - 14 / 20)
