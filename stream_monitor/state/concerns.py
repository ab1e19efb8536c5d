"""Which topics a model waits for, and which models a topic concerns, as the log has told.

Topics that a pattern stands for are those that the last configuration found when it was given, and every one that has
sent a block since. Why from the log: windows close by the watermark of all a model's topics, so which those are must
follow from a prefix of the log like everything else.
"""

from __future__ import annotations

import math

from stream_monitor.config.roles import is_pattern, matches, stated_topics, takes
from stream_monitor.entries import partition_of
from stream_monitor.state.states import State
from stream_monitor.state.watermarks import partitions_of


def configured_models(state: State) -> list[str]:
    """Models of the configuration that belong to this partition, sorted."""
    head = state.head_state
    return sorted(
        n
        for n in (state.config.models if state.config is not None else ())
        if partition_of(n, head.partitions) == head.partition
    )


def topics_of(state: State, name: str) -> list[str]:
    """The topics of a model that must be heard of before its windows close."""
    found = state.configured.topics.get(name, []) if state.configured is not None else []
    return [*stated_topics(state.model(name)), *found]


def silence_of(state: State, name: str, end_ms: int) -> float:
    """Seconds from the last event of the most silent partition of a model's predictions to `end_ms`; nan if not known.

    What a partition has reached is its watermark and the out-of-orderness that was taken off it.
    """
    assert state.config is not None
    sources, model = state.head_state.sources, state.model(name)
    topics = [t for t in topics_of(state, name) if matches(model.topic, t)]
    marks = [s.watermark_ms for t in topics for s in partitions_of(sources, t)]
    known = [m for m in marks if m is not None]
    if not known:
        return math.nan
    return max(0, end_ms - min(known) - state.config.time.out_of_orderness) / 1000


def concerned(state: State, topic: str) -> list[str]:
    """Models of this partition that have something in the topic, which now has sent a block."""
    known: list[str] | None = state.derived.get(("concerned", topic))
    if known is None:
        known = [n for n in configured_models(state) if takes(state.model(n), topic)]
        state.derived["concerned", topic] = known
        for name in known:
            _hear(state, name, topic)
    return known


def _hear(state: State, name: str, topic: str) -> None:
    assert state.configured is not None
    model, found = state.model(name), state.configured.topics
    if topic in topics_of(state, name) or not matches(filter(is_pattern, model.topic), topic):
        return
    found[name] = sorted([*found.get(name, []), topic])
    state.touch("c")
