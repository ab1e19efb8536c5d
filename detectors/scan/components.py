"""What the scan looks at: linear functionals of the counts of one pane.

Everything here is learnt from the reference's total counts once; after that a pane is one sparse matrix times its
cells, so that the vectors of panes add up as their counts do. Scores are ranks in the reference (bounded, so that one
wild value cannot speak for many), made orthogonal to each other in the reference: an event's scores have mean 0 and
variance 1 there, and a missing value scores 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from detectors.counts import Counts
from detectors.layouts import (
    HEAD,
    LABELS,
    NEGATIVE_SCORES,
    POSITIVE_SCORES,
    RESIDUAL_HEAD,
    RESIDUAL_SQUARES,
    RESIDUAL_SUM,
    RESIDUALS,
    SCORE_BINS,
    CategoricalLayout,
    Layout,
    NumericLayout,
)
from detectors.learning import FENCE

Floats = NDArray[np.float64]
Kind = Literal["score", "share"]  # share: the events that have something; score: a sum of scores of mean 0

GROUPS: Final = (
    "location",
    "joint",
    "shape",
    "bins",
    "tails",
    "strays",
    "categories",
    "quality",
    "dependence",
    "labels",
    "segments",
)
MOMENTS: Final = ("mean", "spread", "skewness", "peakedness")
BIN_GROUPS: Final = 10
TAILS: Final = (0.01, 0.05)
MOST_CATEGORIES: Final = 20  # with a component of their own
CALIBRATION_GROUPS: Final = 20  # of the score, for P(label | score)
LEAST_VARIANCE: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One functional: `words` say what it is of `columns`; `per` is what its sums are divided by."""

    group: str
    columns: tuple[str, ...]
    words: str
    kind: Kind
    per: Literal["rows", "labels"] = "rows"
    unit: float = 1.0  # score: variance of one event in the reference; share: unused; nan: not known
    third: float = 0.0  # third and fourth cumulant of one event's standardised score
    fourth: float = 0.0
    size: int = -1  # the report that says its size in the column's units, -1: in its own

    @property
    def name(self) -> str:
        """In words, without a direction.

        >>> Component(group="bins", columns=("f1", "f2"), words="dependence", kind="score").name
        'f1 x f2: dependence'
        """
        return f"{' x '.join(self.columns)}: {self.words}"


class _Rows:
    """A sparse matrix in the making."""

    def __init__(self, only: frozenset[str] | None = None) -> None:
        self.only = only
        self.of: list[Component] = []
        self.row: list[NDArray[np.int64]] = []
        self.cell: list[NDArray[np.int64]] = []
        self.weight: list[Floats] = []
        self.count = 0
        self.shared: list[tuple[NDArray[np.int64], Floats]] = []  # sums of cells that several components use
        self.mixed: list[tuple[int, NDArray[np.int64], Floats]] = []  # component, which shared sums, weights

    def put(self, cells: NDArray[np.int64], weights: Floats) -> int:
        some = weights != 0
        self.cell.append(cells[some])
        self.weight.append(weights[some])
        self.row.append(np.full(int(some.sum()), self.count))
        self.count += 1
        return self.count - 1

    def add(self, component: Component, cells: NDArray[np.int64], weights: Floats) -> None:
        if self.wants(component.group):
            self.put(cells, weights)
            self.of.append(component)

    def wants(self, group: str) -> bool:
        return self.only is None or group in self.only


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Components:
    """The functionals of one layout and reference: `vector` has one entry a component, then reports, rows, labels.

    Reports are not tested: two for each numeric column, the sums of x - centre and of its square with x taken as the
    middle of its bin inside the reference's range, that say a size in the column's units. `cells` makes sums of cells,
    `mix` makes functionals of these: products of ranks share the sums of ranks of their columns.
    """

    of: tuple[Component, ...]
    cells: csr_array  # (cells + 1, sums): the last row stands for the rows
    mix: csr_array  # (sums, entries)
    reports: int
    spreads: Floats  # per report pair: the reference's standard deviation of those middles

    @property
    def entries(self) -> int:
        """Length of a vector."""
        return len(self.of) + self.reports + 2

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        arrays = [a for m in (self.cells, self.mix) for a in (m.data, m.indices, m.indptr)]
        return int(sum(a.nbytes for a in arrays)) + self.spreads.nbytes

    def vector(self, counts: Counts) -> Floats:
        """The functionals of one pane."""
        dense = np.zeros(self.cells.shape[0])
        dense[counts.cells] = counts.values
        dense[-1] = counts.rows
        found: Floats = self.mix.T @ (self.cells.T @ dense)
        return found

    def vectors(self, panes: Sequence[Counts]) -> Floats:
        """The functionals of many panes, one a row."""
        if not panes:
            return np.zeros((0, self.entries))
        last = np.array([self.cells.shape[0] - 1])
        indices = np.concatenate([part for p in panes for part in (p.cells, last)]).astype(np.int32)
        values = np.concatenate([part for p in panes for part in (p.values, [p.rows])]).astype(np.float64)
        starts = np.cumsum([0, *(len(p.cells) + 1 for p in panes)])
        return self.of_cells(csr_array((values, indices, starts), shape=(len(panes), len(self.cells.indptr) - 1)))

    def of_cells(self, counts: csr_array) -> Floats:
        """The functionals of counts (panes, cells + 1), the last column being the rows."""
        sums = csr_array(counts @ self.cells)
        found: Floats = (sums @ self.mix).toarray()
        return found

    def weights(self, component: int) -> Floats:
        """What each cell, and at last each row, adds to a component."""
        found: Floats = self.cells @ self.mix[:, [component]].toarray()[:, 0]
        return found


