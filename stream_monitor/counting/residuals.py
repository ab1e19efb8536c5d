"""How far a label is from what the model said, as an integer (the residual cells of detectors/layouts.py)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import RESIDUAL_SIGN, RESIDUAL_UNIT, Layout, NumericLayout
from stream_monitor.config import Model
from stream_monitor.counting.batches import BOOL, NUMBER, TEXT, Column
from stream_monitor.counting.outcomes import class_name, classes, probability

Mask = NDArray[np.bool_]
Residuals = NDArray[np.int32]


def residuals(
    model: Model, layout: Layout, label: Column, prediction: Column | None, score: Column | None
) -> tuple[Mask, Residuals]:
    """Which events have a residual, and the residuals, 0 where there is none; all columns are decoded "raw"."""
    known: Mask = np.isin(label.kinds, (NUMBER, TEXT, BOOL))
    none = np.zeros(len(known), np.bool_), np.zeros(len(known), np.int32)
    if layout.residual == "score":
        if score is None:
            return none
        known = probability(score, known)
        truth = classes(label, {class_name(model.positive): 0}) == 0
        found = np.rint(RESIDUAL_UNIT * (truth - score.numbers))
    elif prediction is None:
        return none
    elif layout.residual == "correct":
        names: dict[str, int] = {}
        truth, guess = classes(label, names), classes(prediction, names)
        known &= guess >= 0
        found = RESIDUAL_UNIT * (truth != guess).astype(np.float64)
    else:
        known &= (label.kinds == NUMBER) & (prediction.kinds == NUMBER)
        found = _off(layout, label.numbers, prediction.numbers)
    return known, np.where(known, found, 0.0).astype(np.int32)


def _off(layout: Layout, label: NDArray[np.float64], prediction: NDArray[np.float64]) -> NDArray[np.float64]:
    of = layout.predictions.get("prediction")
    if not isinstance(of, NumericLayout):
        return RESIDUAL_SIGN * ((label > prediction).astype(np.float64) - (label < prediction))
    edges = np.array(of.edges)
    bins = np.searchsorted(edges, label, side="right") - np.searchsorted(edges, prediction, side="right")
    return bins.astype(np.float64)
