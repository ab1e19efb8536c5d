"""One look: what the last panes say of every column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.scan.results import Result, Sums, result
from detectors.scan.scores import joint_p, joint_t2, p_values, scores
from detectors.scan.units import Unit
from detectors.scan.windows import JOINT, Crossing, Series

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All results of one unit as of one pane, the subjects in the order of the layout."""

    unit: str
    pane: int
    results: tuple[Result, ...]

    @property
    def findings(self) -> tuple[Result, ...]:
        """The results that are drift, the most telling first."""
        return tuple(sorted((r for r in self.results if r.drift), key=lambda r: (r.p_value or 0.0) / r.alpha))


def look(unit: Unit, first: int, vectors: Floats, since: int | None = None) -> Look:
    """What panes `first`, `first + 1`, ... (rows; zeros where there were no events) say as of the last one.

    At each scale the latest window counts whose end is a multiple of a quarter of its length: panes needed are
    `needed(unit)`; with fewer, the long windows are left out. With `since`, all looks from that pane on are taken at
    once, and each subject's result is its most telling one: `needed(unit) - 1` more panes before it are needed.
    """
    series = Series.of(unit, first, vectors)
    last = first + len(vectors) - 1
    ends, scales = _windows(unit, first, last, last if since is None else max(since, first))
    if not len(ends):
        return Look(unit=unit.name, pane=last, results=())
    count = len(unit.components.of)
    begins = ends + 1 - np.array(unit.scales)[scales]
    whole = np.stack([vectors[b : e + 1].sum(axis=0) for b, e in zip(begins, ends, strict=True)])
    sums = whole[:, :count]
    exposed = np.stack([series.exposures[:, b : e + 1].sum(axis=1) for b, e in zip(begins, ends, strict=True)], axis=1)
    got = scores(unit, sums, exposed, scales)
    rank = np.abs(got.z) / unit.bounds[:, scales].T
    best = rank.argmax(axis=0)  # window of each component
    most = rank[best, np.arange(count)]
    order = np.argsort(-most, kind="stable")
    chosen = order[np.unique(unit.subject[order], return_index=True)[1]]  # component of each subject
    windows, which = np.nonzero(rank > 1)  # and all others that are candidates
    windows, which = np.concatenate([best[chosen], windows]), np.concatenate([chosen, which])
    p = p_values(unit, got.z[windows, which], got.effective[windows, which], which, scales[windows])
    tried: list[list[Crossing]] = [[] for _ in unit.subjects]
    found = (
        ends[windows], scales[windows], which, got.z[windows, which], p, unit.alphas[which, scales[windows]]
    )  # fmt: skip
    for subject, *crossing in zip(unit.subject[which].tolist(), *(f.tolist() for f in found), strict=True):
        tried[subject].append(Crossing(*crossing))
    effective = got.effective[:, chosen].max(axis=0).tolist()
    of_windows = {
        (end, scale): Sums(whole[w], exposed[:, w], got.deviation[w])
        for w, (end, scale) in enumerate(zip(ends.tolist(), scales.tolist(), strict=True))
    }
    asked = len(vectors) - 1 if since is None else max(since - first, 0)
    results = [result(series, t, n, of_windows, asked) for t, n in zip(tried, effective, strict=True)]
    together = _together(unit, sums, exposed, ends, scales)
    if together:
        telling = min(together, key=lambda c: c.p / c.alpha)
        joints = [(w, unit.joint[s]) for w, s in enumerate(scales.tolist())]
        most_events = max(float(got.effective[w, j.of].max()) for w, j in joints if j is not None)
        together = [c for c in together if c.p <= c.alpha or c is telling]
        results.append(result(series, together, most_events, of_windows, asked))
    return Look(unit=unit.name, pane=last, results=tuple(results))


def _together(unit: Unit, sums: Floats, exposed: Floats, ends: Integers, scales: Integers) -> list[Crossing]:
    """What the windows say of all columns together, where their scales have such a test."""
    found = []
    for scale, joint in enumerate(unit.joint):
        some = np.flatnonzero(scales == scale)
        if joint is None or not len(some):
            continue
        t2 = joint_t2(unit, sums[some], exposed[:, some], scale)
        alpha = float(joint.alphas[scale])
        for w, t, p in zip(some.tolist(), t2.tolist(), joint_p(unit, t2, scale).tolist(), strict=True):
            found.append(Crossing(int(ends[w]), scale, JOINT, t**0.5, p, alpha))
    return found


def _windows(unit: Unit, first: int, last: int, since: int) -> tuple[Integers, Integers]:
    """Ends (rows) and scale numbers of the windows that looks from pane `since` to `last` see."""
    ends: list[int] = []
    scales: list[int] = []
    for scale, m in enumerate(unit.scales):
        hop = max(1, m // 4)
        begin = (since + 1) // hop * hop - 1  # the latest end as of `since`
        some = [end - first for end in range(begin, last + 1, hop) if end - first - m + 1 >= 0]
        ends += some
        scales += [scale] * len(some)
    return np.array(ends, np.int64), np.array(scales, np.int64)


def needed(unit: Unit) -> int:
    """Panes that a look at all scales needs.

    >>> from types import SimpleNamespace
    >>> needed(SimpleNamespace(scales=(4, 8, 16)))
    19
    """
    return max(m + max(1, m // 4) - 1 for m in unit.scales)
