"""What is looked at in one column: location and shape by scores of ranks, bins, tails and strays, categories."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import HEAD, CategoricalLayout, NumericLayout
from detectors.learning import FENCE, distinguished
from detectors.scan.functionals import Component, Floats, Rows

MOMENTS: Final = ("mean", "spread", "skewness", "peakedness")
BIN_GROUPS: Final = 10
TAILS: Final = (0.01, 0.05)
MOST_CATEGORIES: Final = 20  # with a component of their own
MOST_SINGLES: Final = 3  # bins with one row of the reference, up to which those with none are taken to stay empty


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


def numeric(
    rows: Rows, sizes: Rows, spreads: list[float], name: str, of: NumericLayout, at: int, total: Floats, events: int
) -> None:  # fmt: skip
    cells, columns = at + HEAD + np.arange(of.bins), rows.about(name)
    masses = total[cells]
    valid = float(masses.sum())
    if not valid:
        rows.add(
            Component(group="tails", columns=columns, words="share of values", kind="share"), cells, np.ones(of.bins)
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
            columns=columns,
            words=MOMENTS[k],
            kind="score",
            unit=present,
            third=third * root,
            fourth=fourth * root**2 - 3,
            size=report,
        )
        rows.add(component, cells, np.where(wild, 0.0, scores))
    seen = np.flatnonzero(tame)
    index = np.arange(of.bins)
    outside = [
        ("share far below", "strays", wild & (index < seen[0])),
        ("share far above", "strays", wild & (index > seen[-1])),
    ]
    inside = _bins(tame, wild) if rows.wants("bins") or rows.wants("tails") else []
    for words, group, some in [*inside, *outside]:
        if some.any():
            rows.add(Component(group=group, columns=columns, words=words, kind="share"), cells, some.astype(np.float64))


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
    # Empty bins hold about as much of what comes as those with one row do of the reference (Good 1953), if the bins
    # were not chosen by these rows; it is said of none where that is not next to nothing.
    if int((masses == 1).sum()) <= MOST_SINGLES:
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


def categorical(rows: Rows, name: str, of: CategoricalLayout, at: int, total: Floats) -> None:
    """Shares of single categories, of the others, and of those that no row of the reference has.

    What has not been seen comes about as often as what has been seen once (Good 1953), and is missing from what has.
    """
    columns, counts = rows.about(name), total[at + HEAD : at + HEAD + of.bins]
    place = {category: i for i, category in enumerate(of.categories)}
    seen = {category: int(n) for category, n in zip(of.categories, counts.tolist(), strict=True) if n}
    single = distinguished(seen, MOST_CATEGORIES)
    for category in single:
        component = Component(group="categories", columns=columns, words=f"share of {category}", kind="share")
        rows.add(component, np.array([at + HEAD + place[category]]), np.ones(1))
    rest = np.array(sorted(place[category] for category in seen.keys() - set(single)), np.int64)
    if len(rest):
        once, twice = int((counts[rest] == 1).sum()), int((counts[rest] == 2).sum())
        left = max(float(counts[rest].sum()) - once, 1.0)
        component = Component(
            group="categories",
            columns=columns,
            words="share of rare categories",
            kind="share",
            unseen=left - float(counts[rest].sum()),
            error=(left + 2 * (once + twice)) / left,
        )
        rows.add(component, at + HEAD + rest, np.ones(len(rest)))
    never = np.concatenate([np.flatnonzero(counts == 0), np.arange(of.bins, of.size - HEAD)])
    others = float(total[at + HEAD + never].sum())
    if not seen and others:  # all that is not missing: nothing is to be told apart
        return
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    unseen = max(float(once), 1.0 if twice and not others else 0.0)
    new = Component(
        group="categories",
        columns=columns,
        words="share of new categories",
        kind="share",
        unseen=unseen,
        error=1 + 2 * twice / max(others + unseen, 1.0),
    )
    rows.add(new, at + HEAD + never, np.ones(len(never)))


def quality(rows: Rows, name: str, at: int) -> None:
    columns = rows.about(name)
    missing = Component(group="quality", columns=columns, words="share missing", kind="share")
    rows.add(missing, np.array([at]), np.ones(1))
    invalid = Component(group="quality", columns=columns, words="share invalid", kind="share")
    rows.add(invalid, np.array([at + 1, at + 2]), np.ones(2))
