"""What is looked at in labels: what the score got wrong, and for whom."""

from __future__ import annotations

from typing import Final

import numpy as np

from detectors.layouts import (
    LABELS,
    NEGATIVE_SCORES,
    POSITIVE_SCORES,
    RESIDUAL_HEAD,
    RESIDUAL_SQUARES,
    RESIDUAL_SUM,
    RESIDUALS,
    SCORE_BINS,
    Layout,
)
from detectors.scan.columns import orthogonal_scores
from detectors.scan.functionals import Component, Floats, Rows
from detectors.scan.products import ranks

CALIBRATION_GROUPS: Final = 20  # of the score, for P(label | score)
LEAST_VARIANCE: Final = 1e-12


def calibration(rows: Rows, total: Floats) -> None:
    """Labels against what the score said: sum of (label - P(label | score)), alone and times the score's rank."""
    bins = np.arange(SCORE_BINS)
    positive, negative = total[POSITIVE_SCORES + bins], total[NEGATIVE_SCORES + bins]
    both = positive + negative
    events = float(both.sum())
    if not events or not positive.sum() or not negative.sum():
        return
    until = np.cumsum(both)
    group = np.minimum(((until - both / 2) / events * CALIBRATION_GROUPS).astype(np.int64), CALIBRATION_GROUPS - 1)
    rate = (
        np.bincount(group, positive, CALIBRATION_GROUPS) / np.maximum(np.bincount(group, both, CALIBRATION_GROUPS), 1)
    )[group]
    cells = np.concatenate([POSITIVE_SCORES + bins, NEGATIVE_SCORES + bins])
    scores = np.vstack([np.ones(SCORE_BINS), orthogonal_scores(both, 2)])
    masses = np.concatenate([positive, negative]) / events
    for k, words in enumerate(("bias", "calibration", "calibration in the middle")[: len(scores)]):
        weights = np.concatenate([(1 - rate) * scores[k], -rate * scores[k]])
        variance = float(masses @ weights**2)
        if variance <= LEAST_VARIANCE:  # scores that have always been right: nothing is left to compare
            continue
        rows.add(
            Component(
                group="labels", columns=("label residual",), words=words, kind="score", per="labels", unit=variance,
                third=float(masses @ weights**3) / variance**1.5, fourth=float(masses @ weights**4) / variance**2 - 3,
            ),
            cells, weights,
        )  # fmt: skip


def residuals(rows: Rows, layout: Layout, total: Floats, events: int) -> None:
    """Products of the label's residual with ranks and categories: whether the model errs more for some events."""
    at = layout.residual_offset
    if not layout.residual or total[at + RESIDUALS] < total[LABELS] or not total[at + RESIDUALS]:
        return
    count = total[at + RESIDUALS]
    scale = float(np.sqrt(max(total[at + RESIDUAL_SQUARES] / count - (total[at + RESIDUAL_SUM] / count) ** 2, 1e-300)))
    of = ranks(layout, total, events)
    if layout.residual != "score":  # else the calibration by score says it
        component = Component(
            group="labels", columns=("label residual",), words="bias", kind="score", per="labels", unit=float("nan")
        )
        rows.add(component, np.array([at + RESIDUAL_SUM]), np.array([1 / scale]))
    for k, (name, category) in enumerate(layout.residual_features):
        cell = np.array([at + RESIDUAL_HEAD + k])
        if category is None:
            if of[name].spread <= 0:
                continue
            cells = np.append(cell, at + RESIDUAL_SUM)
            weights = np.array([1.0, -of[name].mean]) / (scale * of[name].spread)
            words = f"by {name}"
        else:
            cells, weights, words = cell, np.array([1 / scale]), f"of {name} {category}"
        rows.add(
            Component(
                group="labels",
                columns=("label residual",),
                words=words,
                kind="score",
                per="labels",
                unit=float("nan"),
            ),
            cells,
            weights,
        )