def components_of(layout: Layout, whole: Counts, only: frozenset[str] | None = None) -> Components:
    """What there is to look at under `layout`, with all of the reference for scores; `only` some groups.

    >>> from detectors.layouts import OUTCOME_CELLS
    >>> layout = Layout(pane_ms=1, features={"a": NumericLayout(edges=(0.0, 1.0, 2.0, 3.0))}, predictions={})
    >>> body = OUTCOME_CELLS + HEAD
    >>> pane = Counts(rows=8, cells=np.arange(body + 1, body + 4, dtype=np.int32), values=np.array([2, 4, 2]),
    ...     low=np.zeros(1), high=np.zeros(1))
    >>> found = components_of(layout, pane, frozenset({"location"}))
    >>> found.of[0].name, float(found.vector(pane)[0]), float(found.weights(0)[body + 3].round(3))
    ('a: mean', 0.0, 1.414)
    """
    total = np.zeros(layout.size)
    total[whole.cells] = whole.values
    rows, sizes = _Rows(only), _Rows()
    spreads: list[float] = []
    for place, name, of in layout.columns:
        at = layout.offsets[place, name]
        if isinstance(of, NumericLayout):
            _numeric(rows, sizes, spreads, name, of, at, total, whole.rows)
        else:
            _categorical(rows, name, of, at, total)
        _quality(rows, name, at)
    if rows.wants("dependence"):
        _dependence(rows, layout, total, whole.rows)
    if rows.wants("labels"):
        _calibration(rows, total)
        _residuals(rows, layout, total, whole.rows)
    sums = rows.count + sizes.count  # then rows, labels, and what products share
    shared = rows.shared
    cells = csr_array(
        (
            np.concatenate([*rows.weight, *sizes.weight, [1.0, 1.0], *(w for _, w in shared)]),
            (
                np.concatenate([*rows.cell, *sizes.cell, [layout.size, LABELS], *(c for c, _ in shared)]),
                np.concatenate(
                    [
                        *rows.row,
                        *(r + rows.count for r in sizes.row),
                        [sums, sums + 1],
                        *(np.full(len(c), sums + 2 + i) for i, (c, _) in enumerate(shared)),
                    ]
                ).astype(np.int64),
            ),
        ),
        shape=(layout.size + 1, sums + 2 + len(shared)),
    )
    straight = np.arange(sums + 2)
    mix = csr_array(
        (
            np.concatenate([np.ones(sums + 2), *(w for _, _, w in rows.mixed)]),
            (
                np.concatenate([straight, *(sums + 2 + of for _, of, _ in rows.mixed)]).astype(np.int64),
                np.concatenate([straight, *(np.full(len(of), k) for k, of, _ in rows.mixed)]).astype(np.int64),
            ),
        ),
        shape=(cells.shape[1], sums + 2),
    )
    return Components(of=tuple(rows.of), cells=cells, mix=mix, reports=sizes.count, spreads=np.array(spreads))


