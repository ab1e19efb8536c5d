"""Which windows of a series of panes are findings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.scan.ends import Run, over, score_gains, share_gains, strongest
from detectors.scan.scores import joint_p, joint_t2, p_values, scores
from detectors.scan.units import Unit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

JOINT = -1  # the component number of T^2
AT_ONCE = 100  # windows: their scores fit into the processor's cache


@dataclass(frozen=True, slots=True)
class Crossing:
    """A window that goes beyond its bound: it ends with pane number `end` of the series (inclusive)."""

    end: int
    scale: int  # number of the scale
    component: int  # JOINT: the location of all columns together
    z: float
    p: float
    alpha: float


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Consecutive panes; `first` is the index (start // length) of the first one."""

    unit: Unit
    first: int
    vectors: Floats
    exposures: Floats  # (2, panes, K)

    @classmethod
    def of(cls, unit: Unit, first: int, vectors: Floats) -> Series:
        """Panes `first`, `first + 1`, ... with these vectors; rows of zeros are empty panes."""
        starts = (first + np.arange(len(vectors), dtype=np.int64)) * unit.pane_ms
        exposures = unit.exposures(vectors, starts)
        return cls(unit, first, vectors, exposures)

    def ends(self, scale: int) -> Integers:
        """Where windows of this scale end: a quarter of their length apart."""
        m = self.unit.scales[scale]
        hop = max(1, m // 4)
        positions: Integers = np.arange(m - 1, len(self.vectors), dtype=np.int64)
        aligned: Integers = positions[(self.first + positions + 1) % hop == 0]
        return aligned

    def running(self) -> tuple[Floats, Floats]:
        """Running sums of the components and of the exposures, from 0 on."""
        count = len(self.unit.components.of)
        sums, exposed = np.zeros((len(self.vectors) + 1, count)), np.zeros_like(self.exposures[:, :1])
        np.cumsum(self.vectors[:, :count], axis=0, out=sums[1:])
        return sums, np.concatenate([exposed, np.cumsum(self.exposures, axis=1)], axis=1)


def crossings(series: Series) -> list[Crossing]:
    """All windows of all scales beyond their bounds, by end."""
    found: list[Crossing] = []
    running, exposed = series.running()
    for scale, m in enumerate(series.unit.scales):
        every = series.ends(scale)
        for ends in (every[i : i + AT_ONCE] for i in range(0, len(every), AT_ONCE)):
            begin = ends + 1 - m
            sums, exposures = running[ends + 1] - running[begin], exposed[:, ends + 1] - exposed[:, begin]
            found += _crossings(series, ends, scale, sums, exposures)
    return sorted(found, key=lambda c: (c.end, c.scale, c.component))


def _crossings(series: Series, ends: Integers, scale: int, sums: Floats, exposed: Floats) -> list[Crossing]:
    """Those of one scale at these ends."""
    unit = series.unit
    got = scores(unit, sums, exposed, scale)
    found = []
    windows, which = np.nonzero(np.abs(got.z) > unit.bounds[:, scale])
    if len(which):
        p = p_values(unit, got.z[windows, which], got.effective[windows, which], which, scale)
        for w, c, z, p_value in zip(
            windows.tolist(), which.tolist(), got.z[windows, which].tolist(), p.tolist(), strict=True
        ):
            alpha = float(unit.alphas[c, scale])
            if p_value <= alpha:
                found.append(Crossing(int(ends[w]), scale, c, z, p_value, alpha))
    joint = unit.joint[scale]
    if joint is not None:
        t2 = joint_t2(unit, sums, exposed, scale)
        p = joint_p(unit, t2, scale)
        alpha = float(joint.alphas[scale])
        found += [
            Crossing(int(ends[w]), scale, JOINT, float(np.sqrt(t2[w])), float(p[w]), alpha)
            for w in np.flatnonzero(p <= alpha).tolist()
        ]
    return found


@dataclass(frozen=True, slots=True)
class Ended:
    """A change that is over: its panes (rows of the series, the end exclusive), and p of those since."""

    run: Run
    p: float


def drifting(series: Series, of: Crossing, until: int | None = None) -> bool:
    """Whether a crossing is drift as of row `until` (by default its window's end): it lasts, and is not over."""
    return ended(series, of, until) is None and lasting(series, of)


def ended(series: Series, of: Crossing, until: int | None = None, known: int | None = None) -> Ended | None:
    """The change that a crossing is due to, if it is over as of row `until`; None while it goes on.

    Another component may have told already that a change of the same column is over from row `known` on: it is the
    same change, then, unless the panes since are the likelier under it by 1 / sqrt(alpha) too. Nothing is over whose
    last panes are beyond the bound by themselves.
    """
    unit = series.unit
    begin, end = of.end + 1 - unit.scales[of.scale], max(of.end, of.end if until is None else until) + 1
    rows = slice(begin, end)
    run, gains = _joint_gains(series, of, rows) if of.component == JOINT else _gains(series, of, rows)
    since = over(gains[run.start :], of.alpha)
    if since is not None:
        since += run.start
    elif known is not None and begin < known < end and gains[known - begin :].sum() > 0.5 * np.log(of.alpha):
        since = known - begin
    if since is None:
        return None
    p = _p(series, of, slice(begin + since, end))
    return Ended(Run(begin + min(run.start, since), begin + since), p) if p > of.alpha else None


def _p(series: Series, of: Crossing, rows: slice) -> float:
    """P-value of a crossing's component in other panes."""
    unit = series.unit
    sums = series.vectors[rows, : len(unit.components.of)].sum(axis=0)[None, :]
    exposed = series.exposures[:, rows].sum(axis=1)[:, None]
    if of.component == JOINT:
        return float(joint_p(unit, joint_t2(unit, sums, exposed, of.scale), of.scale)[0])
    some = np.array([of.component])
    got = scores(unit, sums[:, some], exposed, of.scale, some)
    return float(p_values(unit, got.z[0], got.effective[0], some, of.scale)[0])


def _gains(series: Series, of: Crossing, rows: slice) -> tuple[Run, Floats]:
    """The run of panes that makes a crossing, and pane by pane how much likelier no change is than that one."""
    unit, c = series.unit, of.component
    values, exposures = series.vectors[rows, c], series.exposures[int(unit.per[c]), rows]
    events, expected = exposures[:, 0], exposures @ unit.coefficients[:, c]
    run = strongest(np.sign(of.z) * (values - expected), events)
    inside = slice(run.start, run.end)
    many, inflation = max(float(events[inside].sum()), 1e-9), float(unit.inflation[c, of.scale])
    if unit.share[c]:
        least = unit.flat[unit.per[c]] / 2
        usual = np.clip(expected / np.maximum(events, 1e-9), least, 1 - least)
        changed = np.full(len(events), (float(values[inside].sum()) + 0.5) / (many + 1))
        return run, share_gains(values, events, usual, changed, inflation * float(unit.excess[c]))
    size = float((values - expected)[inside].sum()) / many
    return run, score_gains(values - expected, events, size, float(unit.variance[c]) * inflation)


def _joint_gains(series: Series, of: Crossing, rows: slice) -> tuple[Run, Floats]:
    """The same of the location of all columns together, along the direction in which it moved."""
    unit = series.unit
    joint = unit.joint[of.scale]
    assert joint is not None
    values, events = series.vectors[rows, : len(unit.components.of)], series.exposures[0, rows, 0]
    whitened = (values[:, joint.of] - series.exposures[0, rows] @ unit.coefficients[:, joint.of]) @ joint.weights
    run = strongest(whitened @ whitened.sum(axis=0), events)
    inside = slice(run.start, run.end)
    many = max(float(events[inside].sum()), 1e-9)
    mean = whitened[inside].sum(axis=0) / many
    inflation = joint.inflation[:, of.scale]
    length = max(float(np.sqrt(mean @ mean)), 1e-300)
    size = max(length**2 - float(inflation.sum()) / many, 0.0) / length  # less what chance adds to a length
    return run, score_gains(whitened @ (mean / length), events, size, float(mean**2 @ inflation) / length**2)


def lasting(series: Series, of: Crossing) -> bool:
    """Whether the window without its two most extreme panes still has p <= sqrt(alpha).

    Where it has not, two panes alone make it: a glitch (one burst of junk), which is not drift.
    """
    if of.component == JOINT:
        return _joint_lasting(series, of.end, of.scale, of.alpha)
    return _lasting(series, of.end, of.scale, of.component, float(np.sign(of.z)), of.alpha)


def _lasting(series: Series, end: int, scale: int, component: int, sign: float, alpha: float) -> bool:
    unit = series.unit
    m = unit.scales[scale]
    rows = slice(end + 1 - m, end + 1)
    per = int(unit.per[component])
    values = series.vectors[rows, component]
    deviations = values - series.exposures[per, rows] @ unit.coefficients[:, component]
    kept = np.argsort(-sign * deviations, kind="stable")[2:]
    some = np.array([component])
    got = scores(
        unit, values[kept].sum()[None, None], series.exposures[:, rows][:, kept].sum(axis=1)[:, None], scale, some
    )
    p = p_values(unit, got.z[0], got.effective[0], some, scale)
    return bool(got.z[0, 0] * sign > 0 and p[0] <= np.sqrt(alpha))


def _joint_lasting(series: Series, end: int, scale: int, alpha: float) -> bool:
    unit = series.unit
    joint = unit.joint[scale]
    assert joint is not None
    rows = slice(end + 1 - unit.scales[scale], end + 1)
    count = len(unit.components.of)
    values, exposures = series.vectors[rows, :count], series.exposures[:, rows]
    deviations = (values[:, joint.of] - exposures[0] @ unit.coefficients[:, joint.of]) @ joint.weights
    direction = deviations.sum(axis=0)
    kept = np.argsort(-(deviations @ direction), kind="stable")[2:]
    t2 = joint_t2(unit, values[kept].sum(axis=0)[None, :], exposures[:, kept].sum(axis=1)[:, None], scale)
    return bool(joint_p(unit, t2, scale)[0] <= np.sqrt(alpha))
