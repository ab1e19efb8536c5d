"""What is looked at across columns: products of their ranks.

How they vary is read from the reference's panes, if it is long enough to show it. That two columns are far out in one
event it may never have shown, though it will be; where it is worth less than ENOUGH of such products they are taken for
those of independent columns: of that variance at least, and as heavy in their tails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import HEAD, Layout
from detectors.scan.functionals import Component, Floats, Rows

ENOUGH: Final = 100.0  # products' worth of a reference, its events over their fourth moment, that shows how they vary


@dataclass(frozen=True, slots=True)
class Ranks:
    """Integer ranks of a numeric feature: the cells of its bins with their ranks, and what they were like."""

    cells: NDArray[np.int64]
    ranks: Floats
    mean: float
    spread: float
    third: float  # moments of the standardised rank
    fourth: float


def ranks(layout: Layout, total: Floats, events: int) -> dict[str, Ranks]:
    found = {}
    for name in layout.numeric_features:
        bins = layout.features[name].bins
        cells = layout.offsets["features", name] + HEAD + np.arange(bins)
        ranks: Floats = 2.0 * np.arange(bins, dtype=np.float64) - (bins - 1)
        mean = float(total[cells] @ ranks) / events
        spread = float(np.sqrt(max(float(total[cells] @ ranks**2) / events - mean**2, 0.0)))
        apart = (ranks - mean) / max(spread, 1e-9)
        third, fourth = (float(total[cells] @ apart**power) / events for power in (3, 4))
        found[name] = Ranks(cells, ranks, mean, spread, third, fourth)
    return found


def independent(of: Sequence[Ranks], signs: Sequence[float]) -> tuple[float, float, float]:
    """Variance, third and fourth cumulant of the products of these ranks, were they independent: of each pair times its
    spreads and signs, over the sum of all spreads.

    >>> flag = Ranks(np.zeros(2, np.int64), np.array([-1.0, 1.0]), 0.0, 1.0, 0.0, 1.0)  # a fair one
    >>> independent([flag, flag], [1.0, -1.0])  # so is the product
    (1.0, 0.0, -2.0)
    """
    pairs = list(combinations(of, 2))
    weights = np.array([a.spread * b.spread for a, b in pairs])
    power = float((weights**2).sum())
    sides = [a * b for a, b in combinations(signs, 2)]  # of different signs their third cumulants cancel out
    third = float((weights**3 * [s * a.third * b.third for s, (a, b) in zip(sides, pairs, strict=True)]).sum())
    third /= power**1.5
    fourth = float((weights**4 * [a.fourth * b.fourth - 3 for a, b in pairs]).sum()) / power**2
    return power / float(weights.sum()) ** 2, third, fourth


def dependence(rows: Rows, layout: Layout, total: Floats, events: int) -> None:
    """Products of centred ranks: of pairs, or within combinations of columns where there are too many pairs."""
    if not layout.joint_size or not events:
        return
    of = ranks(layout, total, events)
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
        least, third, fourth = independent([r for _, r, _ in some], [sign for _, _, sign in some])
        if events > ENOUGH * (fourth + 3):
            least, third, fourth = 0.0, 0.0, 0.0
        rows.add(
            Component(
                group="dependence",
                columns=tuple(name for name, _ in signed),
                words="dependence",
                kind="score",
                unit=float("nan"),
                third=third,
                fourth=fourth,
                least=least,
            ),
            np.array([layout.joint_offset + k, layout.size]),
            np.array([1.0, constant]) / scale,
        )