def orthogonal_scores(masses: Floats, most: int = len(MOMENTS)) -> Floats:
    """Scores of bins, one row a polynomial of the mid-rank (degree 1, 2, ...), of mean 0 and variance 1 in `masses`.

    Of bins of equal mass these are the normalised Legendre polynomials, in the limit of many bins.

    >>> (orthogonal_scores(np.full(1000, 1.0))[:, -1] ** 2).round()
    array([3., 5., 7., 9.])
    """
    share = masses / masses.sum()
    u = 2 * (np.cumsum(share) - share / 2) - 1
    inside = share > 0
    degrees = min(most, int(inside.sum()) - 1)
    powers = np.polynomial.legendre.legvander(u, max(degrees, 0))
    _, r = np.linalg.qr(np.sqrt(share)[:, None] * powers)
    scores = np.linalg.solve(r.T, powers.T)
    scores *= np.sign(np.diag(r))[:, None]
    return np.asarray(scores[1:], np.float64)


def _numeric(
    rows: _Rows, sizes: _Rows, spreads: list[float], name: str, of: NumericLayout, at: int, total: Floats, events: int
) -> None:  # fmt: skip
    cells = at + HEAD + np.arange(of.bins)
    masses = total[cells]
    valid = float(masses.sum())
    if not valid:
        rows.add(
            Component(group="tails", columns=(name,), words="share of values", kind="share"), cells, np.ones(of.bins)
        )
        return
    wild = _wild(of, masses)
    tame = np.where(wild, 0.0, masses)
    middles = _middles(of, tame)
    share, present = tame / tame.sum(), float(tame.sum()) / events
    centre = float(share @ middles)
    spread = float(np.sqrt(share @ (middles - centre) ** 2))
    report = sizes.put(cells, middles - centre)
    sizes.put(cells, (middles - centre) ** 2)
    spreads.append(spread)
    for k, scores in enumerate(orthogonal_scores(tame, len(MOMENTS) if rows.wants("shape") else 1)):
        third, fourth = float(share @ scores**3), float(share @ scores**4)
        root = 1 / np.sqrt(present)
        component = Component(
            group="shape" if k else "location",
            columns=(name,),
            words=MOMENTS[k],
            kind="score",
            unit=present,
            third=third * root,
            fourth=fourth * root**2 - 3,
            size=report,
        )
        rows.add(component, cells, np.where(wild, 0.0, scores))
    if not rows.wants("bins"):
        return
    seen = np.flatnonzero(tame)
    index = np.arange(of.bins)
    outside = [
        ("share far below", "strays", wild & (index < seen[0])),
        ("share far above", "strays", wild & (index > seen[-1])),
    ]
    for words, group, some in [*_bins(tame, wild), *outside]:
        if some.any():
            rows.add(Component(group=group, columns=(name,), words=words, kind="share"), cells, some.astype(np.float64))


def _wild(of: NumericLayout, masses: Floats) -> NDArray[np.bool_]:
    """Bins so far out (5 interquartile ranges beyond the quartiles, or beyond all of the reference) that bursts of
    junk would land there: they are counted on their own and have no score, so that junk moves no mean."""
    index = np.arange(of.bins)
    seen = np.flatnonzero(masses)
    wild: NDArray[np.bool_] = (index < seen[0]) | (index > seen[-1])
    edges = np.asarray(of.edges)
    if len(edges) < 2:
        return wild
    until = np.cumsum(masses) / masses.sum()
    first, third = (int(np.searchsorted(until, q)) for q in (0.25, 0.75))
    low, high = edges[max(first - 1, 0)], edges[min(third, len(edges) - 1)]
    if third > first:
        lower, upper = np.concatenate([[-np.inf], edges]), np.concatenate([edges, [np.inf]])
        wild |= (upper <= low - 0.95 * FENCE * (high - low)) | (lower >= high + 0.95 * FENCE * (high - low))
    return wild


