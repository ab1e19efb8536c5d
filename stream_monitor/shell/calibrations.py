"""`stream-monitor calibrate`: what each model's monitors can be expected to see, and how often they will be wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console

from detectors import Threshold
from detectors.scan.plans import delays, plans
from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.config.files import ConfigFile
from stream_monitor.config.monitors import Monitor, monitors_of
from stream_monitor.errors import ConfigError
from stream_monitor.figures import figure
from stream_monitor.judging.families import Place
from stream_monitor.judging.judges import Judge
from stream_monitor.judging.packed_references import unpack_reference
from stream_monitor.judging.scans import calibrated
from stream_monitor.shell.listing import Row, show
from stream_monitor.shell.progress import progress
from stream_monitor.shell.starts import read_references

SHIFTS: Final = (0.1, 0.2, 0.5, 1.0)  # standard deviations of a column's ranks
MONTH_MS: Final = 30 * 86_400_000

Line = dict[str, Any]


def calibrations(read: ConfigFile, model: str | None, shifts: Sequence[float] = SHIFTS) -> list[Line]:
    """Of each model's scan a line per segment, group and scale, and one with the delays of each segment; of all other
    monitors a line per segment, metric and column.

    ConfigError for a model that is not configured, or when none has a reference file to learn from.
    """
    known = read.config.models
    if model is not None and model not in known:
        raise read.error("models", f"unknown model '{model}'; known: {' '.join(sorted(known))}")
    catalog = MemoryCatalog()
    try:
        start = read_references(read.config, catalog)
    except ConfigError as error:
        raise read.located(error) from None
    wanted = [name for name in start.references if model in (None, name)]
    if not wanted:
        message = "no reference file to calibrate with; without one the scan learns from the stream's first events"
        raise read.error(f"models.{model or next(iter(known))}.reference", message)
    lines: list[Line] = []
    with progress("calibrating", len(wanted)) as steps:
        for name in wanted:
            lines += _model(read, catalog, name, start.references[name], shifts)
            steps.advance(1, name)
    return lines


def _model(read: ConfigFile, catalog: MemoryCatalog, name: str, id: str, shifts: Sequence[float]) -> list[Line]:
    reference = unpack_reference(catalog.blob(id))
    layout = catalog.layout(reference.layout)
    judges = {
        segment: Judge(read.config.models[name], lambda: reference, layout, segment) for segment in reference.series
    }
    monitors = monitors_of(read.config.models[name])
    lines = _scan(name, judges, shifts) if any(m.metric.needs == "scan" for m in monitors) else []
    for segment, judge in judges.items():
        for monitor in monitors:
            if monitor.metric.needs != "scan" and monitor.watches(segment):
                lines += _thresholds(name, segment, judge, monitor)
    return lines


def _thresholds(name: str, segment: str, judge: Judge, monitor: Monitor) -> list[Line]:
    """What a monitor holds its values against, a line a column; null on a side that cannot be bad or is not known."""
    places: list[Place | None] = list(judge.places(monitor)) if monitor.metric.needs in ("column", "family") else [None]
    lines: list[Line] = []
    for place in places:
        line: Line = {"model": name, "segment": segment, "monitor": monitor.name, "metric": monitor.spec.metric}
        line |= {"column": None if place is None else place[1], "above": None, "below": None}
        line |= {"false_alarms_per_30d": None}
        if isinstance(monitor.detector, Threshold):
            line |= {"above": monitor.detector.above, "below": monitor.detector.below, "why": "as configured"}
        elif monitor.sequential:
            learnt = "" if monitor.detector is not None else judge.detector(monitor, place).note
            line |= {"why": f"judged by {monitor.spec.detector}{learnt}"}
        elif monitor.metric.needs == "segments":
            line |= {"why": "no threshold is learnt for it: state one"}
        else:
            line |= _learnt(judge, monitor, place)
        lines.append(line)
    return lines


def _learnt(judge: Judge, monitor: Monitor, place: Place | None) -> Line:
    learnt, otherwise = judge.baseline(monitor, place), monitor.metric.otherwise
    if otherwise is not None and learnt.bounds.above is None:
        return {"above": otherwise, "why": "the metric's own"}
    sides = sum(bound is not None for bound in (learnt.bounds.above, learnt.bounds.below))
    alarms = learnt.p * sides * MONTH_MS / judge.model.slide_ms if sides and not judge.model.window.rows else None
    return {
        "above": learnt.bounds.above,
        "below": learnt.bounds.below,
        "false_alarms_per_30d": alarms,
        "why": learnt.bounds.reason,
    }


def _scan(name: str, judges: Mapping[str, Judge], shifts: Sequence[float]) -> list[Line]:
    found = calibrated(judges["all"])
    lines: list[Line] = []
    for segment, judge in judges.items():
        unit = found.scan.units.get(segment)
        head = {"model": name, "segment": segment, "pane_ms": found.pane_ms}
        if unit is None:
            panes = len({start for start, _ in judge.reference.series[segment]})
            lines.append({**head, "unknown": f"{panes} panes in the reference are too few"})
            continue
        lines += [
            {
                **head,
                "group": p.group,
                "components": p.components,
                "panes": p.panes,
                "threshold": round(p.threshold, 3),
                "p_value": p.p_value,
                "false_alarms_per_30d": p.false_alarms_per_pane * MONTH_MS / found.pane_ms,
                "smallest": p.smallest if math.isfinite(p.smallest) else None,
                "floor": p.floor,
                "unit": p.unit,
            }
            for p in plans(unit)
        ]
        seconds = {
            str(shift): None if panes is None else panes * found.pane_ms / 1000
            for shift, panes in delays(unit, shifts).items()
        }
        seasons = [s.period_ms / 1000 for s in unit.seasons]
        lines.append({**head, "expected_delay_seconds": seconds, "seasons_seconds": seasons})
    return lines


def print_calibrations(lines: Sequence[Line], console: Console, *, as_json: bool) -> None:
    """JSON lines, or a table of all groups and scales, one of the thresholds of other monitors, and the delays."""
    if as_json:
        for line in lines:
            console.file.write(json.dumps(line) + "\n")
        return
    rows: list[Row] = [
        {
            "model": line["model"],
            "segment": line["segment"],
            "group": line["group"],
            "tests": str(line["components"]),
            "window": f"{line['panes'] * line['pane_ms'] / 1000:g} s",
            "threshold": f"|z| {line['threshold']:.2f}",
            "false alarms per 30d": f"{line['false_alarms_per_30d']:.2g}",
            "smallest change": "too few events" if line["smallest"] is None else _size(line["smallest"], line["unit"]),
            "floor": _size(line["floor"], line["unit"]),
        }
        for line in lines
        if "group" in line
    ]
    if rows:
        show(rows, console)
    thresholds: list[Row] = [
        {
            "model": line["model"],
            "segment": line["segment"],
            "monitor": line["monitor"],
            "column": line["column"] or "",
            "threshold": " or ".join(
                f"{side} {figure(line[side])}" for side in ("above", "below") if line[side] is not None
            )
            or "none",
            "meaning": line["why"],
        }
        for line in lines
        if "metric" in line
    ]
    if thresholds:
        show(thresholds, console)
    for line in lines:
        head = f"{line['model']} {line['segment']}"
        if "unknown" in line:
            console.file.write(f"{head}: unknown: {line['unknown']}\n")
        if "expected_delay_seconds" in line:
            said = [
                f"{shift} sd {'never' if delay is None else f'after {delay:g} s'}"
                for shift, delay in line["expected_delay_seconds"].items()
            ]
            cycles = "".join(f"; removes a cycle of {s:g} s" for s in line["seasons_seconds"])
            console.file.write(f"{head}: a shift of one column's mean is seen: {', '.join(said)}{cycles}\n")


def _size(value: float, unit: str) -> str:
    return f"{100 * value:.2g} %" if unit == "share" else f"{value:.2g} sd"
