"""What labels say of predictions, as cells (the outcome cells of detectors/layouts.py).

LABELS counts the labels whose outcome can be told. Classes are compared as text, numbers by value: 1, 1.0, "1" and
true are one class. Without a prediction a binary one is taken to be positive from a score of 0.5 on, and one of several
classes to be that of the greatest probability. For multiclass the score histograms hold the greatest probability, as
"positive" where the prediction was right; SCORED counts those whose class has a probability. All sums are exact.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors import layouts as at
from detectors.kernels import Cells, Floats, Groups, add_cells, add_sums, log
from stream_monitor.config import Model
from stream_monitor.counting.batches import BOOL, NUMBER, TEXT, Column
from stream_monitor.counting.classes import of_labels
from stream_monitor.counting.scores import ClassScores

CLIP: Final = 1e-15  # of a probability inside a logarithm
_GREATEST: Final = np.finfo(np.float64).max
_SQUARABLE: Final = 1e150

Mask = NDArray[np.bool_]


def class_name(value: str | float) -> str:
    """A class as text, however it was written.

    >>> [class_name(v) for v in (1, 1.0, True, "1", 0.5, "b")]
    ['1', '1', '1', '1', '0.5', 'b']
    """
    if isinstance(value, str):
        return value
    number = float(value)
    return str(int(number)) if number.is_integer() else repr(number)


def classes(column: Column, known: dict[str, int]) -> NDArray[np.int64]:
    """Class codes, -1 where there is no class; `known` grows."""
    codes = np.full(len(column.kinds), -1, np.int64)
    numbers = column.kinds == NUMBER
    if numbers.any():
        distinct, inverse = np.unique(column.numbers[numbers], return_inverse=True)
        table = np.array([known.setdefault(class_name(x), len(known)) for x in distinct.tolist()], np.int64)
        codes[numbers] = table[inverse]
    for kind in (TEXT, BOOL):
        rows = np.flatnonzero(column.kinds == kind)
        if len(rows):
            words = [w if kind == TEXT else "1" if w == "true" else "0" for w in column.words]
            used = np.unique(column.codes[rows])
            table = np.zeros(len(words), np.int64)
            table[used] = [known.setdefault(words[c], len(known)) for c in used.tolist()]
            codes[rows] = table[column.codes[rows]]
    return codes


def add_outcomes(
    cells: Cells,
    groups: Groups,
    model: Model,
    *,
    label: Column,
    prediction: Column | None,
    score: Column | None,
    class_scores: ClassScores | None,
    delay_seconds: Floats | None = None,
) -> None:
    """Add what each label says; events without a label add nothing. `groups` as in detectors/kernels.py."""
    labelled = np.isin(label.kinds, (NUMBER, TEXT, BOOL))
    if not labelled.any():
        return
    told = _Told(cells, groups)
    if model.task == "regression":
        labelled &= label.kinds == NUMBER
        if prediction is not None:
            labelled &= prediction.kinds == NUMBER
            _regression(told, labelled, label.numbers, prediction.numbers)
    elif model.task == "binary":
        labelled = _binary(told, model, labelled, label, prediction, score)
    elif model.task == "multiclass":
        labelled = _multiclass(told, labelled, label, prediction, score, class_scores)
    told.count(labelled, at.LABELS)
    if delay_seconds is not None:
        told.sum(labelled, at.LABEL_DELAY, delay_seconds)


class _Told:
    """Where the events' outcomes go."""

    def __init__(self, cells: Cells, groups: Groups) -> None:
        self.cells, self.groups = cells, groups

    def count(self, rows: Mask, cell: int | NDArray[np.int64]) -> None:
        add_cells(self.cells, self.groups, np.where(rows, cell, -1).astype(np.int32))

    def sum(self, rows: Mask, first: int, numbers: Floats) -> None:
        numbers = np.clip(np.where(rows, numbers, 0.0), -_GREATEST, _GREATEST)
        for group in self.groups:
            add_sums(self.cells, first, np.where(rows, group, np.int32(-1)), numbers)