def _bins(masses: Floats, wild: NDArray[np.bool_]) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """(words, group, bins) of deciles, tails, and where the reference has nothing inside its range."""
    share = masses / masses.sum()
    until = np.cumsum(share)
    middle = until - share / 2
    seen = np.flatnonzero(share)
    found = []
    group = np.minimum((middle * BIN_GROUPS).astype(np.int64), BIN_GROUPS - 1)
    used = np.unique(group[share > 0])
    if len(used) > 2:  # of two, each says what the mean says
        found += [(f"share of {BIN_GROUPS}th {g + 1}", "bins", (group == g) & ~wild) for g in used.tolist()]
    for tail in TAILS:
        found.append((f"share of the lowest {tail:.0%}", "tails", (until <= tail * (1 + 1e-9)) & ~wild))
        found.append((f"share of the highest {tail:.0%}", "tails", (until - share >= (1 - tail) * (1 - 1e-9)) & ~wild))
    found.append(("share of unseen values in the range", "tails", (share == 0) & ~wild))
    distinct, patterns = [], set()
    for words, where, some in found:
        pattern = some.tobytes()
        if pattern not in patterns and not some[seen].all():
            patterns.add(pattern)
            distinct.append((words, where, some))
    return distinct


def _middles(of: NumericLayout, masses: Floats) -> Floats:
    """Where each bin's values are taken to be: its middle, inside the bins that the reference has."""
    edges = np.asarray(of.edges)
    if not len(edges):
        return np.zeros(1)
    low, high = np.concatenate([edges[:1], edges]), np.concatenate([edges, edges[-1:]])
    middles = low / 2 + high / 2
    seen = np.flatnonzero(masses)
    return np.asarray(np.clip(middles, middles[seen[0]], middles[seen[-1]]), np.float64)


def _categorical(rows: _Rows, name: str, of: CategoricalLayout, at: int, total: Floats) -> None:
    cells = at + HEAD + np.arange(of.bins)
    order = np.argsort(-total[cells], kind="stable")
    order = order[total[cells][order] > 0]
    for i in order[:MOST_CATEGORIES].tolist():
        rows.add(
            Component(group="categories", columns=(name,), words=f"share of {of.categories[i]}", kind="share"),
            cells[[i]], np.ones(1),
        )  # fmt: skip
    rest = order[MOST_CATEGORIES:]
    if len(rest):
        component = Component(group="categories", columns=(name,), words="share of rare categories", kind="share")
        rows.add(component, cells[rest], np.ones(len(rest)))
    never = [*cells[total[cells] == 0].tolist(), *range(at + HEAD + of.bins, at + of.size)]
    new = Component(group="categories", columns=(name,), words="share of new categories", kind="share")
    rows.add(new, np.array(never), np.ones(len(never)))


def _quality(rows: _Rows, name: str, at: int) -> None:
    rows.add(
        Component(group="quality", columns=(name,), words="share missing", kind="share"), np.array([at]), np.ones(1)
    )
    invalid = Component(group="quality", columns=(name,), words="share invalid", kind="share")
    rows.add(invalid, np.array([at + 1, at + 2]), np.ones(2))


