"""What is said of one subject: how unlikely, how large, since when, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.scan.functionals import Component
from detectors.scan.units import LEAST_EVENTS, Unit
from detectors.scan.windows import JOINT, Crossing, Ended, Series, ended, lasting

Floats = NDArray[np.float64]

ALL: Final = "all"
TOGETHER: Final = "all columns"  # the subject of T^2
PLAIN: Final = 0.7
TRIED: Final = 4  # crossings of one subject that are asked whether they last
ENDED: Final = 16  # crossings of one subject that are asked whether they are over


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was found of one subject: a column, "all columns" (their location together), "dependence", "label residual".

    Its most telling component and window: the one with the smallest p-value relative to its bound. `drift` says that
    the p-value is within the bound, that it lasts and is not over; `glitch` that two panes alone make it; `over` is the
    pane from which on a change that was there is there no more: p-value and end are then of the panes since. Without a
    window of 25 effective events `p_value` is None: nothing is known.
    """

    subject: str
    component: str  # "amount: mean up", "country: share of de down", "plan=enterprise: f0 mean up"
    group: str
    columns: tuple[str, ...]
    drift: bool
    glitch: bool
    over: int | None
    p_value: float | None
    alpha: float  # what the p-value is held against: false findings tolerated in this component at one look
    z: float
    panes: int  # length of the window
    end: int  # its last pane: index since 1970
    onset: int  # the pane in which the change is estimated to have begun
    effective: float  # effective events, in the longest window
    size: float  # in the column's units where `unit` is "units", in shares of events where it is "share"
    unit: str  # units, share, factor, correlation, sd
    sooner: str  # what it would take to be seen sooner


@dataclass(frozen=True, slots=True)
class Sums:
    """Of a window: its vector, its exposures (2, K), and each component's deviation from expectation, per event."""

    vector: Floats
    exposed: Floats
    deviation: Floats | None = None

    @classmethod
    def of(cls, series: Series, rows: slice) -> Sums:
        """Of these rows."""
        return cls(series.vectors[rows].sum(axis=0), series.exposures[:, rows].sum(axis=1))


def result(
    series: Series, tried: list[Crossing], effective: float, sums: dict[tuple[int, int], Sums], asked: int
) -> Result:
    """The first crossing that is drift, else the most telling window. `tried` are windows of one subject, crossings or
    not; `sums` are theirs by end and scale, `effective` the most events that one of them is worth, `asked` the row of
    the first look.
    """
    tried = sorted(tried, key=lambda c: c.p / c.alpha) if len(tried) > 1 else tried
    best = tried[0]
    if best.p > best.alpha:
        return _said(series, best, effective, sums[best.end, best.scale], series.first + _window(series, best).start)
    standing, gone = _standing(series, [c for c in tried if c.p <= c.alpha], asked)
    if not standing and gone is not None:
        return _over(series, *gone, effective, asked)
    drift = next((c for c in standing if lasting(series, c)), None)
    best = drift or standing[0]
    onset = _onset(series, best)
    if drift is None or best.component == JOINT:
        own = sums[best.end, best.scale]
    else:
        begin = max(_window(series, best).start, min(onset - series.first, best.end - 3))
        own = Sums.of(series, slice(begin, best.end + 1))
    return _said(series, best, effective, own, onset, drift=drift is not None, glitch=drift is None)


def _said(
    series: Series,
    best: Crossing,
    effective: float,
    sums: Sums,
    onset: int,
    *,
    drift: bool = False,
    glitch: bool = False,
) -> Result:
    unit = series.unit
    size, of_unit = _size(unit, best, sums)
    return Result(
        subject=_subject(unit, best),
        component=words(unit, best),
        group="joint" if best.component == JOINT else _component(unit, best).group,
        columns=_columns(unit, best),
        drift=drift,
        glitch=glitch,
        over=None,
        p_value=best.p if effective >= LEAST_EVENTS else None,
        alpha=best.alpha,
        z=best.z,
        panes=unit.scales[best.scale],
        end=series.first + best.end,
        onset=onset,
        effective=effective,
        size=size,
        unit=of_unit,
        sooner=_sooner(series, best) if drift else "",
    )


def _standing(
    series: Series, crossing: list[Crossing], asked: int
) -> tuple[list[Crossing], tuple[Crossing, Ended] | None]:
    """The crossings to believe first that are not over, at most TRIED, and the first that is."""
    standing: list[Crossing] = []
    gone: tuple[Crossing, Ended] | None = None
    since: dict[tuple[int, bool], int] = {}  # a component's change one way: the first look at which it is over
    for c in _plainest(series.unit, crossing)[:ENDED]:
        now, way = max(c.end, asked), (c.component, c.z > 0)
        if now >= since.get(way, now + 1):
            continue
        found = ended(series, c, now, gone[1].run.end if gone else None)
        if found is None:
            standing.append(c)
            if len(standing) == TRIED:
                break
        else:
            since[way] = min(now, since.get(way, now))
            gone = gone or (c, found)
    if gone is not None:  # those before it have not been asked with what it tells
        standing = [c for c in standing if ended(series, c, max(c.end, asked), gone[1].run.end) is None]
    return standing, gone


