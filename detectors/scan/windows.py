"""Which windows of a series of panes are findings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.scan.scores import joint_p, joint_t2, p_values, scores
from detectors.scan.units import Unit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

JOINT = -1  # the component number of T^2


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
        ends = series.ends(scale)
        if len(ends):
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
    if unit.joint is not None:
        t2 = joint_t2(unit, sums, exposed, scale)
        p = joint_p(unit, t2)
        alpha = float(unit.joint.alphas[scale])
        found += [
            Crossing(int(ends[w]), scale, JOINT, float(np.sqrt(t2[w])), float(p[w]), alpha)
            for w in np.flatnonzero(p <= alpha).tolist()
        ]
    return found


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
    joint = unit.joint
    assert joint is not None
    rows = slice(end + 1 - unit.scales[scale], end + 1)
    count = len(unit.components.of)
    values, exposures = series.vectors[rows, :count], series.exposures[:, rows]
    deviations = (values[:, joint.of] - exposures[0] @ unit.coefficients[:, joint.of]) @ joint.weights
    direction = deviations.sum(axis=0)
    kept = np.argsort(-(deviations @ direction), kind="stable")[2:]
    t2 = joint_t2(unit, values[kept].sum(axis=0)[None, :], exposures[:, kept].sum(axis=1)[:, None], scale)
    return bool(joint_p(unit, t2)[0] <= np.sqrt(alpha))
