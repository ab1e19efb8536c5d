"""References that trail: at every step of `every`, normal is what the last `trailing` was, but for its holes.

    ...|--------- trailing ---------|
          xxx              xx       ^ a multiple of `every` that the watermark has passed
          `-- holes: spans the configuration excludes, and the time of alerts

Why the time of alerts is left out: a reference that trails would learn every drift, and the alert would resolve by
itself. For the same reason a drift that stays is never normal until somebody promotes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from stream_monitor.config import Model
from stream_monitor.moments import epoch_ms
from stream_monitor.state.memories import ModelState
from stream_monitor.state.states import State
from stream_monitor.state.units import keys_of
from stream_monitor.state.windows import unit_ms

STEPS: Final = 8  # times that a reference is found anew while it trails once over all of its length
ALARMED: Final = ("firing", "acknowledged")

Span = tuple[int, int]


def due(model: Model, known: ModelState) -> int | None:
    """The end of the trailing reference that is to be found now; None: not yet."""
    if not model.reference.trailing or known.watermark_ms is None:
        return None
    every = model.reference.every or max(model.reference.trailing // STEPS, unit_ms(model), 1)
    end = known.watermark_ms // every * every
    return end if known.renewed_ms is None or end > known.renewed_ms else None


def exclude_alerts(state: State, name: str, end_ms: int) -> None:
    """Note that until `end_ms` alerts of the model are firing, from the first window each is about."""
    model, known = state.model(name), state.models[name]
    if not model.reference.trailing:
        return
    groups = [g for key in keys_of(state, name) for g in state.keys[key].groups.values()]
    firing = [(g.onset_ms, end_ms) for g in groups if g.alert.get("state") in ALARMED and g.onset_ms < end_ms]
    if firing:
        known.alarmed = together([*known.alarmed, *firing])
        state.touch("m", name)


def holes(model: Model, known: ModelState, begin_ms: int, end_ms: int) -> list[Span]:
    """What of [begin, end) is not to count as normal, in order of time."""
    stated = [(epoch_ms(s.from_), epoch_ms(s.to)) for s in model.reference.exclude]
    spans = [(max(a, begin_ms), min(b, end_ms)) for a, b in [*stated, *known.alarmed]]
    return together((a, b) for a, b in spans if a < b)


def together(spans: Iterable[Sequence[int]]) -> list[Span]:
    """The same time as spans that do not touch, in order.

    >>> together([(5, 8), (1, 3), (3, 4), (6, 7)])
    [(1, 4), (5, 8)]
    """
    found: list[Span] = []
    for begin, end in sorted((a, b) for a, b in spans):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


def touched(start_ms: int, length_ms: int, spans: Iterable[Span]) -> bool:
    """Whether a pane has a part in a span.

    >>> touched(10, 5, [(0, 10), (15, 20)]), touched(10, 5, [(14, 20)])
    (False, True)
    """
    return any(start_ms < end and start_ms + length_ms > begin for begin, end in spans)


def let_go(state: State, name: str, horizon_ms: int) -> None:
    """Forget gathered panes and alerts that no trailing reference will reach back to."""
    known = state.models[name]
    known.alarmed = [(a, b) for a, b in known.alarmed if b > horizon_ms]
    for key in [k for k in state.gathered if k[0] == name]:
        panes = state.gathered[key]
        for start in [s for s in panes if s < horizon_ms]:
            del panes[start]
            state.touch("l", *key, start)
        if not panes:
            del state.gathered[key]