def _regression(told: _Told, rows: Mask, label: Floats, prediction: Floats) -> None:
    with np.errstate(over="ignore"):  # a square beyond every double counts as the greatest
        error = np.clip(prediction - label, -_GREATEST, _GREATEST)
        told.sum(rows, at.ERROR, error)
        told.sum(rows, at.ABSOLUTE_ERROR, np.abs(error))
        told.sum(rows, at.SQUARED_ERROR, error * error)
        told.sum(rows, at.LABEL_VALUE, label)
        for part in _square(np.where(rows, label, 0.0)):
            told.sum(rows, at.LABEL_SQUARE, part)
        nonzero = rows & (label != 0.0)
        relative = np.abs(error) / np.where(nonzero, np.abs(label), 1.0)
        told.count(nonzero, at.NONZERO_LABELS)
        told.sum(nonzero, at.RELATIVE_ERROR, relative)
        told.sum(nonzero, at.RELATIVE_SQUARE, relative * relative)
        either = np.abs(prediction / 2) + np.abs(label / 2)  # halves, whose sum is a double
        symmetric = 2 * np.abs(prediction / 2 - label / 2) / np.where(either > 0.0, either, 1.0)
        told.sum(rows, at.SYMMETRIC_ERROR, symmetric)
        told.sum(rows, at.SYMMETRIC_SQUARE, symmetric * symmetric)


def _square(x: Floats) -> tuple[Floats, Floats]:
    """x^2 as two doubles whose sum it is exactly; numbers beyond 1e150 are taken as that.

    Dekker 1971, Numer. Math. 18: the halves of the mantissa, multiplied apart.

    >>> high, low = _square(np.array([1e9 + 1.0, 2.0**27 + 1.0]))
    >>> [int(h) + int(l) for h, l in zip(high.tolist(), low.tolist())] == [(10**9 + 1) ** 2, (2**27 + 1) ** 2]
    True
    """
    x = np.clip(x, -_SQUARABLE, _SQUARABLE)
    carried = x * 134_217_729.0
    high = carried - (carried - x)
    low = x - high
    square = x * x
    rest: Floats = ((high * high - square) + 2.0 * high * low) + low * low
    return square, rest


def probability(score: Column | None, rows: Mask) -> Mask:
    """Which of `rows` have a score that is a probability."""
    if score is None:
        return np.zeros(len(rows), np.bool_)
    found: Mask = rows & (score.kinds == NUMBER) & (score.numbers >= 0.0) & (score.numbers <= 1.0)
    return found


def _scored(told: _Told, rows: Mask, probability: Floats, positive: Mask) -> None:
    """The score histograms: bin i of [i, i + 1) / SCORE_BINS."""
    inside = np.where(rows, probability, 0.0)
    bins = np.minimum((inside * at.SCORE_BINS).astype(np.int64), at.SCORE_BINS - 1)
    told.count(rows, np.where(positive, at.POSITIVE_SCORES, at.NEGATIVE_SCORES) + bins)


def _binary(
    told: _Told, model: Model, labelled: Mask, label: Column, prediction: Column | None, score: Column | None
) -> Mask:
    known = {class_name(model.positive): 0}
    actual = classes(label, known) == 0
    if prediction is not None:
        guess = classes(prediction, known)
        labelled = labelled & (guess >= 0)
        decided, claimed = labelled, guess == 0
    else:
        decided = labelled = probability(score, labelled)
        claimed = score.numbers >= 0.5 if score is not None else decided
    told.count(decided & (actual == claimed), at.CORRECT)
    cell = np.where(actual, np.where(claimed, at.TP, at.FN), np.where(claimed, at.FP, at.TN))
    told.count(decided, cell)
    scored = probability(score, labelled)
    if score is not None and scored.any():
        p = np.where(scored, score.numbers, 0.5)
        told.count(scored, at.SCORED)
        _scored(told, scored, p, actual)
        right = np.clip(np.where(actual, p, 1.0 - p), CLIP, 1.0 - CLIP)
        told.sum(scored, at.LOG_LOSS, -log(right))
        off = p - actual
        told.sum(scored, at.SQUARED_SCORE_ERROR, off * off)
    return labelled


def _multiclass(
    told: _Told,
    labelled: Mask,
    label: Column,
    prediction: Column | None,
    score: Column | None,
    class_scores: ClassScores | None,
) -> Mask:
    known: dict[str, int] = {}
    actual = classes(label, known)
    right, decided = np.zeros(len(labelled), np.bool_), np.zeros(len(labelled), np.bool_)
    if prediction is not None:
        guess = classes(prediction, known)
        labelled = decided = labelled & (guess >= 0)
        right = labelled & (guess == actual)
    scored = probability(score, labelled)
    if class_scores is not None and score is not None:
        each, given, squares = of_labels(class_scores, scored, actual, list(known))
        told.count(each, at.SCORED)
        told.sum(each, at.LOG_LOSS, -log(np.clip(given, CLIP, 1.0 - CLIP)))
        told.sum(each, at.SQUARED_SCORE_ERROR, squares)
        if prediction is None:
            decided, right = each, each & (given >= score.numbers)
    told.count(right, at.CORRECT)
    if score is not None and scored.any():
        _scored(told, scored if prediction is not None else decided, score.numbers, right)
    return decided
