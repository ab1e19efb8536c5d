"""`stream-monitor list`: the tables, told by the first lines of their docstrings, so that nothing is written twice."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from detectors import DETECTORS, METRICS
from stream_monitor.formats import FORMATS

Row = Mapping[str, str]


READS: Final = {
    "outcome": "labels",
    "segments": "labels of all segments",
    "window": "the window",
    "stream": "how events come",
    "scan": "the window",
    "column": "columns",
    "joint": "all numeric features",
}


def metrics() -> list[Row]:
    """Every metric: its group, what it reads, which way is worse."""
    return [
        {
            "metric": name,
            "group": m.group,
            "reads": f"{m.kinds[0]} columns" if m.needs == "family" else " and ".join(m.kinds) or READS[m.needs],
            "tasks": ", ".join(m.tasks) or "all",
            "worse": "above or below" if m.worse == "both" else m.worse,
            "meaning": first_line(m.function),
        }
        for name, m in METRICS.items()
    ]


def detectors() -> list[Row]:
    """Every detector with its parameters and their defaults."""
    return [
        {
            "detector": name,
            "parameters": "threshold, warning" if name == "threshold" else parameters(d),
            "meaning": first_line(d),
        }
        for name, d in DETECTORS.items()
    ]


def targets(noun: str, table: Mapping[str, Callable[..., Any]]) -> list[Row]:
    """Every sink or trigger with its options."""
    return [{noun: k, "options": parameters(make), "meaning": first_line(make)} for k, make in table.items()]


def formats() -> list[Row]:
    """Every format of events."""
    return [
        {"format": name, "options": ", ".join(of.options), "meaning": first_line(of.meaning)}
        for name, of in FORMATS.items()
    ]


def parameters(make: Callable[..., Any]) -> str:
    """What can be given, with defaults; without one it must be given.

    >>> def make(*, url: str, timeout: float = 10.0): ...
    >>> parameters(make)
    'url, timeout=10.0'
    """
    shown = []
    for name, p in inspect.signature(make).parameters.items():
        default = p.default
        if default is p.empty or default in ("", None) or dataclasses.MISSING is default or "factory" in repr(default):
            shown.append(name)
        else:
            shown.append(f"{name}={list(default) if isinstance(default, tuple) else default}")
    return ", ".join(shown)


def first_line(thing: object) -> str:
    """The first sentence or line of its docstring.

    >>> first_line(first_line)
    'The first sentence or line of its docstring.'
    """
    text = inspect.getdoc(thing) or ""
    return " ".join(text.split("\n\n")[0].split())


def as_table(rows: list[Row]) -> Table:
    """Rows with equal keys as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0] if rows else ():
        table.add_column(name, no_wrap=name != "meaning", overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    return table


def show(rows: list[Row], console: Console) -> None:
    """Print them: a table on a terminal, lines with tabs elsewhere, which other programs can read."""
    if console.is_terminal:
        console.print(as_table(rows))
        return
    for row in rows:
        console.file.write("\t".join(row.values()) + "\n")
