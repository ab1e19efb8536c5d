"""How much more the sums of neighbouring panes vary than sums of independent ones.

A short memory is fitted to the reference's series of panes (autoregression by Yule-Walker), from autocorrelations that
components of one group share as far as they do not differ by more than chance (James and Stein 1961). Its long-run
variance is known far better than one that is summed up lag by lag, and that is where the power on top of
autocorrelation comes from. The plain sum (Newey and West 1987, Bartlett's weights) stands guard: where it says that the
memory is longer than the fit can tell, it replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ORDER: Final = 3
FAR: Final = 512  # lags of the fitted autocorrelation that are summed
MOST_EFFECTIVE: Final = 12.0  # independent components that a large group is taken to be worth, at most


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dependence:
    """Inflation of the variance of a sum of `scales[i]` panes over that of independent panes; the last: of all."""

    inflation: Floats  # (components, scales + 1), at least 1
    df: Floats  # degrees of freedom that this is known with, of the same shape


def dependence(residuals: Floats, groups: Integers, scales: Sequence[int]) -> Dependence:
    """The dependence of standardised pane residuals (panes, components); `groups` numbers each component's group.

    >>> noise = np.random.default_rng(0).normal(size=(4000, 20))
    >>> found = dependence(noise, np.zeros(20, np.int64), [4, 64])
    >>> bool(np.all(np.abs(found.inflation - 1) < 0.1))
    True
    """
    panes, count = residuals.shape
    centred = residuals - residuals.mean(axis=0)
    power = np.maximum((centred**2).mean(axis=0), 1e-300)
    standard = centred / np.sqrt(power)
    lags = max(ORDER + 1, min(max([*scales, 1]), panes // 8))
    plain = np.stack([(standard[k:] * standard[:-k]).sum(axis=0) / panes for k in range(1, lags + 1)])
    shared = np.empty((ORDER, count))
    worth = np.ones(count)  # independent series that a component's memory is known from
    independent = {}
    for g in np.unique(groups):
        some = groups == g
        independent[int(g)] = independent_series(standard[:, some])
        shared[:, some], kept = _shrunk(plain[:ORDER, some], panes, independent[int(g)])
        worth[some] = 1 + (independent[int(g)] - 1) * (1 - kept)
    fitted = _extended(shared)
    inflation = np.stack([_sum(fitted, m) for m in [*scales, FAR]], axis=1)
    inflation = np.maximum(inflation, 1.0)
    # What the errors of the first autocorrelations, 1 / panes each, make of a sum: few for short windows.
    weights = [sum((1 - k / m) ** 2 for k in range(1, min(ORDER + 1, m))) for m in [*scales, FAR]]
    known = worth[:, None] * panes / 2.0 / np.maximum(np.array(weights), 1e-9)[None, :]
    _guard(inflation, known, plain, groups, scales, panes, independent)
    return Dependence(inflation=inflation, df=known)


def independent_series(standard: Floats) -> float:
    """How many independent series the mean autocorrelation of these (panes, components), of variance 1, is known from.

    The estimates of two series go together by the square of their correlation: count^2 over the sum of all squared
    correlations, less what chance adds to these; at most MOST_EFFECTIVE.

    >>> noise = np.random.default_rng(0).normal(size=(4000, 5))
    >>> round(independent_series(noise), 1), round(independent_series(noise[:, [0, 0, 0]]), 1)
    (5.0, 1.0)
    """
    panes, count = standard.shape
    products = standard @ standard.T if panes < count else standard.T @ standard
    squares = float((products**2).sum()) / panes**2 - (count**2 - count) / panes
    return float(np.clip(count**2 / max(squares, count), 1.0, MOST_EFFECTIVE))


def _shrunk(r: Floats, panes: int, independent: float) -> tuple[Floats, float]:
    """Autocorrelations (lags, components) of a group, drawn to their mean by as much as chance explains; and how much
    of their differences is kept."""
    noise, (lags, count) = 1.0 / panes, r.shape
    mean = r.mean(axis=1, keepdims=True)
    chance = noise * lags / independent
    mean = mean * max(0.0, 1 - chance / max(float((mean**2).sum()), 1e-300))
    if count == 1:
        return mean, 1.0
    scatter = ((r - mean) ** 2).sum(axis=1, keepdims=True) / (count - 1)
    kept = np.maximum(0.0, 1 - noise / np.maximum(scatter, 1e-300))
    return mean + kept * (r - mean), float(kept[0, 0])


def _extended(r: Floats) -> Floats:
    """Autocorrelations of the autoregression with these first ones, to FAR lags: (FAR + 1, components)."""
    order, count = r.shape
    with_zero = np.vstack([np.ones((1, count)), r])
    lag = np.abs(np.arange(order)[:, None] - np.arange(order)[None, :])
    matrices = np.moveaxis(with_zero[lag], 2, 0) + 1e-6 * np.eye(order)
    weights = np.linalg.solve(matrices, r.T[:, :, None])[:, :, 0]  # (components, order)
    far = np.zeros((FAR + 1, count))
    far[: order + 1] = with_zero
    for k in range(order + 1, FAR + 1):
        far[k] = np.clip((weights.T * far[k - 1 : k - order - 1 : -1]).sum(axis=0), -1.0, 1.0)
    return far


def _sum(r: Floats, m: int) -> Floats:
    k = np.arange(1, m)
    return np.asarray(1 + 2 * ((1 - k / m)[:, None] * r[1:m]).sum(axis=0), np.float64)


def _guard(
    inflation: Floats,
    df: Floats,
    plain: Floats,
    groups: Integers,
    scales: Sequence[int],
    panes: int,
    independent: Mapping[int, float],
) -> None:
    """Raise what the plain sums say is too low, from that scale on."""
    for i, m in enumerate(scales):
        if m > len(plain) or m * 10 > panes:
            break
        k = np.arange(1, m)
        ratio = (1 + 2 * ((1 - k / m)[:, None] * plain[: m - 1]).sum(axis=0)) / inflation[:, i]
        nu = 1.5 * (panes / m - 1)
        error = np.sqrt(2 / nu)
        for g in np.unique(groups):
            some = np.flatnonzero(groups == g)
            mean = float(ratio[some].mean())
            if mean > 1 + 2.5 * error / np.sqrt(independent[int(g)]):
                inflation[np.ix_(some, np.arange(i, inflation.shape[1]))] *= mean
                df[np.ix_(some, np.arange(i, inflation.shape[1]))] = np.minimum(
                    df[some][:, i:], nu * independent[int(g)]
                )
                ratio[some] /= mean
        own = np.flatnonzero(ratio > 1 + 4 * error)
        later = np.ix_(own, np.arange(i, inflation.shape[1]))
        inflation[later] *= ratio[own][:, None]
        df[later] = np.minimum(df[later], nu)
