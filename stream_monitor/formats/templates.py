"""The quick way through JSON: what the compiled walk of walking.py finds in joined records."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec
import numpy as np

from detectors.layouts import Layout
from stream_monitor.blobs import Bytes
from stream_monitor.config import Config, Fields, Model
from stream_monitor.counting.batches import TEXT, Integers, Kinds, Records
from stream_monitor.counting.columns import json_text
from stream_monitor.counting.plans import Mask, Plan, event_plan
from stream_monitor.formats.chunks import CHUNK, chunks
from stream_monitor.formats.findings import Findings
from stream_monitor.formats.found import NUMBERS, OBJECT, SPANS, TEXTS, nothing_yet, with_pool, with_room
from stream_monitor.formats.interning import larger, strings
from stream_monitor.formats.lists import Lists
from stream_monitor.formats.machine import COMPILED, address, watch
from stream_monitor.formats.needs import SPARE, Needs
from stream_monitor.formats.quick import Quick
from stream_monitor.formats.rows import MAX_NAMES
from stream_monitor.formats.walking import DONE, NEEDS_WORDS, walk
from stream_monitor.formats.words import Words

_LONGEST: Final = 4_300  # bytes: json.loads refuses integers of more digits, msgspec does not


def _spell(_: int, value: bytes) -> str:
    return json_text(json.loads(value))


class JsonQuick(Quick):
    """The quick way through JSON for one plan and one layout."""

    def __init__(self, plan: Plan, layout: Layout | None) -> None:
        self._plan, self._layout = plan, layout
        super().__init__()

    def _begin(self) -> None:
        self._needs = Needs(self._plan, self._layout, lists=True)
        self._keys = self._needs.keys()
        self._words = Words(_spell)

    @property
    def needs(self) -> Needs:
        return self._needs

    def _wants(self, slots: int) -> list[int]:
        """What is wanted of so many slots, the last of them for features that nobody knew of."""
        return [*self._needs.wants, *([NUMBERS | TEXTS] * (slots - len(self._needs.wants)))]

    def walk(self, records: Records) -> Findings | None:
        self._words.forget()
        n, limit = len(records), self._plan.max_event
        needs = self._needs
        found = nothing_yet(self._wants(len(needs.wants) + (SPARE if needs.open else 0)), n)
        cut: dict[int, list[Any]] = {slot: [] for slot, want in enumerate(needs.wants) if want & SPANS}
        lists = Lists(needs, n)
        # Lists are read into one array, which is to stay in the processor's cache.
        for chunk in chunks(records.values, limit, CHUNK if len(found.vectors) else max(n, 1)):
            base = address(chunk.buffer)
            if len(found.vectors):
                found = with_pool(found, len(chunk.buffer) // 2)
            watch(base, base + len(chunk.buffer))
            at = 0
            while True:
                at, why = walk(base, chunk.starts, at, chunk.first, self._keys, self._words.strings, found)
                if why == DONE:
                    break
                if why == NEEDS_WORDS:
                    self._words.strings = larger(self._words.strings, len(chunk.buffer))
                    watch(base, base + len(chunk.buffer))
                elif len(found.want) > 2 * MAX_NAMES:
                    return None
                else:
                    found = with_room(found, self._wants(2 * len(found.want)))
            found.good[chunk.first + chunk.too_large] = False
            span = slice(chunk.first, chunk.first + len(chunk))
            for slot, cuts in cut.items():
                spans, kinds = found.spans[found.rows[slot, 2], span], found.kinds[slot, span]
                good = found.good[span] if slot in needs.whole else found.good[span] & (kinds == OBJECT)
                cuts += _cut(chunk.buffer, spans, kinds, good)
            lists.take_in(found, span.start, span.stop)
        needs.learn(self._keys)
        return Findings(self._plan, self._layout, needs, self._words, records, found, cut, lists)


def _cut(buffer: Bytes, spans: Integers, kinds: Kinds, good: Mask) -> list[Any]:
    """The values in the spans of good rows."""
    if not good.any():
        return [None] * len(good)
    data = buffer.tobytes()
    values: list[Any] = []
    parts: list[bytes] = []
    places: list[int] = []
    for (start, end), kind, ok in zip(spans.tolist(), kinds.tolist(), good.tolist(), strict=True):
        if not end or not ok:
            values.append(None)
        elif end > 0 and kind == TEXT + 1:
            values.append(data[start:end].decode("latin-1"))
        else:
            places.append(len(values))
            parts.append(data[start : abs(end)])
            values.append(None)
    for place, value in zip(places, _read(parts), strict=True):
        values[place] = value
    return values


def _read(parts: list[bytes]) -> list[Any]:
    """What json.loads makes of texts that the walk has found to be JSON: all at once where no number is too long."""
    if max(map(len, parts), default=0) <= _LONGEST:
        try:
            found: list[Any] = msgspec.json.decode(b"[" + b",".join(parts) + b"]")
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass  # what one parser takes and the other does not, NaN among it
        else:
            return found
    return [json.loads(part) for part in parts]


def warm() -> None:
    """Compile, or load from the cache, all of the quick way, so that the first block does not wait for it."""
    if not COMPILED:
        return
    model = Model(topic=("t",), task="multiclass", fields=Fields(features="f", score="s"), columns={"v": "embedding"})
    quick = JsonQuick(event_plan("m", Config(models={"m": model})), None)
    values: list[bytes | None] = [b'{"f": {"a": 1, "b": "c", "v": [1]}, "s": [1]}', b"{}"]
    records = Records(values=values, timestamps_ms=np.zeros(2, np.int64), offsets=np.arange(2))
    found = quick.walk(records)
    assert found is not None
    found.batch(found.events(0))
    larger(strings(1, 8), 0)
