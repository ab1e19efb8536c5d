"""Distinct bytes of values, which a walk numbers as it meets them, and the texts that they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from stream_monitor.counting.batches import Codes
from stream_monitor.counting.columns import safe
from stream_monitor.formats.interning import renumber, string, strings

MANY_WORDS: Final = 1 << 16  # kept from block to block at most
MANY_BYTES: Final = 1 << 24


class Words:
    """What a walk interns. `spell` makes a text of a value's tag and bytes; different bytes may say the same."""

    def __init__(self, spell: Callable[[int, bytes], str]) -> None:
        self._spell = spell
        self._begin()

    def _begin(self) -> None:
        self.strings = strings(1024, 1 << 15)
        self._texts: list[str] = []
        self._known: dict[str, int] = {}
        self._word_of = np.zeros(0, np.int32)

    def forget(self) -> None:
        """Begin anew when too much is known."""
        if self.strings.sizes[0] > MANY_WORDS or self.strings.sizes[1] > MANY_BYTES:
            self._begin()

    def codes(self, codes: Codes) -> tuple[Codes, tuple[str, ...]]:
        """The codes of a column, as columns.encode_words makes them."""
        if len(self._word_of) < self.strings.sizes[0]:
            new: list[int] = []
            for number in range(len(self._word_of), int(self.strings.sizes[0])):
                text = safe(self._spell(int(self.strings.tags[number]), string(self.strings, number)))
                new.append(self._known.setdefault(text, len(self._texts)))
                if len(self._known) > len(self._texts):
                    self._texts.append(text)
            self._word_of = np.concatenate([self._word_of, np.array(new, np.int32)])
        seen, order = np.full(len(self._texts), -1, np.int32), np.zeros(len(self._texts), np.int32)
        out = np.empty(len(codes), np.int32)
        count = renumber(codes, self._word_of, seen, out, order)
        return out, tuple(self._texts[i] for i in order[:count].tolist())
