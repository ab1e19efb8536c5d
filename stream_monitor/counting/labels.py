"""Labels that come in a topic of their own: joined to predictions by id, in the tap.

    prediction -> remembered ------------------> + label: counted, by the label's block
    label      -> no prediction yet: waits ----> + prediction: counted, by the prediction's block

Whichever comes second makes the pair, and the store gives the same answer to a block that is made again. A pair counts
at the label's time, under the prediction's version and segments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import Layout
from stream_monitor.config import Model, Time
from stream_monitor.counting.batches import Batch, LabelBatch, labels_of, predictions_of
from stream_monitor.counting.panes import count_joined, late_bounds, reached, segments_of
from stream_monitor.entries import PaneRecord, Source
from stream_monitor.errors import Unreachable
from stream_monitor.interfaces import Joined, LabelStore


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCounts:
    """What a block of labels adds. Late labels are counted late and not kept: they can be in no window."""

    panes: list[PaneRecord]
    max_time_ms: int | None
    late: int
    answers: dict[str, int]  # joined, waiting, duplicate, conflict


def remember(
    store: LabelStore, batch: Batch, source: Source, layout: Layout | None, name: str, model: Model
) -> tuple[list[PaneRecord], int]:
    """Keep the predictions of a batch for their labels; the counts of those whose label was already there, and how many
    they are."""
    if model.labels is None or not len(batch):
        return [], 0
    rows = predictions_of(batch, source, segments_of(batch, layout, model))
    with _reaching():
        answers = store.predictions(name, rows, model.labels.ttl)
    pairs = [(pair, offset) for pair, offset in zip(answers, batch.offsets.tolist(), strict=True) if pair is not None]
    return count_joined([p for p, _ in pairs], [o for _, o in pairs], layout, name, model), len(pairs)


def join(
    store: LabelStore,
    batch: LabelBatch,
    source: Source,
    layout: Layout | None,
    name: str,
    model: Model,
    time: Time,
    max_time_ms: int | None,
    others: NDArray[np.int64] | None = None,
) -> LabelCounts:
    """Join a batch of labels; `max_time_ms` is the greatest time of the source before it, `others` as in `reached`."""
    assert model.labels is not None
    if not len(batch):
        return LabelCounts(panes=[], max_time_ms=max_time_ms, late=0, answers={})
    greatest = int(batch.times_ms.max())
    late = batch.times_ms < late_bounds(reached(batch.times_ms, max_time_ms, others), time)
    kept = _take(batch, ~late)
    with _reaching():
        answers = store.labels(name, labels_of(kept, source), model.labels.ttl)
    counts: dict[str, int] = {}
    pairs: list[tuple[Joined, int]] = []
    for answer, offset in zip(answers, kept.offsets.tolist(), strict=True):
        if isinstance(answer, Joined):
            pairs.append((answer, offset))
        said = "joined" if isinstance(answer, Joined) else answer
        counts[said] = counts.get(said, 0) + 1
    return LabelCounts(
        panes=count_joined([p for p, _ in pairs], [o for _, o in pairs], layout, name, model),
        max_time_ms=greatest if max_time_ms is None else max(greatest, max_time_ms),
        late=int(late.sum()),
        answers=counts,
    )


def _take(batch: LabelBatch, rows: NDArray[np.bool_]) -> LabelBatch:
    if rows.all():
        return batch
    where = np.flatnonzero(rows).tolist()
    return LabelBatch(
        times_ms=batch.times_ms[rows],
        offsets=batch.offsets[rows],
        ids=[batch.ids[i] for i in where],
        labels=[batch.labels[i] for i in where],
        places=None if batch.places is None else batch.places[rows],
    )


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unreachable(f"label store: {error}") from error
