"""Have texts changed: their length, their number of words, their script?"""

from __future__ import annotations

import math

from detectors.drift.chi_square import chi_square_p_value
from detectors.drift.jensen_shannon import jensen_shannon, jensen_shannon_noise
from detectors.families import FamilyCounts, cauchy


def text_drift(window: FamilyCounts, reference: FamilyCounts) -> float:
    """Root mean square of the Jensen-Shannon distances of lengths, of numbers of tokens and of scripts, 0 to 1.

    What is counted of texts tells of their form, not of their meaning: other languages, templates, cut or empty texts
    show; other words of the same kind do not. Groups as in groups.py: what moves within one is lost, nothing else.
    Missing texts are not drift here: missing_rate. nan without a text on either side.

    >>> import numpy as np
    >>> from detectors.counts import ColumnCounts
    >>> from detectors.layouts import CategoricalLayout
    >>> def of(*scripts):
    ...     return FamilyCounts(columns={"script": ColumnCounts(layout=CategoricalLayout(categories=("Greek", "Latin")),
    ...         rows=sum(scripts), counts=np.array(scripts), other=np.zeros(0, np.int64), missing=0, nonfinite=0,
    ...         unparseable=0, sum=0., low=0., high=0.)})
    >>> text_drift(of(0, 5), of(0, 9)), text_drift(of(5, 0), of(0, 9))
    (0.0, 1.0)
    """
    found = [jensen_shannon(window.columns[n], c) for n, c in reference.columns.items() if n in window.columns]
    return math.sqrt(math.fsum(d * d for d in found) / len(found)) if found else math.nan


def text_drift_p_value(window: FamilyCounts, reference: FamilyCounts) -> float:
    """Cauchy's combination of the two-sample chi-square tests of the three, which depend on each other."""
    found = [chi_square_p_value(window.columns[n], c) for n, c in reference.columns.items() if n in window.columns]
    return cauchy(found)


def text_drift_noise(reference: FamilyCounts, rows: float, p: float) -> tuple[float, float]:
    """What the three exceed if they rise together: a bound far out in the tail."""
    ends = [jensen_shannon_noise(c, rows, p)[1] for c in reference.columns.values()]
    return -math.inf, math.sqrt(math.fsum(e * e for e in ends) / len(ends)) if ends else 1.0
