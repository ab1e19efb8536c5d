"""Single errors out of counts: what detectors of errors are shown of a pane.

A pane knows how many of its events were errors, and not in which order they came. As long as events are independent
every order of them is as likely as any other, so an order drawn at random is one that they might have come in: a
detector raises as many false alarms as on the events themselves, and sees a change at most a pane later. Of a pane with
more than MOST events it is shown about as many: each event is kept with the same probability, whatever it is, so that
those that are kept are independent if all are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from detectors.base import Judgement, Level
from detectors.calibration import effective

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SEED: Final = 0x5EED
MOST: Final = 2_000  # events of a pane that are shown, about


def drawn(events: int, errors: int, seed: int) -> list[float]:
    """1 for an error and 0 for any other event, in an order that follows from the seed alone.

    By sorting the raw numbers of PCG64, which numpy promises never to change.

    >>> sum(drawn(1_000, 30, 7)), drawn(1_000, 30, 7) == drawn(1_000, 30, 7), drawn(2, 2, 0)
    (30.0, True, [1.0, 1.0])
    >>> some = drawn(1_000_000, 500_000, 7)
    >>> 1_800 < len(some) < 2_200, 0.45 < sum(some) / len(some) < 0.55
    (True, True)
    """
    numbers = np.random.PCG64(np.random.SeedSequence([SEED, seed]))
    if events > MOST:
        chance = (numbers.random_raw(2).astype(np.float64) + 0.5) / 2.0**64
        kept = _binomial(chance, np.array([errors, events - errors]), MOST / events)
        events, errors = int(kept.sum()), int(kept[0])
    found = np.zeros(events)
    found[np.argsort(numbers.random_raw(events), kind="stable")[:errors]] = 1.0
    shown: list[float] = found.tolist()
    return shown


def _binomial(chance: Floats, of: Integers, probability: float) -> Integers:
    """The least k with P(K <= k) >= chance, where each of so many things is kept with this probability."""
    below = np.floor(np.nan_to_num(scipy.special.bdtrik(chance, of, probability)))
    k = np.clip(below, 0, of).astype(np.int64)
    return np.asarray(np.where(scipy.special.bdtr(k, of, probability) < chance, np.minimum(k + 1, of), k), np.int64)


def clustering(errors: Sequence[float], events: Sequence[float]) -> float:
    """How many errors come as one: by how much the errors of panes of so many events vary more than independent ones
    would, neighbours that resemble each other counted; at least 1.

    The exponent of a rare event's probability is so many times smaller than for independent events.

    >>> shares = [0.1, 0.2, 0.3, 0.2] * 25  # of variance 0.005; of independent events 0.16 / events
    >>> [round(clustering([s * n for s in shares], [n] * 100), 2) for n in (10, 40, 160)]
    [1.0, 1.25, 5.0]
    """
    wrong, of = np.asarray(errors, np.float64), np.asarray(events, np.float64)
    rate = float(wrong.sum() / of.sum()) if len(of) and of.sum() > 0 else 0.0
    if len(of) < 3 or not 0 < rate < 1:
        return 1.0
    usual = of * rate * (1 - rate)
    apart = wrong - of * rate
    spread = float((apart**2).sum() / usual.sum())
    return max(spread * len(of) / effective(apart / np.sqrt(np.maximum(usual, 1e-300))), 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleErrors:
    """A detector of single errors that judges counts (events, errors), the panes of a series in the order of time.

    A count is DRIFT if any of its events is; `hold`: for so many counts more it stays so. The onset is in events before
    the last one. `detector` has a `run`, and no `hold` of its own.

    >>> from detectors.change.ddm import DDM
    >>> test = SingleErrors.of(DDM(warm_start=600))
    >>> state, before = test.update(test.start(), (2_000, 100))
    >>> state, after = test.update(state, (200, 100))  # the least rate was before them
    >>> before.level.label, after.level.label, after.onset >= 200, test.update(state, (200, 100))[1].level.label
    ('ok', 'drift', True, 'drift')
    """

    detector: Any
    hold: int = 0

    @classmethod
    def of(cls, detector: Any) -> SingleErrors:
        """With its `hold` in counts."""
        return cls(detector=replace(detector, hold=0), hold=detector.hold)

    def start(self) -> Mapping[str, Any]:
        """No event seen."""
        return {"inner": self.detector.start(), "events": 0, "held": 0, "since": 0}

    def update(self, state: Mapping[str, Any], value: Any) -> tuple[Mapping[str, Any], Judgement]:
        """Judge the (events, errors) of the next pane."""
        events, errors = value
        shown = drawn(events, errors, state["events"])
        inner, judgement = self.detector.run(state["inner"], shown)
        held, since = max(state["held"] - 1, 0), state["since"] + events
        if judgement.level is Level.DRIFT:
            held, since = self.hold, round((judgement.onset or 0) * max(1.0, events / max(len(shown), 1)))
            judgement = replace(judgement, onset=since)
        elif state["held"]:
            judgement = Judgement(level=Level.DRIFT, reason=f"changed {since} events ago", onset=since)
        return {"inner": inner, "events": state["events"] + events, "held": held, "since": since}, judgement
