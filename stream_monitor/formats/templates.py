"""The quick way through JSON: a block of records in one walk, the rest by the plain way, both woven together.

The batch is the one that the plain way would have made of all records, to the last bit. Rows that are no events, or
that the walk leaves, are read again by the plain way, which alone knows why an event is refused.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from itertools import compress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import CategoricalLayout, Layout
from stream_monitor.batches import (
    BOOL,
    MISSING,
    NESTED,
    NO_CODES,
    NO_NUMBERS,
    NONFINITE,
    NUMBER,
    TEXT,
    Batch,
    Codes,
    Column,
    DeadLetter,
    Integers,
    Kinds,
    Mode,
    Records,
)
from stream_monitor.columns import column, json_text, name_of, safe
from stream_monitor.config import Config, Fields, Model
from stream_monitor.fields import Mask, Plan, bad_scores, derived_columns, event_plan, score_columns
from stream_monitor.formats.interning import larger, renumber, string, strings
from stream_monitor.formats.machine import COMPILED, PADDING, address, watch
from stream_monitor.formats.needs import ROLES, SPARE, WANTS, Needs
from stream_monitor.formats.rows import MAX_NAMES, named
from stream_monitor.formats.walking import (
    ABSENT,
    CODES,
    DONE,
    LENGTHS,
    NEEDS_WORDS,
    NUMBERS,
    OBJECT,
    SPANS,
    TEXTS,
    Found,
    walk,
)
from stream_monitor.formats.weaving import weave

Decoded = tuple[Batch, list[DeadLetter]]

CHUNK: Final = 4096  # records joined at once: they stay in the processor's cache
MANY_WORDS: Final = 1 << 16  # kept from block to block at most
MANY_BYTES: Final = 1 << 24

_AS_TEXT: Final = np.array([NUMBER if k == TEXT else k if k == MISSING else NESTED for k in range(6)], np.uint8)


def _allowed(*kinds: int) -> Mask:
    return np.isin(np.arange(OBJECT + 1), kinds)


_NUMERIC: Final = _allowed(NUMBER + 1, NONFINITE + 1)
_ID: Final = _NUMERIC | _allowed(TEXT + 1)
_TIME: Final = _allowed(NUMBER + 1, TEXT + 1)
_SCALAR: Final = _ID | _allowed(BOOL + 1)
_NOTHING: Final = _allowed(ABSENT, MISSING + 1)


def _kinds(walked: Kinds) -> Kinds:
    """Kinds as the walk writes them -> as columns have them."""
    kinds = walked - np.uint8(1)
    if len(kinds) and kinds.max() > NONFINITE:
        kinds[walked == ABSENT] = MISSING
        kinds[walked == OBJECT] = NESTED
    return kinds


class _Words:
    """Distinct bytes of values, and the texts that they say."""

    def __init__(self) -> None:
        self.strings = strings(1024, 1 << 15)
        self._texts: list[str] = []
        self._known: dict[str, int] = {}
        self._word_of = np.zeros(0, np.int32)

    def forget(self) -> None:
        """Begin anew when too much is known."""
        if self.strings.sizes[0] > MANY_WORDS or self.strings.sizes[1] > MANY_BYTES:
            self.__init__()  # type: ignore[misc]

    def codes(self, codes: Codes) -> tuple[Codes, tuple[str, ...]]:
        """The codes of a column, as columns.encode_words makes them."""
        if len(self._word_of) < self.strings.sizes[0]:
            new: list[int] = []
            for number in range(len(self._word_of), int(self.strings.sizes[0])):
                text = safe(json_text(json.loads(string(self.strings, number))))
                new.append(self._known.setdefault(text, len(self._texts)))
                if len(self._known) > len(self._texts):
                    self._texts.append(text)
            self._word_of = np.concatenate([self._word_of, np.array(new, np.int32)])
        seen, order = np.full(len(self._texts), -1, np.int32), np.zeros(len(self._texts), np.int32)
        out = np.empty(len(codes), np.int32)
        count = renumber(codes, self._word_of, seen, out, order)
        return out, tuple(self._texts[i] for i in order[:count].tolist())


class Quick:
    """The quick way for one plan and one layout. It learns as it goes, and what it learnt changes no result."""

    def __init__(self, plan: Plan, layout: Layout | None) -> None:
        self._plan, self._layout = plan, layout
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._needs = Needs(self._plan, self._layout)
        self._keys = self._needs.keys()
        self._words = _Words()

    def decode(self, records: Records, at_ms: int, plainly: Callable[[Records], Decoded]) -> Decoded:
        """The batch and the dead letters of `records`; `plainly` decodes some of them by the plain way."""
        with self._lock:
            self._words.forget()
            block = self.walk(records)
            if block is None:
                self._begin()
                return plainly(records)
            rows = block.events(at_ms)
            if not rows.any():
                return plainly(records)
            batch = block.batch(rows)
        if rows.all():
            return batch, []
        rest = np.flatnonzero(~rows)
        part = Records(
            values=[records.values[i] for i in rest.tolist()],
            timestamps_ms=records.timestamps_ms[rest],
            offsets=records.offsets[rest],
        )
        others, dead = plainly(part)
        dead = [DeadLetter(int(rest[letter.index]), letter.reason, letter.detail) for letter in dead]
        if not len(others):
            return batch, dead
        if self._needs.open and any("\\" in c.name for c in others.features):
            return plainly(records)  # names that are not as they stand in the message: their order is not ours to tell
        derived = sum(map(len, self._needs.wanted.values()))
        return weave(batch, others, self._needs.modes if self._needs.open else None, derived), dead

    def _found(self, n: int, slots: int) -> Found:
        wants = [*self._needs.wants, *([NUMBERS | TEXTS] * (slots - len(self._needs.wants)))]
        rows = np.full((slots, 3), -1, np.int32)
        for place, of in enumerate((NUMBERS | LENGTHS, CODES | TEXTS, SPANS)):
            wanted = [slot for slot, want in enumerate(wants) if want & of]
            rows[wanted, place] = range(len(wanted))
        counts = rows.max(axis=0, initial=-1) + 1
        return Found(
            want=np.array(wants, np.uint8),
            rows=rows,
            kinds=np.zeros((slots, n), np.uint8),
            numbers=np.zeros((counts[0], n)),
            codes=np.zeros((counts[1], n), np.int32),
            spans=np.zeros((counts[2], n, 2), np.int64),
            times=np.zeros(n, np.int64),
            good=np.zeros(n, np.bool_),
        )

    def _more_slots(self, found: Found) -> Found:
        """The same with twice the slots for features that nobody knew of."""
        into = self._found(len(found.good), 2 * len(found.want))
        into.times[:], into.good[:] = found.times, found.good
        for old, new in ((found.kinds, into.kinds), (found.numbers, into.numbers), (found.codes, into.codes)):
            new[: len(old)] = old
        into.spans[: len(found.spans)] = found.spans
        return into

    def walk(self, records: Records) -> _Block | None:
        """What the walk found in all records; None when there are too many names of features."""
        n, limit = len(records), self._plan.max_event
        needs = self._needs
        found = self._found(n, len(needs.wants) + (SPARE if needs.open else 0))
        cut: dict[int, list[Any]] = {slot: [] for slot, want in enumerate(needs.wants) if want & SPANS}
        for first in range(0, n, CHUNK):
            values = [b"" if v is None or len(v) > limit else v for v in records.values[first : first + CHUNK]]
            ends = np.cumsum(np.fromiter(map(len, values), np.int64, len(values)) + 1)
            data = b"\0".join([*values, bytes(PADDING)])
            at, starts = 0, np.concatenate([np.zeros(1, np.int64), ends])
            buffer = np.frombuffer(data, np.uint8)
            base = address(buffer)
            watch(base, base + len(buffer))
            while True:
                at, why = walk(base, starts, at, first, self._keys, self._words.strings, found)
                if why == DONE:
                    break
                if why == NEEDS_WORDS:
                    self._words.strings = larger(self._words.strings, len(data))
                    watch(base, base + len(buffer))
                elif len(found.want) > 2 * MAX_NAMES:
                    return None
                else:
                    found = self._more_slots(found)
            span = slice(first, first + len(values))
            text = data.decode("latin-1") if cut else ""
            for slot, cuts in cut.items():
                spans, kinds = found.spans[found.rows[slot, 2], span], found.kinds[slot, span]
                cuts += _cut(text, spans, kinds, found.good[span])
        needs.learn(self._keys)
        return _Block(self._plan, self._layout, needs, self._words, records, found, cut)


def _cut(text: str, spans: Integers, kinds: Kinds, good: Mask) -> list[Any]:
    """The values in the spans of good rows."""
    return [
        None
        if not end or not ok
        else text[start:end]
        if end > 0 and kind == TEXT + 1
        else json.loads(text[start : abs(end)].encode("latin-1"))
        for (start, end), kind, ok in zip(spans.tolist(), kinds.tolist(), good.tolist(), strict=True)
    ]


class _Block:
    """What one walk found, as columns."""

    def __init__(
        self, plan: Plan, layout: Layout | None, needs: Needs, words: _Words, records: Records, found: Found,
        values: dict[int, list[Any]],
    ) -> None:  # fmt: skip
        self._plan, self._layout, self._needs, self._words = plan, layout, needs, words
        self._records, self._found, self._values = records, found, values
        self._roles = {
            role: needs.slots[tuple(path.split("."))] for role in ROLES if (path := getattr(plan.model.fields, role))
        }
        self._rows: Mask = found.good
        self._all = False

    def events(self, at_ms: int) -> Mask:
        """Which rows are events beyond doubt."""
        rows, kinds, roles = self._found.good.copy(), self._found.kinds, self._roles
        task = self._plan.model.task
        for role, allowed in (
            ("id", _ID),
            ("time", _TIME),
            ("version", _SCALAR),
            ("prediction", _NUMERIC if task == "regression" else _SCALAR),
            ("score", _NUMERIC | _NOTHING),
        ):
            if role not in roles:
                continue
            if role == "score" and task == "multiclass":
                rows &= np.array([not bad_scores(v) for v in self._values[roles[role]]], np.bool_)
            else:
                rows &= allowed[kinds[roles[role]]]
        if self._needs.at is not None:
            rows &= kinds[self._needs.slots[self._needs.at]] == OBJECT
        times_ms = self._found.times if "time" in roles else self._records.timestamps_ms
        rows &= times_ms <= at_ms + self._plan.max_future_ms
        if "time" not in roles:
            rows &= times_ms >= 0
        return rows

    def batch(self, rows: Mask) -> Batch:
        """The batch of some rows that are all events."""
        self._rows, self._all = rows, bool(rows.all())
        model, roles, needs = self._plan.model, self._roles, self._needs
        times_ms = self._found.times if "time" in roles else self._records.timestamps_ms
        modes = needs.modes
        if needs.open:
            modes = {name: modes.get(name, "raw") for name in self._names()}
        features = tuple(self._column(safe(n), needs.slots[needs.feature_path(n)], m) for n, m in modes.items())
        features += tuple(derived_columns(self._feature_values, self._plan, self._layout, self._take(times_ms)))
        prediction = self._column("prediction", roles["prediction"], "raw") if "prediction" in roles else None
        score, class_scores = None, None
        if "score" in roles:
            if model.task == "multiclass":
                score, class_scores = score_columns(model, self._some(self._values[roles["score"]]))
            else:
                score = self._column("score", roles["score"], "raw")
        versions: tuple[str, ...] = ("",)
        version_codes = np.zeros(int(rows.sum()), np.int32)
        if "version" in roles:
            version_codes, versions = self._versions(roles["version"])
        ids = None
        if self._plan.keeps_ids and "id" in roles:
            ids = [safe(json_text(v)) for v in self._some(self._values[roles["id"]])]
        return Batch(
            times_ms=self._take(times_ms),
            offsets=self._take(self._records.offsets),
            versions=versions,
            version_codes=version_codes,
            ids=ids,
            features=features,
            predictions=self._predictions(prediction, score),
            prediction=prediction,
            score=score,
            class_scores=class_scores,
            label=self._column("label", roles["label"], "raw") if "label" in roles else None,
            latency=self._column("latency_ms", roles["latency_ms"], "numeric") if "latency_ms" in roles else None,
            segments={dimension: self._segment(dimension) for dimension in model.segments},
        )

    def _some(self, values: list[Any]) -> list[Any]:
        return values if self._all else list(compress(values, self._rows.tolist()))

    def _take(self, values: NDArray[Any]) -> Any:
        return values if self._all else values[self._rows]

    def _feature_values(self, name: str) -> list[Any]:
        return self._some(self._values[self._needs.slots[self._needs.feature_path(name)]])

    def _names(self) -> list[str]:
        """The keys that any event's feature object has."""
        at, kinds = self._needs.at, self._found.kinds
        return named(
            {
                path[-1]
                for path, slot in self._needs.slots.items()
                if path[:-1] == at
                and path
                and path[-1] not in self._needs.unnamed
                and (self._take(kinds[slot]) != ABSENT).any()
            }
        )

    def _column(self, name: str, slot: int, mode: Mode) -> Column:
        found = self._found
        numbers_at, codes_at, _ = found.rows[slot].tolist()
        walked = self._take(found.kinds[slot])
        kinds = _kinds(walked)
        if mode not in WANTS:
            return column(name, self._some(self._values[slot]), mode)
        if mode == "categorical":
            codes, words = self._words.codes(self._take(found.codes[codes_at]))
            return Column(name=name, kinds=kinds, numbers=NO_NUMBERS, codes=codes, words=words)
        numbers = self._take(found.numbers[numbers_at])
        if mode == "text":
            if found.want[slot] & NUMBERS:
                numbers = np.where(kinds == TEXT, numbers, 0.0)
            return Column(name=name, kinds=_AS_TEXT[kinds], numbers=numbers, codes=NO_CODES)
        if found.want[slot] & LENGTHS:
            numbers = np.where(kinds == NUMBER, numbers, 0.0)
        if mode == "numeric":
            return Column(name=name, kinds=kinds, numbers=numbers, codes=NO_CODES)
        strings_of = self._take(found.codes[codes_at])
        if found.want[slot] & CODES:  # numbers have codes too
            strings_of = np.where((kinds == TEXT) | (kinds == BOOL), strings_of, np.int32(0))
        codes, words = self._words.codes(strings_of)
        return Column(name=name, kinds=kinds, numbers=numbers, codes=codes, words=words)

    def _versions(self, slot: int) -> tuple[Codes, tuple[str, ...]]:
        of = self._column("", slot, "categorical")
        known: dict[str, int] = {}
        code = np.array([known.setdefault(name_of(word), len(known)) for word in of.words], np.int32)
        return code[of.codes], tuple(known)

    def _predictions(self, prediction: Column | None, score: Column | None) -> tuple[Column, ...]:
        """Prediction and score as they are counted."""
        columns = []
        for of in (prediction, score):
            laid_out = self._layout.predictions if self._layout is not None else None
            if of is None or (laid_out is not None and of.name not in laid_out):
                continue
            if laid_out is not None and isinstance(laid_out[of.name], CategoricalLayout):
                slot = self._roles[of.name]
                if slot in self._values:
                    of = column(of.name, self._some(self._values[slot]), "categorical")
                else:
                    of = self._column(of.name, slot, "categorical")
            columns.append(of)
        return tuple(columns)

    def _segment(self, dimension: str) -> Column:
        """The values of a segment: a key of the feature object where an event has it, else what is at its path."""
        needs, found = self._needs, self._found
        slot = needs.slots[tuple(dimension.split("."))]
        if needs.at is None:
            return self._column(dimension, slot, "categorical")
        inside = needs.slots[(*needs.at, dimension)]
        first, second = found.kinds[inside], found.kinds[slot]
        outside = _NOTHING[first]
        if not self._take(outside).any():
            return self._column(dimension, inside, "categorical")
        kinds = self._take(np.where(outside, second, first))
        codes = np.where(outside, found.codes[found.rows[slot, 1]], found.codes[found.rows[inside, 1]])
        codes, words = self._words.codes(self._take(codes))
        return Column(name=dimension, kinds=_kinds(kinds), numbers=NO_NUMBERS, codes=codes, words=words)


def warm() -> None:
    """Compile, or load from the cache, all of the quick way, so that the first block does not wait for it."""
    if not COMPILED:
        return
    model = Model(topic=("t",), fields=Fields(features="f"))
    quick = Quick(event_plan("m", Config(models={"m": model})), None)
    values: list[bytes | None] = [b'{"f": {"a": 1, "b": "c"}}', b"{}"]
    records = Records(values=values, timestamps_ms=np.zeros(2, np.int64), offsets=np.arange(2))
    found = quick.walk(records)
    assert found is not None
    found.batch(found.events(0))
    larger(strings(1, 8), 0)
