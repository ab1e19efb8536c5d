"""Do the features still matter to the model in the order they did?"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from detectors.drift.moments import mean, spread
from detectors.families import FamilyCounts

Floats = NDArray[np.float64]

DRAWS: Final = 1_000
FEW: Final = 0.01  # the rarest quantile that so many draws tell


def attribution_drift(window: FamilyCounts, reference: FamilyCounts) -> float:
    """Normalised discounted cumulative gain (NDCG) of the window's order of features, 0 to 1; 1 is the same order.

    A feature's weight is the mean size of its attributions (SHAP, LIME, ...), from exact sums, so without binning
    error. Features are ordered by their weights in the window; the gain at place i is the weight in the reference over
    log2(i + 1); the sum is divided by that of the reference's own order. Features of equal weight share their places. A
    change among features that hardly matter weighs little; a change of sizes alone is none. Clouds alarm below 0.9.
    nan without two features, where one has no value on either side, or where none mattered in the reference.
    Jarvelin and Kekalainen 2002, ACM Trans. Inf. Syst. 20; Amazon SageMaker Clarify, feature attribution drift.

    >>> from detectors.counts import ColumnCounts
    >>> from detectors.layouts import NumericLayout
    >>> def of(*sizes):
    ...     return FamilyCounts(columns={str(i): ColumnCounts(layout=NumericLayout(edges=()), rows=1,
    ...         counts=np.array([1]), other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=x, low=x,
    ...         high=x) for i, x in enumerate(sizes)})
    >>> round(attribution_drift(of(0.1, 0.2, 0.7), of(0.7, 0.5, 0.05)), 4)  # the documentation's: the order is reversed
    0.6876
    """
    now, usual = _means(window), _means(reference)
    return math.nan if now is None or usual is None or len(now) != len(usual) else ndcg(now, usual)


def attribution_drift_p_value(window: FamilyCounts, reference: FamilyCounts) -> float:
    """Of the clearest exchange of two features, both samples' noise counted, by Bonferroni's bound over all pairs.

    For a pair that has changed its order, z is the change of the difference of their mean sizes over its error, by the
    reference's deviations: few rows of the window look as if they did not vary. Errors of two features are taken as
    independent: attributions that rise together make it careful. nan with a feature of one row in the reference.
    """
    now, usual = _means(window), _means(reference)
    if now is None or usual is None or math.isnan(ndcg(now, usual)) or _valid(reference).min() < 2:
        return math.nan
    unit = max(_unit(now), _unit(usual))
    now, usual = np.ldexp(now, -unit), np.ldexp(usual, -unit)
    each = np.ldexp(_deviations(reference), -unit) * np.sqrt(1 / _valid(window) + 1 / _valid(reference))
    first, second = np.triu_indices(len(now), 1)
    before, after = usual[first] - usual[second], now[first] - now[second]
    turned = np.sign(before) * np.sign(after) < 0
    if not turned.any():
        return 1.0
    error = np.hypot(each[first], each[second])[turned]
    change = np.abs(after - before)[turned]
    if (error == 0).any():
        return 0.0
    return min(1.0, 2 * float(scipy.special.ndtr(-float(np.max(change / error)))) * len(first))


def attribution_drift_noise(reference: FamilyCounts, rows: float, p: float) -> tuple[float, float]:
    """What 1,000 fixed draws of the mean sizes, normal, the reference's own noise counted, leave with probability p.

    Below 0.01 the draws are stretched by as much as the normal quantile of p is further out than that of 0.01. Errors
    of the features are taken as independent.
    """
    usual = _means(reference)
    if usual is None or rows <= 0 or math.isnan(ndcg(usual, usual)):
        return 0.0, 1.0
    stretch = max(1.0, float(scipy.special.ndtri(p)) / float(scipy.special.ndtri(FEW)))
    unit = _unit(usual)
    usual = np.ldexp(usual, -unit)
    error = np.ldexp(_deviations(reference), -unit) * np.sqrt(1 / rows + 1 / _valid(reference))
    order = np.argsort(-(usual + stretch * error * _draws(len(usual))), axis=1, kind="stable")
    gains = usual[order] @ _discounts(len(usual))
    return min(1.0, float(np.quantile(gains, max(p, FEW), method="lower")) / _best(usual)), 1.0


@lru_cache(maxsize=4)
def _draws(features: int) -> Floats:
    """Standard normal numbers, the same in every process: of a hash."""
    drawn = hashlib.shake_256(f"attributions {features}".encode()).digest(8 * DRAWS * features)
    uniform = (np.frombuffer(drawn, "<u8") / 2.0**64).reshape(DRAWS, features)
    found: Floats = scipy.special.ndtri(np.clip(uniform, 1e-16, 1 - 1e-16))
    return found


def ndcg(now: Floats, usual: Floats) -> float:
    """The gain of the order by `now`, greatest first, of relevances `usual`, over the greatest gain there is.

    >>> round(ndcg(np.array([2.0, 1.0, 1.0]), np.array([1.0, 3.0, 1.0])), 6)  # two equal ones share places 2 and 3
    0.789619
    """
    usual = np.ldexp(usual, -_unit(usual))
    discount, best = _discounts(len(usual)), _best(usual)
    if len(usual) < 2 or not best > 0:
        return math.nan
    _, tied = np.unique(-now, return_inverse=True)
    sizes = np.bincount(tied)
    ends = np.cumsum(sizes)
    until = np.concatenate([[0.0], np.cumsum(discount)])
    shared = (until[ends] - until[ends - sizes]) / sizes
    return min(1.0, math.fsum((usual * shared[tied]).tolist()) / best)


def _unit(sizes: Floats) -> int:
    """The exponent of a power of 2 next to the greatest: in such units sums and squares stay among the doubles."""
    return int(np.frexp(np.max(np.abs(sizes), initial=0.0))[1])


def _discounts(places: int) -> Floats:
    found: Floats = 1 / np.log2(np.arange(places) + 2.0)
    return found


def _best(usual: Floats) -> float:
    """The gain of the order by the relevances themselves."""
    return math.fsum((np.sort(usual)[::-1] * _discounts(len(usual))).tolist())


def _means(of: FamilyCounts) -> Floats | None:
    """Mean sizes; None where a feature has no values."""
    found = np.array([mean(of.columns[name]) for name in sorted(of.columns)], np.float64)
    return None if len(found) < 2 or np.isnan(found).any() else found


def _deviations(of: FamilyCounts) -> Floats:
    return np.array([spread(of.columns[name]).deviation for name in sorted(of.columns)], np.float64)


def _valid(of: FamilyCounts) -> Floats:
    return np.array([max(1, of.columns[name].valid) for name in sorted(of.columns)], np.float64)
