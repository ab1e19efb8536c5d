"""A stream as the service counts it: layout learnt from the reference, panes of some events each, by segment.

The index of an event stands for its time, one millisecond an event; the stream goes on where the reference ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors import learning
from detectors.counts import Counts
from detectors.layouts import (
    Layout,
)
from stream_monitor.config import Model
from stream_monitor.counting.batches import MISSING, NUMBER, TEXT, Batch, Column
from stream_monitor.counting.panes import grouping
from stream_monitor.counting.tallies import tally
from tests.evaluation.make_streams import CAT, Stream

SEGMENTS: Final = tuple(CAT)
Series = dict[str, list[tuple[int, Counts]]]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Panes of the reference and of the stream: segment -> (start_ms, counts) in order of time."""

    layout: Layout
    reference: Series
    stream: Series


def counted(reference: Stream, stream: Stream, pane_events: int, segments: tuple[str, ...] = SEGMENTS) -> Counted:
    """Count both, as a tap would."""
    model = Model(topic=("t",), task="binary", positive=1, segments=segments, max_segments=100)
    before, after = batch(reference, 0, segments), batch(stream, len(reference), segments)
    layout = layout_of(before, pane_events)
    return Counted(
        layout=layout,
        reference=panes(before, layout, model),
        stream=panes(after, layout, model),
    )


def batch(stream: Stream, start: int, segments: tuple[str, ...]) -> Batch:
    """The events as a decoder gives them."""
    n = len(stream)
    features = [_numbers(name, stream.x[:, j]) for j, name in enumerate(stream.numeric)]
    words = {name: _words(name, codes, stream.names[name]) for name, codes in stream.cat.items()}
    score, label = _numbers("score", stream.score), _numbers("label", stream.label.astype(np.float64))
    prediction = _numbers("prediction", stream.prediction.astype(np.float64))
    at = start + np.arange(n, dtype=np.int64)
    return Batch(
        times_ms=at, offsets=at, versions=("",), version_codes=np.zeros(n, np.int32), ids=None,
        features=(*features, *words.values()), predictions=(prediction, score),
        prediction=prediction, score=score, class_scores=None, label=label, latency=None,
        segments={s: words[s] for s in segments},
    )  # fmt: skip


def layout_of(reference: Batch, pane_ms: int) -> Layout:
    """The layout that is learnt from these events."""

    def learnt(column: Column) -> Any:
        counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.words)).tolist()
        numbers = column.numbers[column.kinds == NUMBER] if len(column.numbers) else np.zeros(0)
        words = {w: int(c) for w, c in zip(column.words, counts, strict=False) if c}
        return learning.from_values(numbers=numbers, words=words, declared=None)

    return Layout(
        pane_ms=pane_ms,
        features={c.name: learnt(c) for c in reference.features},
        predictions={c.name: learnt(c) for c in reference.predictions},
        residual="score",
    )


def panes(events: Batch, layout: Layout, model: Model) -> Series:
    """Counts by segment and pane."""
    found = grouping(events, events.times_ms // layout.pane_ms * layout.pane_ms, layout, model)
    counts = tally(events, layout, model, found.groups)
    series: Series = {}
    for (_, segment, start), pane in sorted(zip(found.keys, counts, strict=True), key=lambda pair: pair[0]):
        series.setdefault(segment, []).append((start, pane))
    return series


def _numbers(name: str, values: Floats) -> Column:
    missing = np.isnan(values)
    return Column(
        name=name, kinds=np.where(missing, MISSING, NUMBER).astype(np.uint8), numbers=np.where(missing, 0.0, values),
        codes=np.zeros(0, np.int32),
    )  # fmt: skip


def _words(name: str, codes: NDArray[np.int16], names: list[str]) -> Column:
    return Column(
        name=name, kinds=np.where(codes < 0, MISSING, TEXT).astype(np.uint8), numbers=np.zeros(0),
        codes=codes.astype(np.int32), words=tuple(names),
    )  # fmt: skip
