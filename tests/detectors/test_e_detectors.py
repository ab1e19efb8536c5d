"""E-detectors: how often they fire where nothing changes, how long they say so, and what of values that overlap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors import DETECTORS

NAMES = ["e_cusum", "e_shiryaev_roberts"]


def windows(rng: np.random.Generator, rates: NDArray[np.float64], overlap: int) -> NDArray[np.float64]:
    """Shares of errors in windows of 200 events, each `overlap` panes long and a pane after the one before."""
    panes = rng.binomial(200 // overlap, rates) / (200 // overlap)
    return np.convolve(panes, np.ones(overlap) / overlap, "valid")


def learnt(name: str, rng: np.random.Generator, overlap: int, between: float) -> Any:
    """From 400 windows of a reference without overlap, as a judge shows them: each as often as it will resemble."""
    reference = windows(rng, np.full(400 * overlap, 0.1), overlap)[::overlap]
    kind: Any = DETECTORS[name]
    return kind.calibrated(np.repeat(reference, overlap), worse="above", windows_between_false_alarms=between)


@pytest.mark.parametrize("overlap", [1, 4, 20])
@pytest.mark.parametrize("name", NAMES)
def test_the_budget_holds_where_windows_overlap(name: str, overlap: int) -> None:
    """One false alarm in 500 values: of 12 streams of 3,000 values 72, and three errors. Each is over soon."""
    fired, inside = 0, 0.0
    for seed in range(12):
        rng = np.random.default_rng([seed, overlap])
        test = learnt(name, rng, overlap, 500)
        _, levels = test.update_many(test.start(), windows(rng, np.full(3_000, 0.1), overlap))
        fired += int(((levels[1:] == 2) & (levels[:-1] != 2)).sum())
        inside += float((levels == 2).mean()) / 12
    assert fired <= 72 + 3 * 72**0.5
    assert inside < 0.1


@pytest.mark.parametrize("overlap", [1, 10])
@pytest.mark.parametrize("name", NAMES)
def test_a_change_is_told_as_long_as_it_lasts(name: str, overlap: int) -> None:
    """
    0.1 |-----+              +------------
    0.2       +--------------+            100 windows' lengths in all, and a few to be sure of either
    """
    rng = np.random.default_rng(5)
    test = learnt(name, rng, overlap, 1_000)
    rates = np.repeat([0.1, 0.2, 0.1], np.array([60, 100, 200]) * overlap)
    _, levels = test.update_many(test.start(), windows(rng, rates, overlap))
    turns = np.flatnonzero(np.diff(levels == 2)) / overlap
    assert 60 <= turns[0] <= 85
    assert 160 <= turns[1] <= 190


def test_the_root_of_a_bet_is_what_values_that_come_as_often_need() -> None:
    """Each value v times is v times the evidence of its root: the wealth is that of the values, each once."""
    rng = np.random.default_rng(2)
    kind: Any = DETECTORS["e_cusum"]
    once = kind(mean_least=0.1, mean_most=0.1)
    often = kind(mean_least=0.1, mean_most=0.1, resemblance=4.0)
    values = rng.uniform(0.1, 0.3, 12)
    state, _ = once.update_many(once.start(), values)
    again, _ = often.update_many(often.start(), np.repeat(values, 4))
    assert state["memory"][1] == pytest.approx(again["memory"][1], rel=1e-9)
