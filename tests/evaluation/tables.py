"""Lines of an evaluation as tables: false alarms with their upper limit, detections, delays, and who is sooner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy.stats import t

Line = dict[str, Any]

MERGED: Final = 128  # panes of ours (peers: of 25 events) within which alarms are one: its longest window
OURS: Final = "stream-monitor"


def false_alarms(lines: Sequence[Line]) -> tuple[float, float]:
    """False alarms per 5,000 events, and the upper end of the one-sided 95 % limit, streams being the clusters.

    The limit is that of Student's t over the streams' own rates, at least that of none seen (Poisson).

    >>> rate, upper = false_alarms([{"alarms": [9] * k, "change": None, "n": 5000, "pane_events": 25} for k in (0, 1)])
    >>> rate, round(upper, 2)
    (0.5, 3.66)
    """
    rates = np.array([_false(line) for line in lines])
    if len(rates) < 2:
        return float(rates.mean()), float("inf")
    error = rates.std(ddof=1) / np.sqrt(len(rates))
    upper = rates.mean() + t.ppf(0.95, len(rates) - 1) * error
    none = -np.log(0.05) / sum((line["change"] or line["n"]) / 5000 for line in lines)
    return float(rates.mean()), float(max(upper, none))


def _false(line: Line) -> float:
    until = line["change"] if line["change"] is not None else line["n"]
    merged = MERGED * (line["pane_events"] or 25)
    count, last = 0, -merged
    for a in line["alarms"]:
        if a <= until and a - last > merged:
            count, last = count + 1, a
    return count / (float(until) / 5000)


def delay(lines: Sequence[Line], q: float = 0.5) -> float:
    """A quantile of the delays, undetected ones being infinite.

    >>> delay([{"delay": d} for d in (100, 300, None)]), delay([{"delay": d} for d in (100, None)], 0.9)
    (300.0, inf)
    """
    delays = np.array([np.inf if line["delay"] is None else line["delay"] for line in lines], np.float64)
    return float(np.quantile(delays, q, method="higher"))


def table(lines: Sequence[Line], missing: Mapping[str, str] | None = None) -> str:
    """One row per (tool, rule, setting, scenario, on, size), then who was sooner; `missing` tools with the reason."""
    rows = _grouped(lines, "tool", "rule", "setting", "scenario", "on", "size")
    out = [
        f"{'tool':16}{'rule':16}{'setting':10}{'scenario':17}{'on':11}{'size':7}{'streams':>8}{'FA/5000':>9}{'95 %':>9}"
        f"{'found':>7}{'median':>8}{'90 %':>8}\n"
    ]
    for key in sorted(rows, key=str):
        some = rows[key]
        rate, upper = false_alarms(some)
        tool, rule, setting, scenario, on, size = key
        text = f"{tool:16}{rule:16}{setting:10}{scenario:17}{on or '-':11}{size or '-':7}"
        text += f"{len(some):8d}{rate:9.2g}{upper:9.2g}"
        if some[0]["change"] is not None:
            found = np.mean([line["delay"] is not None for line in some])
            text += f"{found:7.2f}{delay(some):8.0f}{delay(some, 0.9):8.0f}"
        out.append(text + "\n")
    out += [f"{name:32}not in the table, {why}\n" for name, why in (missing or {}).items()]
    return "".join(out) + sooner(lines)


def sooner(lines: Sequence[Line]) -> str:
    """Per drift: our median delay against that of each peer's best rule at an equal rate of false alarms, over the
    streams that both read; losses are said as plainly as wins."""
    drifts = [line for line in lines if line["change"] is not None]
    peers = [line for line in drifts if line["setting"] == "equal_fa"]
    if not peers:
        return ""
    out = [f"\n{'drift':17}{'on':11}{'size':7}{'streams':>8}{'ours':>8}{'best peer':>11}  who\n"]
    tally = {"sooner": 0, "as soon": 0, "LOSS": 0}
    ours = _grouped([line for line in drifts if line["tool"] == OURS], "scenario", "on", "size")
    for key, theirs in sorted(_grouped(peers, "scenario", "on", "size").items(), key=str):
        best: tuple[float, str, int, float] | None = None
        for (tool, rule), some in _grouped(theirs, "tool", "rule").items():
            seeds = {line["seed"] for line in some}
            own = [line for line in ours.get(key, []) if line["seed"] in seeds]
            if own:
                found = (delay(some), f"{tool} {rule}", len(own), delay(own))
                best = found if best is None or found[:2] < best[:2] else best
        if best is None:
            continue
        peer, who, count, mine = best
        verdict = "sooner" if mine < peer else "as soon" if mine == peer else "LOSS"
        tally[verdict] += 1
        scenario, on, size = key
        out.append(f"{scenario:17}{on or '-':11}{size:7}{count:8d}{mine:8.0f}{peer:11.0f}  {who}: {verdict}\n")
    return "".join(out) + ", ".join(f"{k}: {v}" for k, v in tally.items()) + "\n"


def _grouped(lines: Sequence[Line], *by: str) -> dict[tuple[Any, ...], list[Line]]:
    found: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        found.setdefault(tuple(line[k] for k in by), []).append(line)
    return found
