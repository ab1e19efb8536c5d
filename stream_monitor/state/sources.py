"""Which blocks of the sources have been applied: each once, in order, none missing.

block n - 1: [from, to)   block n: [to, ...)      the next one: applied
block n, n - 1, ...                               seen before: dropped and counted
block n + 2, or n + 1 that begins elsewhere       a gap or an overlap: cannot happen, stops the partition
a higher epoch                                    takes the source's place and begins with any block 1
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stream_monitor.entries import Bundle
from stream_monitor.intents import RECREATED
from stream_monitor.state.memories import SourceState
from stream_monitor.state.states import State

FORGOTTEN: Final = "the group's committed offsets were lost"
MARKS: Final = 16  # blocks of a source whose watermark is remembered: more than come while another one is silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What a bundle turned out to be: the whole block, a duplicate, one of its parts, or what cannot happen."""

    block: tuple[Bundle, ...] = ()  # all parts, in order
    new_epoch: bool = False
    alarm: str = ""  # why the epoch began, where that is a reason to worry
    impossible: str = ""


def arrive(state: State, bundle: Bundle) -> Arrival:
    """Take a bundle in; sources and duplicates are noted in `state`, its panes are not applied."""
    source = bundle.source
    place = f"{source.topic}/{source.partition}"
    known = state.head_state.sources.get(place)
    new_epoch = known is not None and source.epoch > known.source.epoch
    if known is not None and not new_epoch:
        if source.epoch < known.source.epoch or bundle.n <= known.n:
            state.head_state.counters.duplicate_blocks += 1
            return Arrival()
        if bundle.n != known.n + 1 or bundle.from_ != known.to:
            return Arrival(
                impossible=f"{place} epoch {source.epoch}: block {bundle.n} [{bundle.from_}, {bundle.to}) came after "
                f"block {known.n}, which ended at {known.to}"
            )
    elif new_epoch and bundle.n > 1:
        return Arrival(impossible=f"{place}: epoch {source.epoch} begins with block {bundle.n}")
    parts = _gather(state, bundle)
    if len(parts) < bundle.parts:
        return Arrival()
    for i in parts:
        state.touch("b", source.topic, source.partition, i)
    state.parts.pop((source.topic, source.partition), None)
    first = parts[0]
    same = None if new_epoch else known
    active = first.at_ms if same is None or not first.idle else same.active_ms
    marks = () if same is None else same.marks
    if same is None or first.watermark_ms != same.watermark_ms:
        marks = (*marks[1 - MARKS :], (first.at_ms, first.watermark_ms))
    spoke = first.at_ms if same is None or first.to > first.from_ else same.spoke_ms
    state.head_state.sources[place] = SourceState(
        source, first.n, first.to, first.watermark_ms, first.idle, first.partitions, first.at_ms, active, marks, spoke
    )
    alarm = first.alarm
    if known is not None and new_epoch and not alarm:
        # To a tap it looked like a first start: the broker forgets a group's commits with a deleted topic.
        alarm = RECREATED if source.topic_id != known.source.topic_id else FORGOTTEN
    return Arrival(block=tuple(parts[i] for i in sorted(parts)), new_epoch=new_epoch, alarm=alarm)


def _gather(state: State, bundle: Bundle) -> dict[int, Bundle]:
    """Parts of the bundle's block that are there, this one included. A part seen before is counted and dropped."""
    place = (bundle.source.topic, bundle.source.partition)
    if bundle.parts == 1:
        return {0: bundle}
    parts = state.parts.setdefault(place, {})
    for i, part in list(parts.items()):
        if (part.source, part.n) != (bundle.source, bundle.n):  # of an epoch that ended in mid-block
            del parts[i]
            state.touch("b", *place, i)
    if bundle.part in parts:
        state.head_state.counters.duplicate_blocks += 1
        return {}
    parts[bundle.part] = bundle
    state.touch("b", *place, bundle.part)
    return parts
