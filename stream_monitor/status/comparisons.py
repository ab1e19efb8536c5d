"""A column's reference beside its current window, as shares of few enough bins to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from detectors.counts import merge
from stream_monitor.figures import figure
from stream_monitor.interfaces import Catalog
from stream_monitor.judging.packed_references import unpack_reference
from stream_monitor.state.windows import Window

MOST_BARS: Final = 20

Body = Mapping[str, Any]  # a column in the shape of a window's `columns`
Bar = tuple[str, Sequence[int]]  # label, which counts


def reference_body(catalog: Catalog, id: str, segment: str = "all") -> dict[str, Any]:
    """All that a reference holds of a segment, in the shape of a window; KeyError if the catalog does not have it."""
    reference = unpack_reference(catalog.blob(id))
    panes = reference.series.get(segment, ())
    layout = catalog.layout(reference.layout)
    total = Window(
        key=(reference.model, reference.version, segment),
        start_ms=panes[0][0] if panes else 0,
        end_ms=panes[-1][0] + reference.pane_ms if panes else 0,
        revision=0,
        late_rows=0,
        counts={layout.id: merge(counts for _, counts in panes)} if panes else {},
        layout=layout if panes else None,
    )
    return {**total.body(), "source": reference.source}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Shares in percent of all rows, bar by bar; `reference` is () when there is none to compare with."""

    labels: tuple[str, ...]
    current: tuple[float, ...]
    reference: tuple[float, ...]


def compare(current: Body, reference: Body | None) -> Comparison:
    """The two side by side. A reference under another layout cannot be compared, and is left out.

    >>> column = {"type": "categorical", "layout": "l", "categories": ["de", "fr"], "counts": [3, 1], "other": 0,
    ...           "missing": 0, "invalid": 0}
    >>> compare(column, {**column, "counts": [1, 1]})
    Comparison(labels=('de', 'fr'), current=(75.0, 25.0), reference=(50.0, 50.0))
    """
    if reference is not None and reference.get("layout") != current.get("layout"):
        reference = None
    cells = _numeric_groups(current, reference) if current["type"] == "numeric" else _categories(current, reference)
    labels = [label for label, _ in cells]
    extra = [n for n in ("other", "missing", "invalid") if current.get(n) or (reference and reference.get(n))]
    shares = [
        _shares([*(sum(column["counts"][i] for i in group) for _, group in cells), *(column[n] for n in extra)])
        if column is not None
        else ()
        for column in (current, reference)
    ]
    return Comparison(labels=(*labels, *extra), current=shares[0], reference=shares[1])


def _shares(counts: Sequence[int]) -> tuple[float, ...]:
    total = sum(counts)
    return tuple(round(100 * n / total, 3) if total else 0.0 for n in counts)


def _numeric_groups(current: Body, reference: Body | None) -> list[Bar]:
    """Neighbouring bins together, so that each bar has about as much of both: what moved far is seen where it is."""
    edges, bins = current["edges"], len(current["counts"])
    masses = [1.0] * bins
    if bins > MOST_BARS:
        both = [column["counts"] for column in (current, reference) if column is not None]
        totals = [sum(counts) or 1 for counts in both]
        found = [sum(counts[i] / total for counts, total in zip(both, totals, strict=True)) for i in range(bins)]
        masses = found if any(found) else masses
    bars = min(bins, MOST_BARS)
    before = [0.0, *accumulate(masses)]
    bar = [int(bars * mass / before[-1] + 1e-9) for mass in before[:-1]]
    starts = [0, *(i for i in range(1, bins) if bar[i] > bar[i - 1])]
    groups = [range(first, end) for first, end in zip(starts, [*starts[1:], bins], strict=True)]
    return [(_range_label(edges, group[0], group[-1]), group) for group in groups]


def _range_label(edges: Sequence[float], first: int, last: int) -> str:
    """Bins `first` to `last` in words.

    >>> [_range_label([0.0, 2.5], i, i) for i in range(3)], _range_label([0.0], 0, 1)
    (['< 0', '0 to 2.5', '>= 2.5'], 'all')
    """
    low = None if first == 0 else edges[first - 1]
    high = None if last >= len(edges) else edges[last]
    if low is None:
        return "all" if high is None else f"< {figure(high)}"
    return f">= {figure(low)}" if high is None else f"{figure(low)} to {figure(high)}"


def _categories(current: Body, reference: Body | None) -> list[Bar]:
    names, counts = current["categories"], current["counts"]
    order = sorted(range(len(names)), key=lambda i: (-(reference or current)["counts"][i], -counts[i], names[i]))
    shown: list[Bar] = [(names[i][:40], [i]) for i in order[:MOST_BARS]]
    rest = order[MOST_BARS:]
    return [*shown, (f"{len(rest)} more", rest)] if rest else shown