def _calibration(rows: _Rows, total: Floats) -> None:
    """Labels against what the score said: sum of (label - P(label | score)), alone and times the score's rank."""
    bins = np.arange(SCORE_BINS)
    positive, negative = total[POSITIVE_SCORES + bins], total[NEGATIVE_SCORES + bins]
    both = positive + negative
    events = float(both.sum())
    if not events or not positive.sum() or not negative.sum():
        return
    until = np.cumsum(both)
    group = np.minimum(((until - both / 2) / events * CALIBRATION_GROUPS).astype(np.int64), CALIBRATION_GROUPS - 1)
    rate = (
        np.bincount(group, positive, CALIBRATION_GROUPS) / np.maximum(np.bincount(group, both, CALIBRATION_GROUPS), 1)
    )[group]
    cells = np.concatenate([POSITIVE_SCORES + bins, NEGATIVE_SCORES + bins])
    scores = np.vstack([np.ones(SCORE_BINS), orthogonal_scores(both, 2)])
    masses = np.concatenate([positive, negative]) / events
    for k, words in enumerate(("bias", "calibration", "calibration in the middle")[: len(scores)]):
        weights = np.concatenate([(1 - rate) * scores[k], -rate * scores[k]])
        variance = float(masses @ weights**2)
        if variance <= LEAST_VARIANCE:  # scores that have always been right: nothing is left to compare
            continue
        rows.add(
            Component(
                group="labels", columns=("label residual",), words=words, kind="score", per="labels", unit=variance,
                third=float(masses @ weights**3) / variance**1.5, fourth=float(masses @ weights**4) / variance**2 - 3,
            ),
            cells, weights,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Ranks:
    """Integer ranks of a numeric feature: the cells of its bins with their ranks, and what they were like."""

    cells: NDArray[np.int64]
    ranks: Floats
    mean: float
    spread: float


def _ranks(layout: Layout, total: Floats, events: int) -> dict[str, _Ranks]:
    found = {}
    for name in layout.numeric_features:
        bins = layout.features[name].bins
        cells = layout.offsets["features", name] + HEAD + np.arange(bins)
        ranks: Floats = 2.0 * np.arange(bins, dtype=np.float64) - (bins - 1)
        mean = float(total[cells] @ ranks) / events
        spread = float(np.sqrt(max(float(total[cells] @ ranks**2) / events - mean**2, 0.0)))
        found[name] = _Ranks(cells, ranks, mean, spread)
    return found


def _dependence(rows: _Rows, layout: Layout, total: Floats, events: int) -> None:
    """Products of centred ranks: of pairs, or within combinations of columns where there are too many pairs."""
    if not layout.joint_size or not events:
        return
    of = _ranks(layout, total, events)
    at = {}  # shared sums: of ranks, and of their squares
    for name, r in of.items():
        at[name] = len(rows.shared)
        rows.shared += [(r.cells, r.ranks), (r.cells, r.ranks**2)]
    combined: list[tuple[tuple[str, float], ...]] = [((a, 1.0), (b, 1.0)) for a, b in layout.joint_pairs]
    combined += [tuple((n, float(s)) for n, s in c) for c in layout.joint_combinations]
    for k, signed in enumerate(combined):
        some = [(name, of[name], sign) for name, sign in signed if of[name].spread > 0]
        if len(some) < 2:
            continue
        # The square of a combination's sum less the squares is each product twice; a pair's cell is its product.
        pair = len(signed) == 2
        twice = 1.0 if pair else 2.0
        centre = sum(sign * r.mean for _, r, sign in some)
        shared, weights = [], []
        for name, r, sign in some:
            shared.append(at[name])
            weights.append(-twice * (centre - sign * r.mean) * sign)
            if not pair:
                shared.append(at[name] + 1)
                weights.append(-1.0)
        spreads = np.array([r.spread for _, r, _ in some])
        scale = twice / 2 * float(spreads.sum() ** 2 - (spreads**2).sum())
        constant = twice / 2 * (centre**2 - sum(r.mean**2 for _, r, _ in some))
        rows.mixed.append((rows.count, np.array(shared), np.array(weights) / scale))
        rows.add(
            Component(
                group="dependence",
                columns=tuple(name for name, _ in signed),
                words="dependence",
                kind="score",
                unit=float("nan"),
            ),
            np.array([layout.joint_offset + k, layout.size]),
            np.array([1.0, constant]) / scale,
        )


def _residuals(rows: _Rows, layout: Layout, total: Floats, events: int) -> None:
    """Products of the label's residual with ranks and categories: whether the model errs more for some events."""
    at = layout.residual_offset
    if not layout.residual or total[at + RESIDUALS] < total[LABELS] or not total[at + RESIDUALS]:
        return
    count = total[at + RESIDUALS]
    scale = float(np.sqrt(max(total[at + RESIDUAL_SQUARES] / count - (total[at + RESIDUAL_SUM] / count) ** 2, 1e-300)))
    of = _ranks(layout, total, events)
    if layout.residual != "score":  # else the calibration by score says it
        component = Component(
            group="labels", columns=("label residual",), words="bias", kind="score", per="labels", unit=float("nan")
        )
        rows.add(component, np.array([at + RESIDUAL_SUM]), np.array([1 / scale]))
    for k, (name, category) in enumerate(layout.residual_features):
        cell = np.array([at + RESIDUAL_HEAD + k])
        if category is None:
            if of[name].spread <= 0:
                continue
            cells = np.append(cell, at + RESIDUAL_SUM)
            weights = np.array([1.0, -of[name].mean]) / (scale * of[name].spread)
            words = f"by {name}"
        else:
            cells, weights, words = cell, np.array([1 / scale]), f"of {name} {category}"
        rows.add(
            Component(
                group="labels",
                columns=("label residual",),
                words=words,
                kind="score",
                per="labels",
                unit=float("nan"),
            ),
            cells,
            weights,
        )
