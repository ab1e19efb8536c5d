"""What compiled loops need of the processor: memory by address, 128-bit products, leading and trailing zeros.

Why addresses: an array that is handed to a compiled function has its references counted at every call, which takes
longer than to compare eight bytes. A buffer is read from `address(buffer)` on, and PADDING bytes (blobs.py) must follow
what is read. With NUMBA_BOUNDSCHECK=1 in the environment every read is checked against `watch`: the fuzzer runs so.
Without numba nothing here is compiled, and formats read by their plain ways.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.compiling import compiled as made
from detectors.compiling import engine

int64: Any = np.int64  # for the loops; they know what it is
F = TypeVar("F", bound=Callable[..., Any])

COMPILED: Final = engine() == "numba" and sys.byteorder == "little"
CHECKED: Final = os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0")

_LIMITS: Final = (ctypes.c_int64 * 2)(0, (1 << 63) - 1)
_LIMITS_AT: Final = ctypes.addressof(_LIMITS)


def compiled(function: F) -> F:
    """The function, compiled; it holds no lock while it runs."""
    return made(kept=not CHECKED)(function) if COMPILED else function  # a checked one knows an address


def inlined(function: F) -> F:
    """The same for small functions, which are compiled into their callers."""
    return made(kept=not CHECKED, inline=True)(function) if COMPILED else function


def address(of: NDArray[Any]) -> int:
    """Where the first byte of an array is; the caller keeps the array alive."""
    return int(of.ctypes.data)


def watch(first: int, last: int) -> None:
    """Reads by address must be from `first` to `last`, where they are checked at all."""
    _LIMITS[0], _LIMITS[1] = first, last


if COMPILED:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    def _loader(bits: int, type: Any) -> Any:
        def load(typing: Any, at: Any) -> Any:
            def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                read = builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()), align=1)
                return read if bits == 64 else builder.zext(read, ir.IntType(64))

            return type(types.int64), code

        return intrinsic(load)

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

    def _single(typing: Any, bits: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            half = builder.bitcast(builder.trunc(arguments[0], ir.IntType(32)), ir.FloatType())
            return builder.fpext(half, ir.DoubleType())

        return types.float64(types.uint64), code

    def _storer(bits: int, type: Any) -> Any:
        def store(typing: Any, at: Any, value: Any) -> Any:
            def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                where, what = arguments
                into = ir.DoubleType() if type is types.float64 else ir.IntType(bits)
                if bits < 64:
                    what = builder.trunc(what, into)
                builder.store(what, builder.inttoptr(where, into.as_pointer()), align=bits // 8)
                return context.get_dummy_value()

            return types.void(types.int64, type), code

        return intrinsic(store)

    def _copy(typing: Any, to: Any, start: Any, size: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            to, start = [builder.inttoptr(a, ir.IntType(8).as_pointer()) for a in arguments[:2]]
            cgutils.raw_memcpy(builder, to, start, arguments[2], 1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), code

    def _caller(count: int) -> Any:
        def call(typing: Any, function: Any, *arguments: Any) -> Any:
            def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                word = ir.IntType(64)
                kind = ir.FunctionType(word, [word] * count)
                return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])

            return types.int64(types.int64, *[types.int64] * count), code

        return call

    def _called1(typing: Any, function: Any, a: Any) -> Any:
        return _caller(1)(typing, function, a)

    def _called2(typing: Any, function: Any, a: Any, b: Any) -> Any:
        return _caller(2)(typing, function, a, b)

    def _called5(typing: Any, function: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
        return _caller(5)(typing, function, a, b, c, d, e)

    copy = intrinsic(_copy)  # (to, start, size): bytes between addresses
    called1 = intrinsic(_called1)  # (function, a): a C function by its address, whose arguments fit 64 bits
    called2 = intrinsic(_called2)
    called5 = intrinsic(_called5)
    _load8 = _loader(8, types.int64)
    _load32 = _loader(32, types.int64)
    _load64 = _loader(64, types.uint64)
    put8 = _storer(8, types.int64)
    put32 = _storer(32, types.int64)
    put64 = _storer(64, types.int64)
    put_double = _storer(64, types.float64)
    as_double = intrinsic(_double)
    as_single = intrinsic(_single)
    high64 = intrinsic(_high64)
    leading_zeros = intrinsic(_leading)
    trailing_zeros = intrinsic(_trailing)

else:

    def _uncompiled(*arguments: int) -> int:
        raise NotImplementedError("only for compiled loops")

    copy = called1 = called2 = called5 = _uncompiled

    def _load8(at: int) -> int:
        return ctypes.c_uint8.from_address(int(at)).value

    def _load32(at: int) -> int:
        return ctypes.c_uint32.from_address(int(at)).value

    def _load64(at: int) -> Any:
        return np.uint64(ctypes.c_uint64.from_address(int(at)).value)

    def put8(at: int, value: int) -> None:
        """Write a byte into a table of our own."""
        ctypes.c_uint8.from_address(int(at)).value = int(value)

    def put32(at: int, value: int) -> None:
        """Write four bytes."""
        ctypes.c_int32.from_address(int(at)).value = int(value)

    def put64(at: int, value: int) -> None:
        """Write eight bytes."""
        ctypes.c_int64.from_address(int(at)).value = int(value)

    def put_double(at: int, value: float) -> None:
        """Write a double."""
        ctypes.c_double.from_address(int(at)).value = float(value)

    def as_double(bits: Any) -> Any:
        """The double that has these bits."""
        return np.array([bits], np.uint64).view(np.float64)[0]

    def as_single(bits: Any) -> Any:
        """The double that is the single-precision number of the lower 32 bits."""
        return np.float64(np.array([int(bits) & 0xFFFFFFFF], np.uint32).view(np.float32)[0])

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
def byte(at: int) -> Any:
    """The byte at an address."""
    if CHECKED and (at < int64(_load64(_LIMITS_AT)) or at >= int64(_load64(_LIMITS_AT + 8))):
        raise IndexError("a read outside the buffer")
    return _load8(at)


@inlined
def load64(at: int) -> Any:
    """Eight bytes from an address on, the first one lowest.

    >>> data = np.arange(8, dtype=np.uint8)
    >>> hex(load64(address(data)))
    '0x706050403020100'
    """
    if CHECKED and (at < int64(_load64(_LIMITS_AT)) or at + 8 > int64(_load64(_LIMITS_AT + 8))):
        raise IndexError("a read outside the buffer")
    return _load64(at)


@inlined
def own8(at: int) -> Any:
    """A byte of a table of our own."""
    return _load8(at)


@inlined
def own32(at: int) -> Any:
    """Four bytes of a table of our own."""
    return _load32(at)


@inlined
def own64(at: int) -> Any:
    """Eight bytes of a table of our own."""
    return _load64(at)
