"""Whether a change is still there: a long window sees a drift for as long as it reaches back to it.

    quiet   drift               quiet
    ........################........
                  [      window    ]     beyond its bound, though nothing is wrong any more

The change is taken to be the run of panes that differs most from what is expected (the likelihood ratio of a change
with a beginning and an end, Levin and Kline 1985), of that run's size. It is over once some last panes are far more
likely under no change than under one of that size: by 1 / sqrt(alpha), the root that a glitch is told by. That needs
about half of the events that the same change needs to be seen (log(1 / alpha) / size^2 against 2 log(1 / alpha) /
size^2), and while a change goes on it is claimed falsely with a probability of sqrt(alpha) at most (Ville 1939).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Run:
    """Panes [start, end) of a window."""

    start: int
    end: int


def strongest(deviations: Floats, events: Floats) -> Run:
    """The run of panes whose sum of deviations, all one way, is the most unlikely: the greatest sum / sqrt(events).

    >>> strongest(np.array([0.0, 5.0, 6.0, 5.0, -1.0, 0.0]), np.full(6, 10.0))
    Run(start=1, end=4)
    """
    sums = np.concatenate([[0.0], np.cumsum(deviations)])
    exposed = np.concatenate([[0.0], np.cumsum(events)])
    own, many = sums[None, :] - sums[:, None], exposed[None, :] - exposed[:, None]
    ratio = np.where(many > 0, own, -np.inf) / np.sqrt(np.maximum(many, 1e-9))
    start, end = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
    return Run(int(start), int(end))


def over(gains: Floats, alpha: float) -> int | None:
    """The pane from which on no change is the likelier by 1 / sqrt(alpha); None: there is no such pane.

    `gains` are the log likelihood ratios of no change against the change, pane by pane up to now; what was before the
    change began must not be in it.

    >>> over(np.array([-4.0, -4.0, 1.5, 1.5, 1.5]), 1e-3), over(np.array([-4.0, -4.0, 1.5, 1.5]), 1e-3)
    (2, None)
    """
    back = np.cumsum(gains[::-1])
    if not len(back) or back.max() < -0.5 * np.log(alpha):
        return None
    return len(gains) - 1 - int(np.argmax(back))


def score_gains(deviations: Floats, events: Floats, size: float, variance: float) -> Floats:
    """Log likelihood ratios of mean 0 against mean `size` an event, of sums of normal scores.

    >>> score_gains(np.array([0.0, 20.0]), np.array([10.0, 10.0]), 2.0, 1.0)
    array([ 20., -20.])
    """
    return (size**2 / 2 * events - size * deviations) / variance


def share_gains(counts: Floats, events: Floats, usual: Floats, changed: Floats, inflation: float) -> Floats:
    """Log likelihood ratios of shares `usual` against `changed`, of counts that come `inflation` at a time.

    >>> share_gains(np.array([1.0]), np.array([2.0]), np.array([0.5]), np.array([0.75]), 1.0).round(4)
    array([0.2877])
    """
    rest = xlogy(events - counts, (1 - usual) / np.maximum(1 - changed, 1e-12))
    return np.asarray((xlogy(counts, usual / np.maximum(changed, 1e-12)) + rest) / inflation, np.float64)
