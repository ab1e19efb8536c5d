"""Performance before labels come: what the window's scores would give if they mean what they meant in the reference.

Confidence-based performance estimation. Each event is taken to be positive with the probability that its score stood
for in the reference: the share of positives among its labelled events, by hundredths of the score, PRIOR event added to
each that is as a logistic curve through all of them says, and then made to rise with the score (isotonic regression by
pooling neighbours; Ayer et al. 1955, Ann. Math. Statist. 26). Without labels in the reference scores are taken at their
word, and the fewer there are, the nearer the curve is to that.

What is predicted positive is told from the reference too: scores from the cut on at which it had as many of them as
predictions of the positive class; 1/2 without labels. Sees a loss that shows in the scores; not one in what they stand
for, which only labels tell. Scores are taken as spread evenly within a bin of the layout and known to 1/100.
Garg et al. 2022, ICLR; NannyML's CBPE; Kivimaki et al. 2024, arXiv 2407.08649. The curve: Cox 1958, Biometrika 45.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.counts import ColumnCounts
from detectors.drift.moments import points_of
from detectors.layouts import FP, NEGATIVE_SCORES, POSITIVE_SCORES, SCORE_BINS, TP
from detectors.performance.intervals import Ends, logit_ends

Floats = NDArray[np.float64]

PRIOR: Final = 1.0  # labelled events' worth of trust in the curve, in each hundredth
SPREAD: Final = 2.0  # of the curve's intercept and slope around 0 and 1, where scores are at their word, before labels
_MIDDLE: Final = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
_CURVE: Final = np.stack([np.ones(SCORE_BINS), np.log(_MIDDLE / (1 - _MIDDLE))], axis=1)


class Expected(NamedTuple):
    """Scores as cells of equal meaning, in ascending order."""

    weights: Floats  # share of the events in each cell
    positive: Floats  # probability that an event is positive
    claimed: Floats  # 1 where it is predicted to be, else 0
    doubt: Floats  # variance of `positive` that the reference's labels leave, of one hundredth
    curve: Floats  # what errors of the curve, each of variance 1, add to `positive`; (2, cells)
    place: NDArray[np.int64]  # the hundredth
    events: float


class Reading(NamedTuple):
    """An estimate, and what one event moves it by: through its score, and through being positive or not."""

    value: float
    influence: Floats
    gradient: Floats


Read = Callable[[Expected], Reading]


def expected(window: ColumnCounts, reference: ColumnCounts) -> Expected | None:
    """The window's scores under the reference's calibration; None without scores, or with one outside 0 to 1."""
    events = int(window.counts.sum())
    if not events or not reference.counts.any() or window.low < 0 or window.high > 1:
        return None
    ends = points_of(window)
    ends = ends + 1e-14 * np.arange(len(ends))  # a value that many share is a bin without width
    cells = np.union1d(ends, np.linspace(0, 1, SCORE_BINS + 1))
    weights = np.diff(np.interp(cells, ends, np.concatenate([[0.0], np.cumsum(window.counts)]))) / events
    middle = (cells[:-1] + cells[1:]) / 2
    some = weights > 0
    weights, middle = weights[some], middle[some]
    place = np.minimum((middle * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
    chance, variance, curve, cut = _calibration(reference)
    positive = middle if chance is None else chance[place]
    claimed = (middle >= cut).astype(np.float64)
    return Expected(weights, positive, claimed, variance[place], curve[:, place], place, events)


def estimate(window: ColumnCounts, reference: ColumnCounts, read: Read) -> float:
    """The value that `read` makes of the window's scores; nan without any."""
    of = expected(window, reference)
    return math.nan if of is None else _share(read(of).value)


def estimate_noise(reference: ColumnCounts, rows: float, p: float, read: Read) -> Ends:
    """Normal on the scale of logits, by what one score moves the estimate by; the reference's own noise counted."""
    of = expected(reference, reference)
    if of is None or rows <= 0:
        return 0.0, 1.0
    value, influence, _ = read(of)
    if not math.isfinite(value):
        return 0.0, 1.0
    variance = math.fsum((of.weights * influence**2).tolist()) * (1 / rows + 1 / of.events)
    return logit_ends(_share(value), variance, p, min(rows, of.events))


