"""How skewed and heavy-tailed sums are, where single events do not say: from the reference's own panes and windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.scan.dependence import independent_series

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WINDOWS: Final = 40  # of a scale, from which on a reference's own say how skewed they are


def of_panes(deviations: Floats, events: Floats, excess: Floats) -> tuple[Floats, Floats]:
    """Third and fourth cumulants of one effective event's score, from sums of panes: each of a group's own as far as
    they differ by more than chance."""
    full = events >= events.mean() / 2
    size = events[full].mean() / excess if full.any() else np.ones(len(excess))
    z = deviations[full] / np.sqrt(events[full])[:, None]
    z /= np.maximum(np.sqrt((z**2).mean(axis=0)), 1e-300)
    found = []
    for power, normal, noise in ((3, 0.0, 6.0), (4, 3.0, 24.0)):
        own = (z**power).mean(axis=0) - normal
        centre = own.mean()
        scatter = float(((own - centre) ** 2).mean())
        kept = max(0.0, 1 - noise / max(len(z), 1) / max(scatter, 1e-300))
        found.append((centre + kept * (own - centre)) * size ** (power / 2 - 1))
    return found[0], found[1]


def of_windows(
    third: Floats,
    fourth: Floats,
    residuals: Floats,
    groups: Integers,
    scales: Sequence[int],
    remembering: NDArray[np.bool_],
    effective: Floats,
) -> tuple[Floats, Floats]:
    """Cumulants of an effective event's score for each scale (components, scales).

    Where panes remember, deviations of one sign come together and sums stay skewed for longer than those of
    independent events: there the reference's own windows say how skewed they are, those of longer scales at least as
    much an event.
    """
    panes, count = residuals.shape
    kept = [np.repeat(a[:, None], len(scales), axis=1) for a in (third, fourth)]
    summed = np.vstack([np.zeros((1, count)), np.cumsum(residuals, axis=0)])
    for i, m in enumerate(scales):
        if m * WINDOWS > panes:
            break
        for g in np.unique(groups[remembering[:, i]]):
            some = np.flatnonzero(remembering[:, i] & (groups == g))
            z = summed[m:, some] - summed[:-m, some]
            z /= np.maximum(np.sqrt((z**2).mean(axis=0)), 1e-300)
            series = independent_series(z)
            for cumulants, power, normal, noise in zip(kept, (3, 4), (0.0, 3.0), (6.0, 24.0), strict=True):
                found = _drawn((z**power).mean(axis=0) - normal, noise * m / panes / 1.5, series)
                found *= np.maximum(effective[some, i], 0.0) ** (power / 2 - 1)
                before = cumulants[some, i]
                more = np.abs(found) > np.abs(before) if power == 3 else found > before
                cumulants[some, i:] = np.where(more, found, before)[:, None]
    return kept[0], kept[1]


def _drawn(own: Floats, noise: float, series: float) -> Floats:
    """Estimates of this variance by chance, drawn to their mean and it to 0, as far as chance explains (James and Stein
    1961); `series` independent ones."""
    mean = float(own.mean())
    centre = mean * max(0.0, 1 - noise / series / max(mean**2, 1e-300))
    scatter = float(((own - mean) ** 2).sum()) / max(len(own) - 1, 1)
    return centre + max(0.0, 1 - noise / max(scatter, 1e-300)) * (own - mean)
