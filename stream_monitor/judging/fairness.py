"""What labels say of every segment of a dimension in one window: what fairness metrics compare.

    window of `all`        [--------------)
    country=de             sum of its units over the same time
    country=fr             ...

The windows of `all` are judged after every unit that they hold was folded, and a late event re-opens them as it does
the segment's own. Segments with fewer than `min_rows` labels are left out: their rates are mostly chance.
"""

from __future__ import annotations

import numpy as np

from detectors.counts import OutcomeCounts, outcome
from detectors.layouts import LABEL_CELLS, LABELS
from stream_monitor.state.states import State
from stream_monitor.state.units import keys_of
from stream_monitor.state.windows import Window, unit_ms


def outcomes_of(state: State, window: Window, dimension: str) -> list[tuple[str, OutcomeCounts]]:
    """(segment, its outcome) of the dimension's segments with enough labels, in the order of their names."""
    model = state.model(window.key[0])
    units = range(window.start_ms, window.end_ms, unit_ms(model)) if not model.window.rows else ()
    found = []
    for key in sorted(keys_of(state, window.key[0])):
        if key[1] != window.key[1] or key[2].partition("=")[0] != dimension or key[2] == "all":
            continue
        cells, rows, panes = np.zeros(LABEL_CELLS, np.int64), 0, state.panes.get(key, {})
        for unit in units:
            if unit in panes:
                for counts in panes[unit].counts().values():
                    cells += outcome(counts).cells
                    rows += counts.rows
        if int(cells[LABELS]) >= max(1, model.min_rows):
            found.append((key[2], OutcomeCounts(rows=rows, cells=cells)))
    return found
