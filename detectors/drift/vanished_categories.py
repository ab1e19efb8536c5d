"""Share of the reference in categories that the window lacks."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import ColumnCounts


def vanished_categories(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Share of the reference's valid values whose category has no event in the window; 0 to 1.

    Small windows lack rare categories without any change; the noise function says how much of that is to be expected.
    Unknown categories count by their hash bucket. nan without a valid value on either side.

    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> vanished_categories(counts(9, 0), counts(3, 1))
    0.25
    """
    if not window.valid or not reference.valid:
        return math.nan
    gone = int(reference.counts[window.counts == 0].sum()) + int(reference.other[window.other == 0].sum())
    return gone / reference.valid


def vanished_categories_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Bernstein's bound on what independent rows lack; conservative.

    A category with c of the reference's m rows is lacking with probability (1 + rows / m)^-c, the share c / m being
    itself uncertain. Those that hardly ever are share half of p; the others are negatively associated, so that
    Bernstein's inequality for sums of independent shares holds with the other half.
    """
    m = reference.valid
    if rows <= 0 or m == 0:
        return -math.inf, 1.0
    counts = np.concatenate([reference.counts, reference.other])
    counts = counts[counts > 0]
    lacking = np.array([math.exp(-c * math.log1p(rows / m)) for c in counts.tolist()])
    often = lacking > p / (2 * len(counts))
    share, lacking = counts[often] / m, lacking[often]
    if not len(share):
        return -math.inf, 0.0
    mean = math.fsum((share * lacking).tolist())
    variance = math.fsum((share * share * lacking * (1 - lacking)).tolist())
    reach = -math.log(p / 2)
    most = float(share.max()) / 3 * reach
    return -math.inf, min(1.0, mean + most + math.sqrt(most * most + 2 * variance * reach))
