"""The scan, the default drift detector: all columns, all scales, one budget of false alarms.

    scan = Scan.calibrated(layout, reference.series, panes_between_false_alarms=30 * 24 * 60)    # once per reference
    unit = scan.units.get("all")                         # None: the reference has too few panes, UNKNOWN
    vector = unit.components.vector(counts)              # once per pane (and again when a late event revises it)
    found = look(unit, first, vectors)                   # the last `needed(unit)` panes, a row each, zeros when empty
    found.results                                        # one per column: p_value against alpha, drift, size, onset
    found.findings                                       # those that are drift, the most telling first
    look(unit, first, vectors, since=pane)               # all looks from that pane on at once, e.g. those of a window

`first` is start_ms // pane_ms of the first row. Everything is a pure function of its arguments: the same panes give the
same findings, whenever they are asked for. Units are "all" and the segments, which are looked at for less.
`panes_between_false_alarms` is a mean for everything together: columns, scales, segments; MARGIN of it
is given out.

How it works: components.py, of functionals.py, columns.py, products.py and residuals.py (what is looked at), units.py
(what is normal), dependence.py and seasons.py (what is predictable), tails.py and scores.py (how unlikely), windows.py
(which windows), ends.py (what is over), looks.py and results.py (in words).
"""

from __future__ import annotations

from detectors.scan.components import Components, components_of
from detectors.scan.looks import Look, look, needed
from detectors.scan.results import Result
from detectors.scan.scan import Scan
from detectors.scan.units import Unit

__all__ = ["Components", "Look", "Result", "Scan", "Unit", "components_of", "look", "needed"]
