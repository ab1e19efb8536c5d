"""Lines of an evaluation as a table: false alarms with their upper limit, detections, delays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.stats import t

Line = dict[str, Any]

MERGED: Final = 3200  # events within which alarms are one: the longest window of ours


def false_alarms(lines: Sequence[Line]) -> tuple[float, float]:
    """False alarms per 5,000 events, and the upper end of the one-sided 95 % limit, streams being the clusters.

    >>> rate, upper = false_alarms([{"alarms": [9] * k, "change": None, "n": 5000} for k in (0, 2)])
    >>> rate, round(upper, 2)
    (0.5, 3.66)
    """
    rates = np.array([_false(line) for line in lines])
    if len(rates) < 2:
        return float(rates.mean()), float("inf")
    error = rates.std(ddof=1) / np.sqrt(len(rates))
    upper = rates.mean() + t.ppf(0.95, len(rates) - 1) * error
    none = -np.log(0.05) / sum((line["change"] or line["n"]) / 5000 for line in lines)  # if none was seen: Poisson
    return float(rates.mean()), float(max(upper, none))


def _false(line: Line) -> float:
    until = line["change"] if line["change"] is not None else line["n"]
    count, last = 0, -MERGED
    for a in line["alarms"]:
        if a <= until and a - last > MERGED:
            count, last = count + 1, a
    return count / (float(until) / 5000)


def table(lines: Sequence[Line]) -> str:
    """One row per (tool, rule, setting, scenario, on, size)."""
    rows: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        key = tuple(line[k] for k in ("tool", "rule", "setting", "scenario", "on", "size"))
        rows.setdefault(key, []).append(line)
    out = [
        f"{'tool':16}{'setting':10}{'scenario':18}{'on':11}{'size':8}{'streams':>8}{'FA/5000':>9}{'95 %':>8}"
        f"{'found':>7}{'median':>8}{'90 %':>8}\n"
    ]
    for key in sorted(rows, key=str):
        some = rows[key]
        rate, upper = false_alarms(some)
        tool, _, setting, scenario, on, size = key
        text = f"{tool:16}{setting:10}{scenario:18}{on or '-':11}{size or '-':8}{len(some):8d}{rate:9.4f}{upper:8.4f}"
        if some[0]["change"] is not None:
            delays = np.array([np.inf if line["delay"] is None else line["delay"] for line in some])
            shown = [f"{np.quantile(delays, q, method='higher'):8.0f}" for q in (0.5, 0.9)]
            text += f"{np.isfinite(delays).mean():7.2f}{''.join(shown)}"
        out.append(text + "\n")
    return "".join(out)
