"""Events as columns: what a poll of one source partition becomes before it is counted.

There is no object per event: a batch holds arrays, and its bookkeeping (offsets, times) travels inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from stream_monitor.blobs import Values
from stream_monitor.counting.scores import ClassScores
from stream_monitor.entries import Source
from stream_monitor.interfaces import Label, Prediction

Integers = NDArray[np.int64]
Codes = NDArray[np.int32]
Floats = NDArray[np.float64]
Kinds = NDArray[np.uint8]

# What a value is, whatever the column it stands in is counted as.
NUMBER, TEXT, BOOL, MISSING, NESTED, NONFINITE = range(6)

Headers = Sequence[tuple[str, bytes | None]]

Mode = Literal["numeric", "categorical", "text", "raw"]  # text: its length in characters, as a number


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Records:
    """Values of consecutive records of one source partition, in offset order; offsets may have holes."""

    values: Sequence[bytes | None]
    timestamps_ms: Integers  # Kafka timestamps; negative where there is none
    offsets: Integers
    headers: Sequence[Headers] | None = None  # there only for formats that read them

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: Integers) -> Records:
        """Some of the records, by their places."""
        values = self.values
        return replace(
            self,
            values=values.take(index) if isinstance(values, Values) else [values[i] for i in index.tolist()],
            timestamps_ms=self.timestamps_ms[index],
            offsets=self.offsets[index],
            headers=None if self.headers is None else [self.headers[i] for i in index.tolist()],
        )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """The record at `index` of its Records cannot be read; `reason` is one of the contract's."""

    index: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """The values of one column, decoded as far as its counting needs.

    `numbers` are meant where kind is NUMBER (0.0 elsewhere). `codes` point into `words`, -1 where a value has no word:
    in mode "categorical" every value but missing and nested ones has one, in mode "raw" texts and booleans have.
    """

    name: str
    kinds: Kinds
    numbers: Floats  # empty in mode "categorical"
    codes: Codes  # empty in modes "numeric" and "text"
    words: tuple[str, ...] = ()

    def take(self, rows: NDArray[Any]) -> Column:
        """The column of some rows, by a mask or by positions."""
        return Column(
            name=self.name,
            kinds=self.kinds[rows],
            numbers=self.numbers[rows] if len(self.numbers) else self.numbers,
            codes=self.codes[rows] if len(self.codes) else self.codes,
            words=self.words,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Valid events of one source partition, in offset order.

    `features` and `predictions` are there to be counted, decoded as the layout asks. `prediction`, `label` and `score`
    are there for the outcome, decoded "raw"; a multiclass `score` is the greatest probability, and `class_scores` has
    what the event said of the classes. `ids` is None unless labels are joined by id.
    """

    times_ms: Integers
    offsets: Integers
    versions: tuple[str, ...]
    version_codes: Codes
    ids: list[str] | None
    features: tuple[Column, ...]
    predictions: tuple[Column, ...]
    prediction: Column | None
    score: Column | None
    class_scores: ClassScores | None
    label: Column | None
    latency: Column | None
    segments: Mapping[str, Column]  # dimension -> its values, decoded "categorical"
    places: Integers | None = None  # of each event in its record, where a record may hold several
    schema_ids: Integers | None = None  # of each event, where the format names a schema

    def __len__(self) -> int:
        return len(self.times_ms)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelBatch:
    """Valid label events of one source partition, in offset order. A boolean label is 1.0 or 0.0."""

    times_ms: Integers
    offsets: Integers
    ids: list[str]
    labels: list[float | str]
    places: Integers | None = None  # as in Batch

    def __len__(self) -> int:
        return len(self.times_ms)


def positions(source: Source, offsets: Integers, places: Integers | None) -> list[str]:
    """Where each event stands, in one text: the same whenever it is read again, another for a topic made anew.

    The first event of a record is called as if it were alone, so that it does not matter what was read beside it.

    >>> positions(Source("fraud.predictions", "id1", 2, 0), np.array([17, 17]), np.array([0, 1]))
    ['fraud.predictions@id1/2/17', 'fraud.predictions@id1/2/17:1']
    """
    at = f"{source.topic}@{source.topic_id}/{source.partition}/"
    if places is None:
        return [f"{at}{offset}" for offset in offsets.tolist()]
    both = zip(offsets.tolist(), places.tolist(), strict=True)
    return [f"{at}{offset}:{place}" if place else f"{at}{offset}" for offset, place in both]


def scalar(column: Column, row: int) -> float | str | None:
    """The value of a "raw" column at `row` as the label join keeps it: booleans as 1.0 and 0.0, None if unusable."""
    kind = column.kinds[row]
    if kind == NUMBER:
        return float(column.numbers[row])
    if kind == TEXT:
        return column.words[int(column.codes[row])]
    if kind == BOOL:
        return 1.0 if column.words[column.codes[row]] == "true" else 0.0
    return None


def labels_of(batch: LabelBatch, source: Source) -> list[Label]:
    """The label events of a batch, for the label store."""
    where = positions(source, batch.offsets, batch.places)
    return [
        Label(id=id_, position=position, time_ms=time, label=label)
        for id_, position, time, label in zip(batch.ids, where, batch.times_ms.tolist(), batch.labels, strict=True)
    ]


def predictions_of(batch: Batch, source: Source, segments: list[tuple[str, ...]]) -> list[Prediction]:
    """The predictions of a batch, for the label store; `segments` per event, as panes.segments_of gives them."""
    assert batch.ids is not None
    where = positions(source, batch.offsets, batch.places)
    nothing: list[Any] = [None] * len(batch)
    predictions = values_of(batch.prediction) if batch.prediction is not None else nothing
    scores: list[Any] = values_of(batch.score) if batch.score is not None else nothing
    if batch.class_scores is not None:
        scores = [score if said is None else said for said, score in zip(batch.class_scores, scores, strict=True)]
    versions = [batch.versions[c] for c in batch.version_codes.tolist()]
    return [
        Prediction(id=id_, position=position, time_ms=time, version=version, segments=s, prediction=p, score=score)
        for id_, position, time, version, s, p, score in zip(
            batch.ids, where, batch.times_ms.tolist(), versions, segments, predictions, scores, strict=True
        )
    ]


def values_of(column: Column) -> list[float | str | None]:
    """All values of a "raw" column, as `scalar` gives them."""
    if (column.kinds == NUMBER).all():
        return list(column.numbers.tolist())
    return [scalar(column, row) for row in range(len(column.kinds))]


NO_CODES: Final = np.zeros(0, np.int32)
NO_NUMBERS: Final = np.zeros(0, np.float64)
