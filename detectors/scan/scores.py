"""Windows against expectations: z of every component at one scale, for one look or for many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.scan.units import LEAST_EVENTS, Unit
from detectors.tails import deviance_root, hotelling_tail, student_tail

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

UNEVEN: Final = 1.25  # bursts of events are not all of one size: their counts have heavier tails than count / VIF


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """Of windows of one scale: (windows, components)."""

    z: Floats  # 0 where there are too few effective events
    effective: Floats  # effective events
    deviation: Floats  # of the sum from its expectation, per event


def scores(
    unit: Unit, sums: Floats, exposures: Floats, scale: int | Integers, some: Integers | slice = slice(None)
) -> Scores:
    """z of window sums (windows, components) with exposures (2, windows, K), at the scale number `scale`, or one each.

    With `some` only of these components, whose columns `sums` then has.
    """
    per, share = unit.per[some], unit.share[some]
    events = exposures[:, :, 0]  # (2, windows)
    safe = np.maximum(events, 1e-9)
    error = np.einsum("dwk,dkl,dwl->dw", exposures, unit.inverses, exposures) / safe**2
    expected = exposures[0] @ unit.coefficients[:, some]
    if per.any():
        expected = np.where((per == 0)[None, :], expected, exposures[1] @ unit.coefficients[:, some])
    n = np.ascontiguousarray(safe[per].T)  # (windows, components), as all others: one order in memory
    relative = np.where(unit.seasonal[some][None, :], error.T[:, per], unit.flat[per][None, :])
    own = np.ascontiguousarray(np.atleast_2d(unit.inflation[some][:, scale].T))
    all_ = unit.inflation[some, -1][None, :]
    excess = unit.excess[some][None, :]
    effective = n / (excess * own)
    deviation = sums - expected
    with np.errstate(invalid="ignore", divide="ignore"):
        z = deviation / np.sqrt(unit.variance[some][None, :] * (n * own + n**2 * relative * all_))
    if share.any():
        k = np.flatnonzero(share)
        vif, vif_all = (excess * own)[:, k], (excess * all_)[:, k]
        vif = (UNEVEN - (UNEVEN - 1) / vif) * vif
        m = 1 / (np.maximum(relative[:, k], 1e-300) * vif_all)  # no events have no error
        p = np.clip(expected[:, k] / n[:, k], 0.0, 1.0)
        z[:, k] = deviance_root(sums[:, k] / vif, n[:, k] / vif, p * m, m)
    z = np.where((effective >= LEAST_EVENTS) & np.isfinite(z), z, 0.0)
    return Scores(z=z, effective=effective, deviation=deviation / n)


def p_values(unit: Unit, z: Floats, effective: Floats, some: Integers, scale: int | Integers) -> Floats:
    """Two-sided p-values of some z of components `some`, at the scale number `scale`, element by element."""
    share = unit.share[some]
    root = 1 / np.sqrt(np.maximum(effective, 1.0))
    third = np.where(share, 0.0, unit.third[some, scale] * root)
    fourth = np.where(share, 0.0, unit.fourth[some, scale] * root**2)
    return student_tail(z, unit.df[some, scale], third, fourth)


def joint_t2(unit: Unit, sums: Floats, exposures: Floats, scale: int) -> Floats:
    """T^2 of windows, from their sums over all components; 0 where there are too few effective events."""
    joint = unit.joint[scale]
    assert joint is not None
    n = np.maximum(exposures[0, :, 0], 1e-9)
    error = np.einsum("wk,kl,wl->w", exposures[0], unit.inverses[0], exposures[0]) / n**2
    deviation = sums[:, joint.of] - exposures[0] @ unit.coefficients[:, joint.of]
    own = joint.inflation[:, scale][None, :]
    all_ = joint.inflation[:, -1][None, :]
    z = (deviation @ joint.weights) / np.sqrt(n[:, None] * own + (n**2 * error)[:, None] * all_)
    vif = unit.excess[joint.of] * unit.inflation[joint.of, scale]
    enough = n / vif.mean() >= LEAST_EVENTS
    return np.asarray(np.where(enough, (z**2).sum(axis=1), 0.0), np.float64)


def joint_p(unit: Unit, t2: Floats, scale: int) -> Floats:
    """P-values of T^2."""
    joint = unit.joint[scale]
    assert joint is not None
    return hotelling_tail(t2 / joint.stretch[scale], joint.weights.shape[1], joint.df)
