"""The fold: what one entry of the log does to the state, and what is put out because of it.

`step` is pure but for changing the state it is given: no clock, no random number, no store. Time is the time in the
entries. So state and outputs are a function of a prefix of the log, and whoever folds it again puts out the same bytes.
"""

from __future__ import annotations

from stream_monitor.config_plain import config_from_plain
from stream_monitor.entries import Bundle, Command, Entry
from stream_monitor.interfaces import Catalog
from stream_monitor.outputs import Output
from stream_monitor.sources import arrive
from stream_monitor.states import Configured, State

__all__ = ["State", "finish", "step"]


def step(state: State, entry: Entry, catalog: Catalog) -> tuple[State, list[Output]]:
    """Fold one entry in. The state given is changed and returned; the outputs come in the order to publish them.

    When `state.stopped` is set, the blocks contradict each other: publish the outputs, then leave with StateError.
    """
    if state.stopped:
        return state, []
    head = state.head_state
    head.entries += 1
    if isinstance(entry, Bundle):
        return state, _bundle(state, entry, catalog)
    head.now_ms = max(head.now_ms, entry.at_ms)
    return state, _command(state, entry, catalog)


def finish(state: State, catalog: Catalog) -> list[Output]:
    """The end of the files: no event will come any more, so every window closes."""
    return []


def _bundle(state: State, bundle: Bundle, catalog: Catalog) -> list[Output]:
    arrival = arrive(state, bundle)
    if arrival.impossible:
        state.head_state.counters.overlap_blocks += 1
        state.head_state.stopped = arrival.impossible
        return []
    if not arrival.block:
        return []
    state.head_state.now_ms = max(state.head_state.now_ms, bundle.at_ms)
    return []


def _command(state: State, command: Command, catalog: Catalog) -> list[Output]:
    if command.kind == "config":
        body = command.body
        state.configured = Configured(body["config"], dict(body["layouts"]), dict(body["references"]))
        state.config = config_from_plain(body["config"])
        state.touch("c")
    return []
