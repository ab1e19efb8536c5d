"""Sparse matrices in little room, and counts times two of them: compiled by numba where it is there, else by scipy.

A worker holds two for each of its models, and multiplies hundreds of panes by them whenever a window closes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from detectors.compiling import compiled, engine

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NARROW: Final = 1 << 16  # columns whose numbers fit two bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matrix:
    """Compressed rows: those of row i are `data[starts[i]:starts[i + 1]]`, in the columns `columns` of the same places.

    >>> some = Matrix.of(csr_array([[0.0, 2.0], [3.0, 0.0]]))
    >>> some.columns.tolist(), some.csr.toarray().tolist(), some.rows, some.width
    ([1, 0], [[0.0, 2.0], [3.0, 0.0]], 2, 2)
    """

    data: Floats
    columns: NDArray[Any]  # of two bytes each where they suffice
    starts: NDArray[np.int32]
    width: int

    @classmethod
    def of(cls, matrix: csr_array) -> Matrix:
        """The same numbers in the same order."""
        kind = np.uint16 if matrix.shape[1] <= NARROW else np.int32
        return cls(
            data=matrix.data,
            columns=matrix.indices.astype(kind),
            starts=matrix.indptr.astype(np.int32),
            width=matrix.shape[1],
        )

    @property
    def rows(self) -> int:
        return len(self.starts) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.data.nbytes + self.columns.nbytes + self.starts.nbytes

    @property
    def csr(self) -> csr_array:
        """As scipy knows it."""
        return csr_array((self.data, self.columns.astype(np.int32), self.starts), shape=(self.rows, self.width))


def _times_loop(
    out: Floats,
    values: Floats,
    cells: NDArray[np.int32],
    starts: Integers,
    a_data: Floats,
    a_columns: NDArray[Any],
    a_starts: NDArray[np.int32],
    b_data: Floats,
    b_columns: NDArray[Any],
    b_starts: NDArray[np.int32],
) -> None:
    width = a_columns.max() + 1 if len(a_columns) else 0
    sums = np.zeros(width)
    seen = np.zeros(width, np.bool_)
    touched = np.empty(width, np.int64)
    for i in range(out.shape[0]):
        n = 0
        for at in range(starts[i], starts[i + 1]):
            value, cell = values[at], cells[at]
            for k in range(a_starts[cell], a_starts[cell + 1]):
                column = a_columns[k]
                if not seen[column]:
                    seen[column] = True
                    touched[n] = column
                    n += 1
                sums[column] += value * a_data[k]
        for t in range(n - 1, -1, -1):  # the last one first, as scipy has it: so the last bits are the same
            column = touched[t]
            for k in range(b_starts[column], b_starts[column + 1]):
                out[i, b_columns[k]] += sums[column] * b_data[k]
            sums[column] = 0.0
            seen[column] = False


_times = compiled()(_times_loop)


def times(values: Floats, cells: NDArray[Any], starts: NDArray[Any], a: Matrix, b: Matrix) -> Floats:
    """Rows of `values` in the columns `cells`, row i at [starts[i], starts[i + 1]), times `a`, times `b`: dense.

    >>> swap = Matrix.of(csr_array([[0.0, 1.0], [1.0, 0.0]]))
    >>> times(np.array([2.0, 3.0]), np.array([0, 1]), np.array([0, 1, 2]), swap, Matrix.of(csr_array([[5.0], [7.0]])))
    array([[14.],
           [15.]])
    """
    rows = len(starts) - 1
    if engine() == "numpy":
        counts = csr_array((values, cells.astype(np.int32), starts), shape=(rows, a.rows))
        found: Floats = (csr_array(counts @ a.csr) @ b.csr).toarray()
        return found
    out = np.zeros((rows, b.width))
    _times(
        out, values, cells.astype(np.int32), starts.astype(np.int64),
        a.data, a.columns, a.starts, b.data, b.columns, b.starts,
    )  # fmt: skip
    return out
