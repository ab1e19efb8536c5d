"""Until when all events of a model have been seen: the least watermark of its source partitions.

         prediction topic      label topic
partition   0      1      2        0
watermark  9:05   9:03   idle     9:04        -> the model's is 9:03
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stream_monitor.state.memories import SourceState


def partitions_of(sources: Mapping[str, SourceState], topic: str) -> list[SourceState]:
    """The partitions of a topic that have been heard of, not those of one of that name that was deleted."""
    mine = [s for s in sources.values() if s.source.topic == topic]
    present = max(mine, key=lambda s: s.source.epoch).source.topic_id if mine else ""
    return [s for s in mine if s.source.topic_id == present]


def model_watermark(sources: Mapping[str, SourceState], topics: Iterable[str]) -> int | None:
    """Watermark over all partitions of `topics`, or None as long as one of them has not been heard of.

    Idle partitions hold nothing back, as of their last block: what the others have read since counts once the idle ones
    have said again that they are idle. (Else, when traffic comes back to all partitions at once, the first block to
    arrive would close the windows of all others.) When all are idle the greatest watermark goes on at the pace of the
    blocks' `at` from the last block with events, so that silence closes windows.

    >>> from stream_monitor.entries import Source
    >>> def source(p: int, mark: int, idle: bool, at: int, active: int) -> SourceState:
    ...     return SourceState(Source("t", "id", p, 0), 1, 10, mark, idle, 2, at, active)
    >>> model_watermark({"t/0": source(0, 100, False, 7, 7)}, ["t"]) is None
    True
    >>> model_watermark({"t/0": source(0, 100, False, 7, 7), "t/1": source(1, 40, False, 7, 7)}, ["t"])
    40
    >>> model_watermark({"t/0": source(0, 100, False, 9, 9), "t/1": source(1, 40, True, 7, 2)}, ["t"]) is None
    True
    >>> model_watermark({"t/0": source(0, 100, False, 9, 9), "t/1": source(1, 40, True, 9, 2)}, ["t"])
    100
    >>> model_watermark({"t/0": source(0, 100, True, 90, 60), "t/1": source(1, 40, True, 95, 20)}, ["t"])
    130
    """
    heard: list[SourceState] = []
    for topic in topics:
        mine = partitions_of(sources, topic)
        if not mine:
            return None
        if len(mine) < max(s.partitions for s in mine):
            return None
        heard += mine
    silent_until = min((s.at_ms for s in heard if s.idle), default=None)
    busy = [s.watermark_ms if silent_until is None else s.mark_at(silent_until) for s in heard if not s.idle]
    if busy:
        known = [w for w in busy if w is not None]
        return min(known) if len(known) == len(busy) else None
    leaders = [(s.watermark_ms, s.active_ms) for s in heard if s.watermark_ms is not None]
    if not leaders:
        return None
    watermark, active = max(leaders)
    return watermark + max(0, min(s.at_ms for s in heard) - active)
