"""Two batches of the same records, some rows in each -> the batch of all, as if it had been decoded at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_monitor.counting.batches import Batch, Codes, Column, Integers, Mode
from stream_monitor.counting.columns import column
from stream_monitor.counting.scores import ClassScores
from stream_monitor.formats.rows import named


def weave(a: Batch, b: Batch, modes: Mapping[str, Mode] | None, derived: int = 0) -> Batch:
    """The rows of both, by offset.

    `modes` not None: the batches may lack features of each other, but for the last ones, `derived` in number.
    """
    order = np.argsort(np.concatenate([a.offsets, b.offsets]), kind="stable")
    codes, versions = _codes(a.version_codes, a.versions, b.version_codes, b.versions, order)
    if modes is None:
        features = tuple(_column(x, y, order) for x, y in zip(a.features, b.features, strict=True))
    else:
        own_a, own_b = len(a.features) - derived, len(b.features) - derived
        of_a, of_b = {c.name: c for c in a.features[:own_a]}, {c.name: c for c in b.features[:own_b]}
        features = tuple(
            _column(
                of_a.get(name) or column(name, [None] * len(a), modes.get(name, "raw")),
                of_b.get(name) or column(name, [None] * len(b), modes.get(name, "raw")),
                order,
            )
            for name in named({*of_a, *of_b})
        )
        features += tuple(_column(x, y, order) for x, y in zip(a.features[own_a:], b.features[own_b:], strict=True))
    return Batch(
        times_ms=np.concatenate([a.times_ms, b.times_ms])[order],
        offsets=np.concatenate([a.offsets, b.offsets])[order],
        versions=versions,
        version_codes=codes,
        ids=_listed(a.ids, b.ids, order),
        features=features,
        predictions=tuple(_column(x, y, order) for x, y in zip(a.predictions, b.predictions, strict=True)),
        prediction=_either(a.prediction, b.prediction, order),
        score=_either(a.score, b.score, order),
        class_scores=_said(a.class_scores, b.class_scores, order),
        label=_either(a.label, b.label, order),
        latency=_either(a.latency, b.latency, order),
        segments={dimension: _column(of, b.segments[dimension], order) for dimension, of in a.segments.items()},
        schema_ids=None if a.schema_ids is None or b.schema_ids is None else _joined(a.schema_ids, b.schema_ids, order),
    )


def _either(a: Column | None, b: Column | None, order: Integers) -> Column | None:
    return None if a is None or b is None else _column(a, b, order)


def _listed(a: list[Any] | None, b: list[Any] | None, order: Integers) -> list[Any] | None:
    if a is None or b is None:
        return None
    both = [*a, *b]
    return [both[i] for i in order.tolist()]


def _said(a: ClassScores | None, b: ClassScores | None, order: Integers) -> ClassScores | None:
    return None if a is None or b is None else a.and_then(b).take(order)


def _joined(a: NDArray[Any], b: NDArray[Any], order: Integers) -> Any:
    both = np.concatenate([a, b])
    return both[order] if len(both) else both


def _column(a: Column, b: Column, order: Integers) -> Column:
    codes, words = _codes(a.codes, a.words, b.codes, b.words, order)
    return Column(
        name=a.name,
        kinds=_joined(a.kinds, b.kinds, order),
        numbers=_joined(a.numbers, b.numbers, order),
        codes=codes,
        words=words,
    )


def _codes(
    a: Codes, words_a: Sequence[str], b: Codes, words_b: Sequence[str], order: Integers
) -> tuple[Codes, tuple[str, ...]]:
    """Codes into the distinct words of both, in order of appearance."""
    known: dict[str, int] = {}
    for word in (*words_a, *words_b):
        known.setdefault(word, len(known))
    table = np.array([*(known[word] for word in words_b), -1], np.int32)
    codes = _joined(a, table[b], order)
    distinct, first = np.unique(codes, return_index=True)
    seen = distinct[np.argsort(first)]
    seen = seen[seen >= 0]
    texts = list(known)
    number = np.full(len(known) + 1, -1, np.int32)
    number[seen] = np.arange(len(seen))
    return number[codes], tuple(texts[i] for i in seen.tolist())
