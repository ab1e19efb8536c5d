"""One look: what the last panes say of every column, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.scan.components import Component
from detectors.scan.scores import joint_p, joint_t2, p_values, scores
from detectors.scan.units import Unit
from detectors.scan.windows import JOINT, Crossing, Series, lasting

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ALL: Final = "all"
TOGETHER: Final = "all columns"  # the subject of T^2
TRIED: Final = 4  # crossings of one subject that are asked whether they last


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was found of one subject: a column, "all columns" (their location together), "dependence", "label residual".

    Its most telling component and window: the one with the smallest p-value relative to its bound. `drift` says that
    the p-value is within the bound and that it lasts; `glitch` that two panes alone make it. Without a window of 25
    effective events `p_value` is None: nothing is known.
    """

    subject: str
    component: str  # "amount: mean up", "country: share of de down", "plan=enterprise: f0 mean up"
    group: str
    columns: tuple[str, ...]
    drift: bool
    glitch: bool
    p_value: float | None
    alpha: float  # what the p-value is held against: false findings tolerated in this component at one look
    z: float
    panes: int  # length of the window
    end: int  # its last pane: index since 1970
    onset: int  # the pane in which the change is estimated to have begun
    effective: float  # effective events in the window
    size: float  # in the column's units where `unit` is "units", in shares of events where it is "share"
    unit: str  # units, share, factor, correlation, sd
    sooner: str  # what it would take to be seen sooner


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


