"""Statistics of columns event by event, as one writes them in a stream processor: count, sum, squares, range; words."""

from __future__ import annotations

from typing import Any

State = dict[str, Any]


def fold(state: State, event: dict[str, Any]) -> State:
    """Add the features of one event."""
    for name, value in event["features"].items():
        if isinstance(value, str):
            words = state.setdefault(name, {})
            words[value] = words.get(value, 0) + 1
        else:
            of = state.get(name)
            if of is None:
                state[name] = [1, value, value * value, value, value]
            else:
                of[0] += 1
                of[1] += value
                of[2] += value * value
                of[3] = min(of[3], value)
                of[4] = max(of[4], value)
    return state
