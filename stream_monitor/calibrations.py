"""`stream-monitor calibrate`: what the scan of each model can be expected to see, and how often it will be wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console

from detectors.scan.plans import delays, plans
from stream_monitor.catalogs import MemoryCatalog
from stream_monitor.config_files import ConfigFile
from stream_monitor.errors import ConfigError
from stream_monitor.judges import Judge
from stream_monitor.listing import Row, show
from stream_monitor.progress import progress
from stream_monitor.references import unpack_reference
from stream_monitor.scans import calibrated
from stream_monitor.starts import read_references

SHIFTS: Final = (0.1, 0.2, 0.5, 1.0)  # standard deviations of a column's ranks
MONTH_MS: Final = 30 * 86_400_000

Line = dict[str, Any]


def calibrations(read: ConfigFile, model: str | None, shifts: Sequence[float] = SHIFTS) -> list[Line]:
    """Per model, segment, group and scale one line, and one line with the delays of each segment.

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
    judge = Judge(read.config.models[name], reference, layout, "all")
    found = calibrated(judge)
    lines: list[Line] = []
    for segment in reference.series:
        unit = found.scan.units.get(segment)
        head = {"model": name, "segment": segment, "pane_ms": found.pane_ms}
        if unit is None:
            panes = len(reference.series[segment])
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
    """JSON lines, or a table of all groups and scales and then one of the delays."""
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
