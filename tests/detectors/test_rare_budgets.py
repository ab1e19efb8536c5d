"""Charts whose budgets are so rare that the shape of values and the error of a short reference decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from detectors import DETECTORS, METRICS, Level
from detectors.change.cusum import CUSUM
from detectors.change.rescaled import Rescaled, scale_for
from detectors.counts import ColumnCounts
from tests.detectors.build import numeric

BINS, ROWS, REFERENCES, QUIET = 50, 500, 16, 3_000
Series = tuple[list[float], list[float], list[float]]


@pytest.fixture(scope="module")
def psis() -> list[Series]:
    """PSI of windows of 500 rows in deciles: of the reference's own windows, of quiet ones, and of moved ones."""
    rng, share, psi = np.random.default_rng(8), np.full(BINS, 1 / BINS), METRICS["psi"].function
    moved = share * np.where(np.arange(BINS) < BINS / 2, 0.75, 1.25)
    edges = np.arange(1.0, BINS)

    def counts(of: Any) -> ColumnCounts:
        return replace(numeric([], edges), rows=int(of.sum()), counts=of.astype(np.int64), sum=0.0, low=0.5, high=49.5)

    def values(windows: Any, reference: Any, *, own: bool = False) -> list[float]:
        return [psi(counts(w), counts(reference - w * own)) for w in windows]

    found = []
    for _ in range(REFERENCES):
        windows = rng.multinomial(ROWS, share, 200)
        whole = windows.sum(axis=0)
        quiet, later = rng.multinomial(ROWS, share, QUIET), rng.multinomial(ROWS, moved, 40)
        found.append((values(windows, whole, own=True), values(quiet, whole), values(later, whole)))
    return found


@pytest.mark.parametrize("name", ["cusum", "ewma", "glr", "bocpd", "page_hinkley"])
def test_rare_budgets_are_kept_on_a_skewed_metric(name: str, psis: list[Series]) -> None:
    """One alarm in 36,000 windows: 1.3 are allowed in 16 times 3,000, and 3 errors. As values come GLR has 20."""
    kind: Any = DETECTORS[name]
    alarms = seen = 0
    for reference, quiet, moved in psis:
        scale = scale_for(kind, reference, METRICS["psi"].limits)
        shown = scale.there(np.array(reference))
        inner = kind.calibrated(shown, worse="above", windows_between_false_alarms=36_000)
        test = Rescaled(detector=inner, scale=scale)
        state, before = inner.prime(shown) if hasattr(inner, "prime") else inner.start(), Level.OK
        for value in quiet:
            state, judgement = test.update(state, value)
            alarms += judgement.level is Level.DRIFT and before is not Level.DRIFT
            before = judgement.level
        levels = []
        for value in moved:
            state, judgement = test.update(state, value)
            levels.append(judgement.level)
        seen += Level.DRIFT in levels
    assert alarms <= 1.3 + 3 * np.sqrt(1.3)
    assert seen == REFERENCES


@pytest.mark.parametrize("windows", [20, 60])
def test_cusum_keeps_a_rare_budget_after_a_short_reference(windows: int) -> None:
    """300 references, 10,000 normal values each, one alarm in 36,000 allowed: 83. It was 6 times as many after 20."""
    rng, alarms = np.random.default_rng(22), 0
    for _ in range(300):
        test = CUSUM.calibrated(rng.normal(size=windows), worse="above", windows_between_false_alarms=36_000)
        levels = test.update_many(test.start(), rng.normal(size=10_000))[1]
        alarms += int((np.diff((levels == Level.DRIFT).astype(int), prepend=0) == 1).sum())
    assert alarms <= 83 * 2
