"""Cycles that the reference repeats: hours of the day, days of the week, or whatever its own series show.

A cycle is kept as a few harmonics, so that a pane that was never seen at its very time of day still has an expectation,
and the error of that expectation is known (regression, see units.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HARMONICS: Final = 4
KNOWN_MS: Final = (3_600_000, 86_400_000, 604_800_000)  # an hour, a day, a week
SEEN: Final = 3  # times that a cycle of unknown length must be there: twice might be a reference that wanders
LEAST_PANES: Final = 8  # panes a cycle must have
CLEAREST: Final = 12  # components that the length of a cycle is fitted to
EVIDENCE: Final = 1e-6  # of a cycle, over all components and frequencies together


@dataclass(frozen=True, slots=True, kw_only=True)
class Season:
    """A cycle of `period_ms`; `origin_ms` is where its phase is 0."""

    period_ms: float
    origin_ms: int = 0

    def design(self, middles_ms: Floats) -> Floats:
        """Regressors at these times: (times, 2 * HARMONICS).

        >>> Season(period_ms=4).design(np.array([1.0]))[0, :2].round()
        array([0., 1.])
        """
        angle = 2 * np.pi * (((middles_ms - self.origin_ms) / self.period_ms) % 1.0)
        return np.stack([f(k * angle) for k in range(1, HARMONICS + 1) for f in (np.cos, np.sin)], axis=1)


def seasons(residuals: Floats, pane_ms: int, origin_ms: int) -> tuple[Season, ...]:
    """The cycles that standardised pane residuals (panes, components) show, the strongest first.

    An hour, a day or a week must be there twice, another length three times.

    >>> t = np.arange(800)
    >>> noise = np.random.default_rng(0).normal(size=(800, 5))
    >>> seasons(noise, 1000, 0)
    ()
    >>> [round(s.period_ms / 1000) for s in seasons(noise + np.sin(2 * np.pi * t / 200)[:, None], 1000, 0)]
    [200]
    """
    found: list[Season] = []
    left = residuals - residuals.mean(axis=0)
    middles: Floats = origin_ms + (np.arange(len(left), dtype=np.float64) + 0.5) * pane_ms
    for _ in range(2):
        season = _strongest(left, pane_ms, origin_ms)
        if season is None:
            break
        found.append(season)
        x = season.design(middles)
        left = left - x @ np.linalg.lstsq(x, left, rcond=None)[0]
    return tuple(found)


def _strongest(left: Floats, pane_ms: int, origin_ms: int) -> Season | None:
    panes, count = left.shape
    most = panes // LEAST_PANES
    if most < 4:
        return None
    power = np.abs(np.fft.rfft(left, axis=0)) ** 2
    best, line = EVIDENCE / (count * most), 0
    for j in range(2, most + 1):
        near = [i for i in range(max(1, j // 2), min(2 * j + 12, len(power) - 1)) if abs(i - j) > 1]
        level = power[near].mean(axis=0)
        p = float(fdtrc(2, 2 * len(near), (power[j] / np.maximum(level, 1e-300)).max()))
        if p < best:
            best, line = p, j
    if not line:
        return None
    clearest = np.argsort(-power[line])[:CLEAREST]
    cycles = _refined(left[:, clearest], line)
    period = _nice(panes / cycles * pane_ms, panes * pane_ms, pane_ms)
    if line < SEEN and period not in KNOWN_MS:
        return None
    return Season(period_ms=period, origin_ms=origin_ms)


def _refined(left: Floats, line: int) -> float:
    """Cycles in the series, to a fraction: where the first two harmonics explain the most."""
    t = (np.arange(len(left)) + 0.5) / len(left)
    low, high = line - 0.75, line + 0.75
    best = float(line)
    for _ in range(3):
        grid = np.linspace(max(low, 1.9), high, 31)
        explained = []
        for cycles in grid.tolist():
            waves = [f(2 * np.pi * k * cycles * t) for k in (1, 2) for f in (np.cos, np.sin)]
            q = np.linalg.qr(np.stack([np.ones(len(t)), *waves], axis=1))[0]
            explained.append(float(((q.T @ left) ** 2).sum()))
        best = float(grid[int(np.argmax(explained))])
        step = grid[1] - grid[0]
        low, high = best - 1.5 * step, best + 1.5 * step
    return best


def _nice(period: float, span: float, pane: float, others: Sequence[int] = KNOWN_MS) -> float:
    """A known cycle or a whole number of panes, if it is as good within the span of the reference."""
    tolerance = 0.02 * period * period / span  # a fiftieth of a cycle at the end of the reference
    for known in others:
        if abs(known - period) <= 5 * tolerance:
            return float(known)
    for step in (10 * pane, 5 * pane, pane):
        whole = round(period / step) * step
        if abs(whole - period) <= tolerance:
            return float(whole)
    return period
