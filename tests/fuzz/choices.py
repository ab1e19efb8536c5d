"""Decisions out of any bytes, a fuzzer's among them: as random numbers, for generators that are written with those."""

from __future__ import annotations

import random


class Drawn(random.Random):
    """Random numbers that given bytes say, one byte a small decision; behind their end, numbers of a fixed seed.

    >>> r = Drawn(bytes([0, 64, 128, 255]))
    >>> r.randrange(4), r.choice("abcd"), r.random(), r.getrandbits(8)
    (0, 'c', 0.5, 255)
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(0)
        self._data, self._at = data, 0

    def random(self) -> float:
        return self.getrandbits(8) / 256

    def getrandbits(self, k: int, /) -> int:
        size = -(-k // 8)
        if self._at + size > len(self._data):
            self._at = len(self._data)
            return super().getrandbits(k)
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big") >> (8 * size - k)
