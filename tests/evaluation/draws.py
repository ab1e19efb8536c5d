"""The generator's streams, drawn faster: the recursion of its autoregression runs in compiled code.

Bit for bit what `make_streams.make` gives (`test_draws.py`), which is kept as it came.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from tests.evaluation import make_streams
from tests.evaluation.make_streams import RHO, Stream


def draw(
    scenario: str, seed: int, n: int, n_ref: int, *, size: str = "medium", on: str | None = None
) -> tuple[Stream, Stream]:
    """Reference and stream."""
    plain = make_streams.latent
    make_streams.latent = _latent
    try:
        make: Any = make_streams.make  # kept as it came, without types
        found: tuple[Stream, Stream] = make(scenario, seed, n, n_ref, size=size, on_top_of=on)
    finally:
        make_streams.latent = plain
    return found


def _latent(n: int, r: np.random.Generator, flip: Any = None, ar: float = 0.0) -> NDArray[np.float64]:
    """16 correlated normal columns, as `make_streams.latent` makes them."""
    g, e = r.normal(size=(n, 4)), r.normal(size=(n, 16))
    if ar:
        for a in (g, e):
            a[1:] *= np.sqrt(1 - ar * ar)
        g, e = (lfilter([1.0], [1.0, -ar], a, axis=0) for a in (g, e))
    z = np.empty((n, 16))
    for column in range(16):
        block = column // 4
        shared = np.sqrt(RHO[block]) * g[:, block]
        if flip is not None and block == 3 and column % 4 >= 2:
            shared = np.where(flip, -1.0, 1.0) * np.sqrt(RHO[block]) * g[:, block]
        z[:, column] = shared + np.sqrt(1 - RHO[block]) * e[:, column]
    return z
