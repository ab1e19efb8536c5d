"""A scan: what is normal for all events and for each segment, within one budget of false alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.counts import Counts, merge
from detectors.layouts import Layout
from detectors.scan.components import Components, components_of
from detectors.scan.seasons import Season
from detectors.scan.units import Unit, calibrated

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Series = Sequence[tuple[int, Counts]]

ALL: Final = "all"
MARGIN: Final = 0.7  # of the budget is given out: so that the upper limit of a measured rate, too, lies within it
SHARES: Final = {  # of the budget, of those groups that are there
    "location": 0.15,
    "joint": 0.15,
    "shape": 0.1,
    "bins": 0.05,
    "tails": 0.05,
    "strays": 0.05,
    "categories": 0.1,
    "quality": 0.05,
    "dependence": 0.1,
    "labels": 0.1,
    "segments": 0.1,
}
SEGMENT_SHARES: Final = {  # of the share of segments: what a segment, with fewer events, is looked at for
    "location": 0.5,
    "strays": 0.2,  # far shifts land where the segment's reference has nothing, and no score
    "categories": 0.15,
    "quality": 0.15,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scan:
    """Calibrated units by name: "all" and the segments; a unit whose reference is too short is not there."""

    units: Mapping[str, Unit]

    @classmethod
    def calibrated(
        cls, layout: Layout, series: Mapping[str, Series], *, panes_between_false_alarms: float, pane_ms: int = 0
    ) -> Scan:
        """Learn from the reference's panes: unit name -> (start_ms, counts) in order of time, `pane_ms` apart."""
        if not panes_between_false_alarms > 0:
            raise ValueError(f"panes_between_false_alarms must be above 0, not {panes_between_false_alarms}")
        pane_ms = pane_ms or layout.pane_ms
        whole = series.get(ALL, ())
        if not whole:
            return cls(units={})
        first, last = whole[0][0] // pane_ms, whole[-1][0] // pane_ms
        starts = np.arange(first, last + 1, dtype=np.int64) * pane_ms
        learnt = {ALL: components_of(layout, merge(c for _, c in whole))}
        for segment in sorted(s for s in series if s != ALL and series[s]):
            learnt[segment] = components_of(layout, merge(c for _, c in series[segment]), frozenset(SEGMENT_SHARES))
        vectors = {}
        for name, of in learnt.items():
            vectors[name] = np.zeros((len(starts), of.entries))
            panes = [(t // pane_ms - first, c) for t, c in series[name] if first <= t // pane_ms <= last]
            vectors[name][[i for i, _ in panes]] = of.vectors([c for _, c in panes])
        return cls.learnt(learnt, vectors, starts, pane_ms, panes_between_false_alarms)

    @classmethod
    def learnt(
        cls,
        of: Mapping[str, Components],
        vectors: Mapping[str, Floats],
        starts_ms: Integers,
        pane_ms: int,
        panes_between_false_alarms: float,
    ) -> Scan:
        """The same from vectors of the reference's panes, those without events being zeros."""
        segments = [s for s in of if s != ALL]
        whole, within = budgets_of(
            [c.group for c in of[ALL].of],
            [c.group for s in segments for c in of[s].of],
            MARGIN / panes_between_false_alarms,
        )
        units: dict[str, Unit] = {}
        of_seasons: tuple[Season, ...] | None = None
        for name in (ALL, *segments):
            budgets = whole if name == ALL else within
            unit = calibrated(name, of[name], vectors[name], starts_ms, pane_ms, budgets, of_seasons=of_seasons)
            if unit is not None:
                units[name] = unit
                of_seasons = unit.seasons if name == ALL else of_seasons
        return cls(units=units)


def budgets_of(
    groups: Sequence[str], within: Sequence[str], per_pane: float
) -> tuple[dict[str, float], dict[str, float]]:
    """False findings per pane of a component of each group: of all events, and within segments.

    `groups` and `within` name the group of each component, the latter of all segments together.

    >>> whole, segments = budgets_of(["location", "location", "quality"], [], 0.4)
    >>> round(whole["location"], 3), round(whole["joint"], 3), round(whole["quality"], 3), segments
    (0.086, 0.171, 0.057, {})
    >>> budgets_of(["location"], ["location"] * 5, 0.25)
    ({'location': 0.15}, {'location': 0.02})
    """
    sizes = Counter(groups)
    if sizes["location"] > 1:
        sizes["joint"] = 1
    present = sum(SHARES[g] for g in sizes if sizes[g]) + (SHARES["segments"] if within else 0.0)
    whole = {g: per_pane * SHARES[g] / present / size for g, size in sizes.items() if size}
    parts = Counter(within)
    left = per_pane * SHARES["segments"] / max(present * sum(SEGMENT_SHARES[g] for g in parts), 1e-300)
    return whole, {g: left * SEGMENT_SHARES[g] / size for g, size in parts.items()}