def estimate_interval(window: ColumnCounts, reference: ColumnCounts, p: float, read: Read) -> Ends:
    """Where the labels will put the window's own value: they are drawn, and the calibration has its error."""
    of = expected(window, reference)
    if of is None:
        return math.nan, math.nan
    value, _, gradient = read(of)
    if not math.isfinite(value):
        return math.nan, math.nan
    drawn = math.fsum((of.weights * gradient**2 * of.positive * (1 - of.positive)).tolist()) / of.events
    together = np.bincount(of.place, of.weights * gradient, SCORE_BINS)
    doubt = np.zeros(SCORE_BINS)
    doubt[of.place] = of.doubt
    learnt = math.fsum((together**2 * doubt).tolist()) + float(((of.curve @ (of.weights * gradient)) ** 2).sum())
    return logit_ends(_share(value), drawn + learnt, p, of.events)


def _share(value: float) -> float:
    """Without what rounding puts beyond 0 and 1."""
    return value if math.isnan(value) else min(max(value, 0.0), 1.0)


def _calibration(reference: ColumnCounts) -> tuple[Floats | None, Floats, Floats, float]:
    """Per hundredth of the score the share of positives, its variance and what the curve's errors add, and the cut.

    None for the share: as scores say.
    """
    certain = np.zeros(SCORE_BINS), np.zeros((2, SCORE_BINS))
    if reference.labels is None:
        return None, *certain, 0.5
    cells = reference.labels.cells
    positive = cells[POSITIVE_SCORES : POSITIVE_SCORES + SCORE_BINS].astype(np.float64)
    negative = cells[NEGATIVE_SCORES : NEGATIVE_SCORES + SCORE_BINS].astype(np.float64)
    labelled = positive + negative
    if not labelled.any():
        return None, *certain, 0.5
    weight = labelled + PRIOR
    curve, errors = _curve(positive, negative)
    chance = _rising((positive + PRIOR * curve) / weight, weight)
    tails = np.append(np.cumsum(labelled[::-1])[::-1], 0.0)  # events from each border on
    claims = float(cells[TP] + cells[FP])
    borders = np.arange(SCORE_BINS + 1)
    cut = min(borders.tolist(), key=lambda k: (abs(tails[k] - claims), abs(k - SCORE_BINS // 2))) / SCORE_BINS
    return chance, chance * (1 - chance) / weight, errors * (PRIOR / weight), cut


def _curve(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """Per hundredth the logistic curve through the labels, and what its errors, each of variance 1, add to it.

    logit(chance) = a + b logit(score), by penalised likelihood: a and b are normal around 0 and 1, SPREAD wide.

    >>> curve, errors = _curve(np.zeros(SCORE_BINS), np.zeros(SCORE_BINS))  # as the scores say
    >>> np.allclose(curve, _MIDDLE), np.allclose(errors[0], SPREAD * _MIDDLE * (1 - _MIDDLE))
    (True, True)
    """
    labelled, at = positive + negative, np.array([0.0, 1.0])
    for _ in range(50):  # Newton's method, at most 2 a step
        chance = _logistic(_CURVE @ at)
        slope = _CURVE.T @ (positive - labelled * chance) - (at - (0.0, 1.0)) / SPREAD**2
        bend = _CURVE.T @ (_CURVE * (labelled * chance * (1 - chance))[:, None]) + np.eye(2) / SPREAD**2
        step = np.linalg.solve(bend, slope)
        at = at + step * min(1.0, 2.0 / float(np.abs(step).max() + 1e-300))
        if float(np.abs(step).max()) < 1e-10:
            break
    chance = _logistic(_CURVE @ at)
    return chance, (np.linalg.cholesky(np.linalg.inv(bend)).T @ _CURVE.T) * chance * (1 - chance)


def _logistic(values: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(values / 2))


def _rising(values: Floats, weights: Floats) -> Floats:
    """The nearest sequence that never falls, by weighted squares.

    >>> _rising(np.array([1.0, 3.0, 2.0, 4.0]), np.ones(4)).tolist()
    [1.0, 2.5, 2.5, 4.0]
    """
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, many = value, weight, 1
        while pools and pools[-1][0] >= mean:
            before, held, n = pools.pop()
            mean, total, many = (before * held + mean * total) / (held + total), held + total, many + n
        pools.append((mean, total, many))
    return np.repeat([m for m, _, _ in pools], [n for _, _, n in pools])
