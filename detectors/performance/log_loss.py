"""Logarithmic loss."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import LOG_LOSS, SCORED


def log_loss(outcome: OutcomeCounts) -> float:
    """Mean of -ln(score given to the label) over labelled events with a score, in nats; nan without any.

    The sum is exact; scores were held off 0 and 1 when they were counted, so that one event cannot weigh infinitely.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[SCORED], cells[LOG_LOSS:LOG_LOSS + LIMBS] = 2, float_to_limbs([0.25, 0.5])
    >>> log_loss(OutcomeCounts(rows=2, cells=cells))
    0.375
    """
    scored = int(outcome.cells[SCORED])
    return outcome.total(LOG_LOSS) / scored if scored else float("nan")
