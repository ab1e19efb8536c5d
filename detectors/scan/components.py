"""What the scan looks at: linear functionals of the counts of one pane.

Everything here is learnt from the reference's total counts once; after that a pane is one sparse matrix times its
cells, so that the vectors of panes add up as their counts do. Scores are ranks in the reference (bounded, so that one
wild value cannot speak for many), made orthogonal to each other in the reference: an event's scores have mean 0 and
variance 1 there, and a missing value scores 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from detectors.counts import Counts
from detectors.layouts import LABELS, Layout, NumericLayout
from detectors.scan.columns import categorical, numeric, quality
from detectors.scan.functionals import Component, Floats, Rows
from detectors.scan.matrices import Matrix, times
from detectors.scan.products import dependence
from detectors.scan.residuals import calibration, residuals


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Components:
    """The functionals of one layout and reference: `vector` has one entry a component, then reports, rows, labels.

    Reports are not tested: two for each numeric column, the sums of x - centre and of its square with x taken as the
    middle of its bin inside the reference's range, that say a size in the column's units. `cells` makes sums of cells,
    `mix` makes functionals of these: products of ranks share the sums of ranks of their columns.
    """

    of: tuple[Component, ...]
    cells: Matrix  # (cells + 1, sums): the last row stands for the rows
    mix: Matrix  # (sums, entries)
    reports: int
    spreads: Floats  # per report pair: the reference's standard deviation of those middles

    @property
    def entries(self) -> int:
        """Length of a vector."""
        return len(self.of) + self.reports + 2

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.cells.nbytes + self.mix.nbytes + self.spreads.nbytes

    def vector(self, counts: Counts) -> Floats:
        """The functionals of one pane."""
        found: Floats = self.vectors([counts])[0]
        return found

    def vectors(self, panes: Sequence[Counts]) -> Floats:
        """The functionals of many panes, one a row."""
        if not panes:
            return np.zeros((0, self.entries))
        last = np.array([self.cells.rows - 1], np.int32)
        indices = np.concatenate([part for p in panes for part in (p.cells, last)])
        values = np.concatenate([part for p in panes for part in (p.values, [p.rows])]).astype(np.float64)
        starts = np.cumsum([0, *(len(p.cells) + 1 for p in panes)])
        return times(values, indices, starts, self.cells, self.mix)

    def weights(self, component: int) -> Floats:
        """What each cell, and at last each row, adds to a component."""
        found: Floats = self.cells.csr @ self.mix.csr[:, [component]].toarray()[:, 0]
        return found


def components_of(layout: Layout, whole: Counts, only: frozenset[str] | None = None) -> Components:
    """What there is to look at under `layout`, with all of the reference for scores; `only` some groups.

    >>> from detectors.layouts import HEAD, OUTCOME_CELLS
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
    rows, sizes = Rows(only), Rows()
    spreads: list[float] = []
    for place, name, of in layout.columns:
        at = layout.offsets[place, name]
        if isinstance(of, NumericLayout):
            numeric(rows, sizes, spreads, name, of, at, total, whole.rows)
        else:
            categorical(rows, name, of, at, total)
        quality(rows, name, at)
    if rows.wants("dependence"):
        dependence(rows, layout, total, whole.rows)
    if rows.wants("labels"):
        calibration(rows, total)
        residuals(rows, layout, total, whole.rows)
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
    return Components(
        of=tuple(rows.of),
        cells=Matrix.of(cells),
        mix=Matrix.of(mix),
        reports=sizes.count,
        spreads=np.array(spreads),
    )
