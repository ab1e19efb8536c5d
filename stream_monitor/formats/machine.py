"""What compiled loops need of the processor: eight bytes at once, 128-bit products, leading and trailing zeros.

Without numba nothing here is compiled, and formats read by their plain ways. NUMBA_BOUNDSCHECK=1 in the environment
checks every index, here too: the fuzzer runs so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.kernels import ENGINE

Bytes = NDArray[np.uint8]
int64: Any = np.int64  # for the loops; they know what it is
F = TypeVar("F", bound=Callable[..., Any])

COMPILED: Final = ENGINE == "numba" and sys.byteorder == "little"
PADDING: Final = 64  # bytes that must follow what is read eight bytes at a time
_CHECKED: Final = os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0")

if COMPILED:
    import numba
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    def compiled(function: F) -> F:
        """The function, compiled; it holds no lock while it runs."""
        out: F = numba.njit(cache=True, nogil=True)(function)
        return out

    def inlined(function: F) -> F:
        """The same for small functions, which are compiled into their callers."""
        out: F = numba.njit(cache=True, nogil=True, forceinline=True)(function)
        return out

    def _load64(typing: Any, array: Any, at: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            place = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
            return builder.load(place, align=1)

        return types.uint64(array, types.int64), code

    def _high64(typing: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            wide = ir.IntType(128)
            product = builder.mul(*[builder.zext(x, wide) for x in arguments])
            return builder.trunc(builder.lshr(product, wide(64)), ir.IntType(64))

        return types.uint64(types.uint64, types.uint64), code

    def _leading(typing: Any, x: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.ctlz(arguments[0], ir.IntType(1)(0))

        return types.uint64(types.uint64), code

    def _trailing(typing: Any, x: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.cttz(arguments[0], ir.IntType(1)(0))

        return types.uint64(types.uint64), code

    def _double(typing: Any, bits: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], ir.DoubleType())

        return types.float64(types.uint64), code

    _load = intrinsic(_load64)
    as_double = intrinsic(_double)
    high64 = intrinsic(_high64)
    leading_zeros = intrinsic(_leading)
    trailing_zeros = intrinsic(_trailing)

else:

    def compiled(function: F) -> F:
        """The function as it is."""
        return function

    inlined = compiled

    def _load(data: Bytes, at: int) -> Any:
        return np.uint64(int.from_bytes(data[at : at + 8].tobytes(), "little"))

    def as_double(bits: Any) -> Any:
        """The double that has these bits."""
        return np.array([bits], np.uint64).view(np.float64)[0]

    def high64(a: Any, b: Any) -> Any:
        """The upper half of the 128-bit product."""
        return np.uint64(int(a) * int(b) >> 64)

    def leading_zeros(x: Any) -> Any:
        """Of 64 bits; 64 for 0."""
        return np.uint64(64 - int(x).bit_length())

    def trailing_zeros(x: Any) -> Any:
        """Of 64 bits; 64 for 0."""
        return np.uint64((int(x) & -int(x)).bit_length() - 1 if x else 64)


@inlined
def load64(data: Bytes, at: int) -> Any:
    """Eight bytes from `at` on, the first one lowest; they must be inside `data`.

    >>> hex(load64(np.arange(8, dtype=np.uint8), 0))
    '0x706050403020100'
    """
    if _CHECKED and (at < 0 or at + 8 > len(data)):
        raise IndexError("a read outside the buffer")
    return _load(data, at)