def look(unit: Unit, first: int, vectors: Floats) -> Look:
    """What panes `first`, `first + 1`, ... (rows; zeros where there were no events) say as of the last one.

    At each scale the latest window counts whose end is a multiple of a quarter of its length: panes needed are
    `needed(unit)`; with fewer, the long windows are left out.
    """
    series = Series.of(unit, first, vectors)
    last = first + len(vectors) - 1
    ends, scales = [], []
    for scale, m in enumerate(unit.scales):
        hop = max(1, m // 4)
        end = (last + 1) // hop * hop - 1 - first
        if end - m + 1 >= 0:
            ends.append(end)
            scales.append(scale)
    if not ends:
        return Look(unit=unit.name, pane=last, results=())
    at, which = np.array(ends), np.array(scales)
    begins = at + 1 - np.array(unit.scales)[which]
    count = len(unit.components.of)
    sums = np.stack([vectors[b : e + 1, :count].sum(axis=0) for b, e in zip(begins, at, strict=True)])
    exposed = np.stack([series.exposures[:, b : e + 1].sum(axis=1) for b, e in zip(begins, at, strict=True)], axis=1)
    got = scores(unit, sums, exposed, which)
    rank = np.abs(got.z) / unit.bounds[:, which].T
    results = []
    for number in range(len(unit.subjects)):
        some = np.flatnonzero(unit.subject == number)
        window, place = np.unravel_index(np.argsort(-rank[:, some], axis=None)[:TRIED], (len(at), len(some)))
        c = some[place]
        z, effective = got.z[window, c], got.effective[window, c]
        p = p_values(unit, z, effective, c, which[window])
        tried = [
            Crossing(int(at[w]), int(which[w]), int(k), float(zk), float(pk), float(unit.alphas[k, which[w]]))
            for w, k, zk, pk in zip(window, c, z, p, strict=True)
        ]
        results.append(_result(series, tried, float(effective[0])))
    if unit.joint is not None:
        t2 = joint_t2(unit, sums, exposed, which)
        p = joint_p(unit, t2)
        order = np.argsort(p / unit.joint.alphas[which], kind="stable")[:TRIED]
        tried = [
            Crossing(
                int(at[w]), int(which[w]), JOINT, float(np.sqrt(t2[w])), float(p[w]), float(unit.joint.alphas[which[w]])
            )
            for w in order
        ]
        results.append(_result(series, tried, float(got.effective[order[0], unit.joint.of].min())))
    return Look(unit=unit.name, pane=last, results=tuple(results))


def needed(unit: Unit) -> int:
    """Panes that a look at all scales needs.

    >>> from types import SimpleNamespace
    >>> needed(SimpleNamespace(scales=(4, 8, 16)))
    19
    """
    return max(m + max(1, m // 4) - 1 for m in unit.scales)


def _result(series: Series, tried: list[Crossing], effective: float) -> Result:
    """The first crossing that lasts, else the most telling window."""
    crossing = [c for c in tried if c.p <= c.alpha]
    last = next((c for c in crossing if lasting(series, c)), None)
    best = last or (crossing or tried)[0]
    known = best.z != 0 or effective >= 25
    onset = _onset(series, best)
    size, of_unit = _size(series, best, onset)
    return Result(
        subject=_subject(series.unit, best),
        component=words(series.unit, best),
        group="joint" if best.component == JOINT else _component(series.unit, best).group,
        columns=_columns(series.unit, best),
        drift=last is not None,
        glitch=bool(crossing) and last is None,
        p_value=best.p if known else None,
        alpha=best.alpha,
        z=best.z,
        panes=series.unit.scales[best.scale],
        end=series.first + best.end,
        onset=onset,
        effective=effective,
        size=size,
        unit=of_unit,
        sooner=_sooner(series, best, size) if last is not None else "",
    )


def _component(unit: Unit, of: Crossing) -> Component:
    return unit.components.of[of.component]


def _subject(unit: Unit, of: Crossing) -> str:
    return TOGETHER if of.component == JOINT else unit.subjects[unit.subject[of.component]]


def _columns(unit: Unit, of: Crossing) -> tuple[str, ...]:
    if of.component != JOINT:
        return _component(unit, of).columns
    assert unit.joint is not None
    return tuple(unit.components.of[i].columns[0] for i in unit.joint.of)


def words(unit: Unit, of: Crossing) -> str:
    """The component with the direction of its change; of a segment with the segment's name."""
    before = "" if unit.name == ALL else f"{unit.name}: "
    if of.component == JOINT:
        return f"{before}{TOGETHER}: location"
    component = _component(unit, of)
    direction = "up" if of.z > 0 else "down"
    joiner = " " if before else ": "
    return f"{before}{' x '.join(component.columns)}{joiner}{component.words} {direction}"


def _window(series: Series, of: Crossing) -> slice:
    return slice(of.end + 1 - series.unit.scales[of.scale], of.end + 1)


def _size(series: Series, of: Crossing, onset: int) -> tuple[float, str]:
    """How large the change is in the window since its onset, and in what."""
    unit = series.unit
    rows = slice(max(_window(series, of).start, min(onset - series.first, of.end - 3)), of.end + 1)
    if of.component == JOINT:
        rows = _window(series, of)
        events = float(series.exposures[0, rows, 0].sum())
        return of.z / max(events, 1.0) ** 0.5, "sd"
    component = _component(unit, of)
    exposed = series.exposures[unit.per[of.component], rows].sum(axis=0)
    events = max(float(exposed[0]), 1e-9)
    deviation = float(series.vectors[rows, of.component].sum() - exposed @ unit.coefficients[:, of.component]) / events
    if component.kind == "share":
        return deviation, "share"
    if component.group == "dependence":
        return deviation, "correlation"
    if component.size >= 0 and component.words in ("mean", "spread"):
        at = len(unit.components.of) + component.size
        valid = events * component.unit
        first, second = (float(series.vectors[rows, at + k].sum()) / valid for k in (0, 1))
        if component.words == "mean":
            return first, "units"
        spread = float(unit.components.spreads[component.size // 2])
        return (max(second - first**2, 0.0) ** 0.5 / spread if spread > 0 else 0.0), "factor"
    return deviation, "share" if component.group == "labels" and component.words == "bias" else "sd"


def _onset(series: Series, of: Crossing) -> int:
    """The pane from which on the panes up to the window's end differ most from what is expected (likelihood ratio)."""
    unit = series.unit
    until = slice(0, of.end + 1)
    if of.component == JOINT:
        assert unit.joint is not None
        exposures = series.exposures[0, until]
        deviations = series.vectors[until][:, unit.joint.of] - exposures @ unit.coefficients[:, unit.joint.of]
        scores_ = deviations @ unit.joint.weights
        values = scores_ @ scores_[_window(series, of)].sum(axis=0)
    else:
        exposures = series.exposures[unit.per[of.component], until]
        values = np.sign(of.z) * (series.vectors[until, of.component] - exposures @ unit.coefficients[:, of.component])
    back = np.cumsum(values[::-1])
    events = np.maximum(np.cumsum(exposures[::-1, 0]), 1e-9)
    return series.first + of.end - int(np.argmax(back / np.sqrt(events)))


def _sooner(series: Series, of: Crossing, size: float) -> str:
    unit = series.unit
    shortest = unit.scales[0]
    events = float(series.exposures[0, _window(series, of), 0].sum())
    if of.component == JOINT:
        assert unit.joint is not None
        bound = float(np.sqrt(unit.joint.weights.shape[1]) + 4)
    else:
        bound = float(unit.bounds[of.component, of.scale])
    needed_events = events * (bound / max(abs(of.z), 1e-9)) ** 2
    if of.scale == 0:
        return f"nothing: it was seen at the shortest window, {shortest} panes"
    times = (unit.scales[of.scale] / shortest) ** 0.5 * bound / max(abs(of.z), 1e-9)
    return (
        f"a change of this size needs about {needed_events:.0f} events; within {shortest} panes it would be seen if it "
        f"were {max(times, 1.0):.1f} times as large"
    )
