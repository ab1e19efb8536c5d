"""What is normal for one unit (all events, or one segment): expectations, variances, memories and bounds.

    window sum of a component - its expectation (mean or season)
    -------------------------------------------------------------------------  = z
    sqrt(variance of an event x (own events x inflation + error of expectation))

The inflation has two parts: R, by how much the sums of single panes vary more than independent events would, moderated
among the components of a group (Smyth 2004), and the memory between panes (dependence.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.scan.components import Components
from detectors.scan.cumulants import of_panes, of_windows
from detectors.scan.dependence import dependence
from detectors.scan.functionals import GROUPS
from detectors.scan.seasons import Season, seasons
from detectors.tails import stretch, student_bound

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SCALES: Final = (4, 8, 16, 32, 64, 128)
LEAST_EVENTS: Final = 25.0  # effective ones, below which nothing is said
LEAST_REFERENCE: Final = 100.0  # events of a reference
SEASONAL_EVENTS: Final = 50.0  # a share counted fewer times in the reference has no season of its own
POOLED: Final = (GROUPS.index("strays"), GROUPS.index("quality"))
BURSTY: Final = 1.5  # R beyond which pane sums, not single events, say how skewed sums are
ALIKE: Final = 20.0  # events from which on a rare thing says how it comes as well as any other
PANES_PER_DIMENSION: Final = 4  # of T^2, whose bound has no end where there are as many dimensions as panes
REMEMBERS: Final = 1.1  # inflation by memory from which on it is taken to be more than chance
RAISED: Final = 1.5  # standard errors that an excess of variance is raised by
SKEWED: Final = 0.25  # skewness of a window's mean from which on T^2, which takes means for normal, leaves it out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joint:
    """Location of numeric columns together: Hotelling's T^2 over principal components of their pane sums.

    Why not of all: squares of skewed means have far heavier tails (20 of skewness 0.5 go beyond p = 1e-5 13 times too
    often, of 0.25 four times, or twice with `stretch`), and those columns have tests of their own, which count it.
    """

    of: Integers  # components
    weights: Floats  # (components, dimensions)
    inflation: Floats  # (dimensions, scales + 1)
    df: float
    alphas: Floats  # per scale
    stretch: Floats  # per scale: by how much skewness makes T^2 greater at its bound


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unit:
    """The calibration of one unit; made by `calibrated`.

    Arrays with C run over components, with S over `scales`, with K over regressors (1, then harmonics).
    """

    name: str
    components: Components
    pane_ms: int
    scales: tuple[int, ...]
    seasons: tuple[Season, ...]
    coefficients: Floats  # (K, C): expectation of one event
    inverses: Floats  # (2, K, K): errors of the coefficients, per unit variance; of rows and of labels
    flat: Floats  # (2,): 1 / reference events, for components without a season
    seasonal: NDArray[np.bool_]  # C
    per: Integers  # C: 0 by rows, 1 by labels
    share: NDArray[np.bool_]  # C
    variance: Floats  # C: of one event's score; shares: 1
    excess: Floats  # C: R
    inflation: Floats  # (C, S + 1): the last is of the whole reference
    df: Floats  # (C, S)
    third: Floats  # (C, S): of an effective event, such that sums over a scale have theirs
    fourth: Floats  # (C, S)
    alphas: Floats  # (C, S): probability of a false finding per look
    bounds: Floats  # (C, S): |z| of that probability, without the correction for skewness
    joint: tuple[Joint | None, ...]  # S: those of the columns that are not too skewed there
    panes: int
    rows: float
    subjects: tuple[str, ...]
    subject: Integers  # C

    @property
    def nbytes(self) -> int:
        """Bytes of all its arrays."""
        arrays = [getattr(self, f.name) for f in fields(self)]
        joints = {id(j): j for j in self.joint if j is not None}
        arrays += [getattr(j, f.name) for j in joints.values() for f in fields(j)]
        return self.components.nbytes + sum(a.nbytes for a in arrays if isinstance(a, np.ndarray))

    def design(self, starts_ms: Integers) -> Floats:
        """Regressors of panes that start at these times: (panes, K)."""
        return design(self.seasons, starts_ms, self.pane_ms)

    def exposures(self, vectors: Floats, starts_ms: Integers) -> Floats:
        """Events times regressors, of rows and of labels: (2, panes, K); sums of panes add up."""
        x = self.design(starts_ms)
        return np.stack([vectors[:, -2][:, None] * x, vectors[:, -1][:, None] * x])


def design(of: Sequence[Season], starts_ms: Integers, pane_ms: int) -> Floats:
    """Regressors of panes: 1, then the harmonics of each season."""
    middles = np.asarray(starts_ms, np.float64) + pane_ms / 2
    return np.concatenate([np.ones((len(middles), 1)), *(s.design(middles) for s in of)], axis=1)


def scales_of(panes: int) -> tuple[int, ...]:
    """Window lengths for a reference of so many panes: at most a quarter of it.

    >>> scales_of(400), scales_of(15)
    ((4, 8, 16, 32, 64), ())
    """
    return tuple(m for m in SCALES if 4 * m <= panes)


def calibrated(
    name: str,
    components: Components,
    vectors: Floats,
    starts_ms: Integers,
    pane_ms: int,
    budgets: Mapping[str, float],
    *,
    of_seasons: tuple[Season, ...] | None = None,
) -> Unit | None:
    """Learn a unit from the reference's panes (panes, entries), gaps filled with zeros; None if they are too few.

    `budgets` gives per group the false findings tolerated per pane and component of the group ("joint": in all).
    """
    panes = len(vectors)
    scales = scales_of(panes)
    of = components.of
    count = len(of)
    rows, labels = vectors[:, -2], vectors[:, -1]
    if not scales or not count or rows.sum() < LEAST_REFERENCE:
        return None
    per = np.array([c.per == "labels" for c in of], np.int64)
    share = np.array([c.kind == "share" for c in of])
    values = vectors[:, :count]
    events = np.stack([rows, labels], axis=1)
    totals = np.maximum(events.sum(axis=0), 1e-9)
    groups = np.array([GROUPS.index(c.group) for c in of])

    mean = values.sum(axis=0) / totals[per]
    if of_seasons is None:
        flat_residuals = values - events[:, per] * mean
        power = np.sqrt((flat_residuals**2).mean(axis=0))
        enough = (values.sum(axis=0) >= SEASONAL_EVENTS) | ~share
        lively = (power > 0) & enough & (per == 0)
        of_seasons = (
            seasons(flat_residuals[:, lively] / power[lively], pane_ms, int(starts_ms[0])) if lively.any() else ()
        )
    x = design(of_seasons, starts_ms, pane_ms)
    seasonal = ((values.sum(axis=0) >= SEASONAL_EVENTS) | ~share) & bool(of_seasons)
    coefficients = np.zeros((x.shape[1], count))
    coefficients[0] = mean
    inverses = np.zeros((2, x.shape[1], x.shape[1]))
    for k in (0, 1):
        inverses[k] = np.linalg.pinv(x.T @ (events[:, k][:, None] * x), hermitian=True)
        some = seasonal & (per == k)
        coefficients[:, some] = inverses[k] @ (x.T @ values[:, some])
    expected = (x @ coefficients) * events[:, per]
    # Why not by the root of each pane's events: sums are what is tested, and busy panes weigh more in them.
    residuals = (values - expected) / np.sqrt(totals[per] / panes)

    unit = np.array([c.unit for c in of])
    probability = np.clip(expected / np.maximum(events[:, per], 1e-9), 0.0, 1.0)
    binomial = (probability * (1 - probability) * events[:, per]).sum(axis=0) / totals[per]
    unit = np.where(share, binomial, unit)
    own = (residuals**2).sum(axis=0) / max(1, panes - x.shape[1])
    own = np.maximum(own, np.array([c.least for c in of]))
    unknown = np.isnan(unit)
    unit = np.where(unknown, own, unit)
    third, fourth = np.array([c.third for c in of]), np.array([c.fourth for c in of])
    kurtosis = np.where(share, 1 / np.maximum(binomial, 1e-12), np.maximum(fourth, 0.0))
    worth = 1 / ((events**2).sum(axis=0) / totals**2)[per]  # panes of equal size that the reference is worth
    excess, df_excess = _moderated(own, unit, kurtosis / totals[per], worth, groups)
    bursty = ~share & (unknown | (excess > BURSTY))
    for g in np.unique(groups[bursty]):
        some = np.flatnonzero(bursty & (groups == g))
        found = of_panes((values - expected)[:, some], events[:, per[some[0]]], excess[some])
        third[some] = np.where(np.abs(found[0]) > np.abs(third[some]), found[0], third[some])
        fourth[some] = np.maximum(found[1], fourth[some])
    scale = np.sqrt(np.maximum(unit * excess, 1e-300))
    memory = dependence(residuals / scale, groups, scales)
    df = 1 / (1 / df_excess[:, None] + 1 / memory.df[:, :-1])

    hops = np.array([max(1, m // 4) for m in scales])
    # What the reference has not seen counts in what is expected, not in how what it has seen varies.
    coefficients[0] += np.array([c.unseen for c in of]) / totals[per]
    memory.inflation[:, -1] *= np.array([c.error for c in of])
    alphas = np.array([budgets.get(c.group, 0.0) for c in of])[:, None] * hops[None, :] / len(scales)
    effective = events.sum(axis=0)[per, None] / panes * np.array(scales) / (excess[:, None] * memory.inflation[:, :-1])
    remembering = ~share[:, None] & (memory.inflation[:, :-1] > REMEMBERS)
    third_of, fourth_of = of_windows(third, fourth, residuals, groups, scales, remembering, effective)
    skewness = np.abs(third_of) / np.sqrt(np.maximum(effective, 1e-9))
    subjects = [_subject(c.group, c.columns) for c in of]
    names = tuple(dict.fromkeys(subjects))
    return Unit(
        name=name,
        components=components,
        pane_ms=pane_ms,
        scales=scales,
        seasons=of_seasons,
        coefficients=coefficients,
        inverses=inverses,
        flat=1 / totals,
        seasonal=seasonal,
        per=per,
        share=share,
        variance=np.where(share, 1.0, unit * excess),
        excess=excess,
        inflation=memory.inflation,
        df=df,
        third=third_of,
        fourth=fourth_of,
        alphas=alphas,
        bounds=student_bound(np.maximum(alphas, 1e-300), df),
        joint=_joints(groups, residuals, scales, budgets.get("joint", 0.0) * hops / len(scales), skewness),
        panes=panes,
        rows=float(rows.sum()),
        subjects=names,
        subject=np.array([names.index(s) for s in subjects]),
    )


def _subject(group: str, columns: tuple[str, ...]) -> str:
    return "dependence" if group == "dependence" else columns[0]


def _moderated(own: Floats, unit: Floats, noise: Floats, panes: Floats, groups: Integers) -> tuple[Floats, Floats]:
    """R of each component and its degrees of freedom, from its own and its group's.

    `noise` is what single events add to the relative variance of a component's own estimate.
    """
    ratio = np.where(unit > 0, own / np.maximum(unit, 1e-300), 1.0)
    nu = np.where(unit > 0, 2 / (2 / panes + noise), 0.0)
    excess, df = np.ones(len(own)), panes.astype(np.float64)
    for g in np.unique(groups):
        some = groups == g
        weight = nu[some]
        if not weight.sum():
            continue
        if g in POOLED:  # too rare for each to say how they come in bursts
            expected = unit[some] / np.maximum(noise[some], 1e-300)
            # By events, and with columns about alike: many far-out values that come singly say little of others.
            alike = np.where(weight > 0, np.minimum(1 / np.maximum(noise[some], 1e-300), ALIKE), 0.0)
            centre = max(float((w * ratio[some]).sum() / w.sum()) for w in (expected, alike))
            bursts = float((1 / np.maximum(noise[some][weight > 0], 1e-300)).sum()) / max(centre, 1.0)
            total = np.full(int(some.sum()), max(min(bursts, 2.0 * float(panes[some].max())), 2.0))
            moderated = np.maximum(centre, (20 * centre + weight * ratio[some]) / (20 + weight))
            excess[some] = 1 + np.maximum(moderated - 1, 0.0) * (1 + RAISED * np.sqrt(2 / total))
            df[some] = np.maximum(total, 8.0)
            continue
        centre = float((weight * ratio[some]).sum() / weight.sum())
        scatter = float((weight * (ratio[some] / max(centre, 1e-12) - 1) ** 2).sum() / weight.sum())
        chance = float((weight > 0).sum() * 2 / weight.sum())
        prior = 2 / max(scatter - chance, 2e-3)
        total = prior + weight
        moderated = (prior * centre + weight * ratio[some]) / total
        excess[some] = 1 + np.maximum(moderated - 1, 0.0) * (1 + RAISED * np.sqrt(2 / total))
        df[some] = total
    pooled = np.isin(groups, POOLED)
    if pooled.any() and not pooled.all():
        # What hardly ever came cannot say whether it comes in clusters: then as all else does.
        others = float(np.median(excess[~pooled]))
        for g in np.unique(groups[pooled]):
            some = groups == g
            seen = float((1 / np.maximum(noise[some & (unit > 0)], 1e-300)).sum())
            excess[some] = np.maximum(excess[some], 1 + ALIKE / (ALIKE + seen) * (others - 1))
    return excess, df


def _joints(
    groups: Integers, residuals: Floats, scales: tuple[int, ...], alphas: Floats, skewness: Floats
) -> tuple[Joint | None, ...]:
    """One for each scale; scales of the same columns share it."""
    location, made = groups == GROUPS.index("location"), dict[bytes, Joint | None]()
    found = []
    for some in (location[:, None] & (skewness <= SKEWED)).T:
        key = some.tobytes()
        if key not in made:
            made[key] = _joint(np.flatnonzero(some), residuals, scales, alphas, skewness)
        found.append(made[key])
    return tuple(found)


def _joint(of: Integers, residuals: Floats, scales: tuple[int, ...], alphas: Floats, skewness: Floats) -> Joint | None:
    if len(of) < 2 or not alphas.any():
        return None
    pane = residuals[:, of]
    panes = len(pane)
    covariance = pane.T @ pane / panes
    spread = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    values, vectors = np.linalg.eigh(covariance / np.outer(spread, spread))
    kept = values > 1e-3 * values[-1]
    kept[: -(panes // PANES_PER_DIMENSION)] = False
    weights = vectors[:, kept] / np.sqrt(values[kept]) / spread[:, None]
    scores = pane @ weights
    memory = dependence(scores, np.zeros(int(kept.sum()), np.int64), scales)
    skewed = np.sqrt((np.minimum(skewness[of], SKEWED) ** 2).mean(axis=0))  # more is left out
    return Joint(
        of=of,
        weights=weights,
        inflation=memory.inflation,
        df=float(1 / (1 / panes + 1 / (memory.df.min() * 2))),
        alphas=alphas,
        stretch=stretch(np.maximum(alphas, 1e-300), int(kept.sum()), skewed),
    )
