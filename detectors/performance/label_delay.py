"""How late labels are."""

from __future__ import annotations

import math

from detectors.counts import OutcomeCounts
from detectors.layouts import LABEL_DELAY, LABELS


def label_delay(outcome: OutcomeCounts) -> float:
    """Mean of label time - prediction time, in seconds, from an exact sum; nan without labels.

    0 where labels come in the event itself. Below 0 labels are stamped before their predictions.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[LABELS], cells[LABEL_DELAY:LABEL_DELAY + LIMBS] = 2, float_to_limbs([60.0, 180.0])
    >>> label_delay(OutcomeCounts(rows=2, cells=cells))
    120.0
    """
    labels = int(outcome.cells[LABELS])
    return outcome.total(LABEL_DELAY) / labels if labels else math.nan