def _over(series: Series, of: Crossing, found: Ended, effective: float, asked: int) -> Result:
    """Of a change that is over: its size and beginning, and how likely the panes since are."""
    unit = series.unit
    run = slice(found.run.start, found.run.end)
    size, of_unit = _size(unit, of, Sums.of(series, run))
    return Result(
        subject=_subject(unit, of),
        component=words(unit, of),
        group="joint" if of.component == JOINT else _component(unit, of).group,
        columns=_columns(unit, of),
        drift=False,
        glitch=False,
        over=series.first + found.run.end,
        p_value=found.p if effective >= LEAST_EVENTS else None,
        alpha=of.alpha,
        z=of.z,
        panes=unit.scales[of.scale],
        end=max(asked, of.end) + series.first,
        onset=series.first + found.run.start,
        effective=effective,
        size=size,
        unit=of_unit,
        sooner="",
    )


def _plainest(unit: Unit, tried: list[Crossing]) -> list[Crossing]:
    """The same, but a mean first if it says nearly as much as the most telling one: it says it plainest."""
    for i, c in enumerate(tried[1:], 1):
        if c.component != JOINT and _component(unit, c).group == "location" and abs(c.z) >= PLAIN * abs(tried[0].z):
            return [c, *tried[:i], *tried[i + 1 :]]
    return tried


def _component(unit: Unit, of: Crossing) -> Component:
    return unit.components.of[of.component]


def _subject(unit: Unit, of: Crossing) -> str:
    return TOGETHER if of.component == JOINT else unit.subjects[unit.subject[of.component]]


def _columns(unit: Unit, of: Crossing) -> tuple[str, ...]:
    if of.component != JOINT:
        return _component(unit, of).columns
    joint = unit.joint[of.scale]
    assert joint is not None
    return tuple(unit.components.of[i].columns[0] for i in joint.of)


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


def _size(unit: Unit, of: Crossing, sums: Sums) -> tuple[float, str]:
    """How large the change is, and in what."""
    if of.component == JOINT:
        return of.z / max(float(sums.exposed[0, 0]), 1.0) ** 0.5, "sd"
    component = _component(unit, of)
    events = max(float(sums.exposed[unit.per[of.component], 0]), 1e-9)
    if component.size >= 0 and component.words in ("mean", "spread"):
        at = len(unit.components.of) + component.size
        valid = events * component.unit
        first, second = float(sums.vector[at]) / valid, float(sums.vector[at + 1]) / valid
        if component.words == "mean":
            return first, "units"
        spread = float(unit.components.spreads[component.size // 2])
        return (max(second - first**2, 0.0) ** 0.5 / spread if spread > 0 else 0.0), "factor"
    if sums.deviation is not None:
        deviation = float(sums.deviation[of.component])
    else:
        expected = float(sums.exposed[unit.per[of.component]] @ unit.coefficients[:, of.component])
        deviation = (float(sums.vector[of.component]) - expected) / events
    if component.kind == "share":
        return deviation, "share"
    if component.group == "dependence":
        return deviation, "correlation"
    return deviation, "share" if component.group == "labels" and component.words == "bias" else "sd"


def _onset(series: Series, of: Crossing) -> int:
    """The pane from which on the panes up to the window's end differ most from what is expected (likelihood ratio)."""
    unit = series.unit
    until = slice(0, of.end + 1)
    if of.component == JOINT:
        joint = unit.joint[of.scale]
        assert joint is not None
        exposures = series.exposures[0, until]
        deviations = series.vectors[until][:, joint.of] - exposures @ unit.coefficients[:, joint.of]
        scores_ = deviations @ joint.weights
        values = scores_ @ scores_[_window(series, of)].sum(axis=0)
    else:
        exposures = series.exposures[unit.per[of.component], until]
        values = np.sign(of.z) * (series.vectors[until, of.component] - exposures @ unit.coefficients[:, of.component])
    back = np.cumsum(values[::-1])
    events = np.maximum(np.cumsum(exposures[::-1, 0]), 1e-9)
    return series.first + of.end - int(np.argmax(back / np.sqrt(events)))


def _sooner(series: Series, of: Crossing) -> str:
    unit = series.unit
    shortest = unit.scales[0]
    events = float(series.exposures[0, _window(series, of), 0].sum())
    if of.component == JOINT:
        joint = unit.joint[of.scale]
        assert joint is not None
        bound = float(np.sqrt(joint.weights.shape[1]) + 4)
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
