"""The last few hundred panes of each key, as fine as the scan looks at them.

    units of windows   |      5 min      |      5 min      |        what windows are sums of
    traces             |||||||||||||||||||||||||||||||||||||        what the scan tests, 4 to 128 at a time

Why beside the units: a drift is told from noise over many short panes, a window over few long ones. Bounded: KEPT panes
of a key, and no more than the looks at windows that may still re-open can need.
"""

from __future__ import annotations

from typing import Final

from detectors.counts import Counts, merge
from detectors.layouts import RAW_ID
from stream_monitor.config import Model
from stream_monitor.entries import PaneRecord, Source
from stream_monitor.interfaces import Catalog
from stream_monitor.state.memories import Key, Pane
from stream_monitor.state.states import State
from stream_monitor.state.windows import unit_ms

LONGEST: Final = 128  # panes of the longest window that the scan tests
LOOKS: Final = 64  # panes of one of the model's windows, at most: each is looked at
KEPT: Final = 512
LET_GO: Final = "it is judged no more: its panes are let go"  # of a window that closes again


def trace_ms(model: Model, pane_ms: int) -> int:
    """Length of a pane of the traces: the least multiple of `pane_ms` that divides the windows into LOOKS at most.

    >>> from stream_monitor.config import WindowSpec
    >>> trace_ms(Model(topic=("t",), window=WindowSpec(size=300_000)), 1_000)
    5000
    """
    unit = unit_ms(model)
    if not unit:
        return pane_ms
    choices = (k * pane_ms for k in range(1, unit // pane_ms + 1) if unit % (k * pane_ms) == 0)
    return next((c for c in choices if model.window.size <= LOOKS * c), unit)


def keep(state: State, source: Source, record: PaneRecord, catalog: Catalog) -> None:
    """Count a pane into the traces of its key, if it is counted under the model's layout."""
    known = state.models[record.model]
    if record.layout == RAW_ID or record.layout != known.layout or not record.counts:
        return
    length = trace_ms(state.model(record.model), catalog.layout(record.layout).pane_ms)
    if length != known.trace_ms:
        _drop(state, record.model)
        known.trace_ms = length
        state.touch("m", record.model)
    key = (record.model, record.version, record.segment)
    start = record.start_ms // length * length
    panes = state.traces.setdefault(key, {})
    if len(panes) >= KEPT and start < min(panes):  # let go of before: what is late alone would pass for all of it
        return
    panes.setdefault(start, Pane()).add(record.layout, record.counts)
    state.touch("f", *key, start)


def _drop(state: State, name: str) -> None:
    for key in [k for k in state.traces if k[0] == name]:
        for start in state.traces.pop(key):
            state.touch("f", *key, start)


def forget(state: State, name: str) -> None:
    """Let go of panes that no window which may still close or re-open looks back at."""
    model, known = state.model(name), state.models[name]
    assert state.config is not None
    if known.watermark_ms is None or not known.trace_ms:
        return
    final = known.watermark_ms - state.config.time.allowed_lateness - model.window.size
    horizon = final - LONGEST * known.trace_ms
    for key in [k for k in state.traces if k[0] == name]:
        panes, gone = state.traces[key], key not in state.keys
        old = [s for s in panes if s < horizon or gone]
        old += sorted(s for s in panes if s not in old)[: max(0, len(panes) - len(old) - KEPT)]
        for start in old:
            del panes[start]
            state.touch("f", *key, start)
        if not panes:
            del state.traces[key]


def let_go(state: State, key: Key, end_ms: int) -> bool:
    """Whether the panes of a key up to `end_ms` are kept no more, though there were some."""
    return end_ms <= min(state.traces.get(key, ()), default=end_ms - 1)


def trace(state: State, key: Key, layout: str, pane_ms: int, first_ms: int, end_ms: int) -> list[Counts | None]:
    """Counts of the panes in [first, end), None where there are no events; `pane_ms` is a multiple of `trace_ms`, or
    of the units of windows, which are taken then."""
    known, unit = state.models[key[0]], unit_ms(state.model(key[0]))
    units = bool(unit) and pane_ms % unit == 0
    panes = state.panes.get(key, {}) if units else state.traces.get(key, {})
    step = unit if units else known.trace_ms
    out: list[Counts | None] = []
    for start in range(first_ms, end_ms, pane_ms):
        parts = [p.counts_under(layout) for s in range(start, start + pane_ms, step) if (p := panes.get(s)) is not None]
        some = [c for c in parts if c is not None]
        out.append(merge(some) if some else None)
    return out
