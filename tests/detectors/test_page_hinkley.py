"""Page-Hinkley: agreement with River, how long a level lasts, thresholds from the reference."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from river.drift import PageHinkley as Rivers

from detectors import Level, PageHinkley
from detectors.change.run_lengths import run_length, threshold_for

RNG = np.random.default_rng(12345)
STREAMS = {
    "up": np.concatenate([RNG.integers(0, 2, 600), RNG.integers(4, 8, 600)]).astype(float),
    "down": np.concatenate([RNG.normal(5, 1, 500), RNG.normal(3, 1, 500)]),
    "up and down": np.concatenate([RNG.normal(m, 1, 300) for m in (0, 2, 0, -2, 5)]),
    "errors": (RNG.uniform(size=6_000) < np.repeat([0.1, 0.3, 0.1], 2_000)).astype(float),
    "walk": np.cumsum(RNG.normal(0, 0.3, 2_000)),
    "constant": np.full(200, 3.0),
}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"mode": "up", "threshold": 10.0, "delta": 0.1, "min_instances": 1},
    {"mode": "down", "threshold": 5.0, "delta": 0.0, "alpha": 1.0},
    {"mode": "both", "threshold": 20.0, "delta": 0.5, "min_instances": 100, "alpha": 0.99},
]


def firings(test: PageHinkley, values: Any) -> list[int]:
    state, fired = test.start(), []
    for i, value in enumerate(values):
        state, judgement = test.update(state, value)
        if judgement.level is Level.DRIFT:
            fired.append(i)
    return fired


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_fires_where_rivers_fires(stream: str, setting: dict[str, Any]) -> None:
    rivers, expected = Rivers(**setting), []
    for i, value in enumerate(STREAMS[stream]):
        rivers.update(value)
        if rivers.drift_detected:
            expected.append(i)
    assert firings(PageHinkley(**setting, reset=True), STREAMS[stream]) == expected
    assert firings(PageHinkley(**setting), STREAMS[stream])[:1] == expected[:1]


def test_the_comparison_compares_something() -> None:
    assert len(firings(PageHinkley(reset=True), STREAMS["up and down"])) >= 2
    assert len(firings(PageHinkley(reset=True), STREAMS["errors"])) >= 2


def test_drift_stands_while_the_change_does_and_keeps_its_onset() -> None:
    rng = np.random.default_rng(1)
    quiet, shifted = rng.normal(0, 1, 60), rng.normal(4, 1, 20)
    test = PageHinkley(threshold=8.0, delta=0.5, min_instances=30, mode="up")
    state, levels, begun = test.start(), [], []
    for i, value in enumerate([*quiet, *shifted, *rng.normal(0, 1, 60)]):
        state, judgement = test.update(state, value)
        levels.append(judgement.level)
        if judgement.onset is not None:
            begun.append(i - judgement.onset)
    assert set(levels[:30]) == {Level.UNKNOWN, Level.OK}
    assert Level.DRIFT not in levels[:61]
    assert set(levels[63:80]) == {Level.DRIFT}  # in a row, so that an alert for two windows comes
    assert set(begun) == {60}  # the very window, all the time
    assert set(levels[100:]) == {Level.OK}  # and it ends when the values have come back


def test_evidence_is_capped_so_that_a_long_drift_ends_as_soon_as_a_short_one() -> None:
    def windows_to_end(length: int) -> int:
        test = PageHinkley(threshold=8.0, delta=0.5, min_instances=30, mode="up")
        state = test.prime([0.0, 1.0] * 500)
        for _ in range(length):
            state, judgement = test.update(state, 5.0)
        assert judgement.level is Level.DRIFT
        for i in range(1_000):
            state, judgement = test.update(state, 0.5)
            if judgement.level is not Level.DRIFT:
                return i
        raise AssertionError("it never ended")

    assert abs(windows_to_end(100) - windows_to_end(10)) <= 20


@pytest.mark.parametrize("mode", ["up", "down"])
def test_threshold_it_names_is_where_the_level_turns(mode: Literal["up", "down"]) -> None:
    test = PageHinkley(threshold=6.0, delta=0.2, min_instances=5, mode=mode)
    state = test.start()
    for value in RNG.normal(0, 1, 40):
        before = state
        state, judgement = test.update(state, value)
    assert judgement.threshold is not None
    beyond = 1e-9 if mode == "up" else -1e-9
    assert test.update(before, judgement.threshold + beyond)[1].level is Level.DRIFT
    assert test.update(before, judgement.threshold - beyond)[1].level is Level.OK


def test_siegmunds_run_length() -> None:
    """Exact values of the one-sided cumulative sum: twice the two-sided ones of Montgomery's table, 168 and 465."""
    assert run_length(0.5, 4.0) == pytest.approx(2 * 168, rel=0.02)
    assert run_length(0.5, 5.0) == pytest.approx(2 * 465, rel=0.02)
    for delta in (0.0, 0.05, 0.5, 2.0):
        for length in (20.0, 1e3, 1e9):
            assert run_length(delta, threshold_for(delta, length)) >= length * 0.999999


@pytest.mark.parametrize("windows", [20, 100])
@pytest.mark.parametrize("worse", ["above", "below", "both"])
def test_calibrated_keeps_its_budget_and_still_sees(windows: int, worse: Literal["above", "below", "both"]) -> None:
    """Gamma noise, budget one alarm per 1,000 windows: in 200 windows at most 18 % of series may have one."""
    rng, series, alarmed, seen = np.random.default_rng(9), 120, 0, 0
    for _ in range(series):
        reference = rng.gamma(4, 1, windows)
        test = PageHinkley.calibrated(reference, worse=worse, windows_between_false_alarms=1_000)
        quiet, moved = rng.gamma(4, 1, 200), rng.gamma(4, 1, 60) + (-6 if worse == "below" else 6)
        for values, counts in ((quiet, "alarmed"), (moved, "seen")):
            state, fired = test.prime(reference), False
            for value in values:
                state, judgement = test.update(state, value)
                fired = fired or judgement.level is Level.DRIFT
            alarmed += fired and counts == "alarmed"
            seen += fired and counts == "seen"
    assert alarmed / series <= 0.18
    assert seen / series >= 0.95


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(ValueError, match="without spread"):
        PageHinkley.calibrated([0.5] * 20, worse="above", windows_between_false_alarms=100)
