"""What a compiled walk found in a block of records, and the batch of it.

The batch is the one that the plain way would have made of the same records, to the last bit: what fields.py does with
values, this does with kinds, numbers and codes.
"""

from __future__ import annotations

from functools import cache
from itertools import compress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import CategoricalLayout, Layout
from stream_monitor.counting.batches import (
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
    Integers,
    Kinds,
    Mode,
    Records,
)
from stream_monitor.counting.columns import column, json_text, name_of, safe
from stream_monitor.counting.derivations import Values, sizes
from stream_monitor.counting.fields import derived_columns, score_columns
from stream_monitor.counting.plans import Mask, Plan
from stream_monitor.counting.refusals import allowed, bad_scores
from stream_monitor.counting.scores import ClassScores
from stream_monitor.formats.found import ABSENT, CODES, ITEMS, LENGTHS, NUMBERS, OBJECT, Found
from stream_monitor.formats.lists import Lists, lengths, scores_allowed
from stream_monitor.formats.needs import ROLES, WANTS, Needs
from stream_monitor.formats.rows import named
from stream_monitor.formats.words import Words

_AS_TEXT: Final = np.array([NUMBER if k == TEXT else k if k == MISSING else NESTED for k in range(6)], np.uint8)


@cache
def _mask(kinds: frozenset[int]) -> Mask:
    """Which kinds, as a walk writes them, are among `kinds`."""
    return np.isin(np.arange(OBJECT + 1), [*(k + 1 for k in kinds), *([ABSENT] if MISSING in kinds else [])])


_NOTHING: Final = _mask(frozenset({MISSING}))


def _kinds(walked: Kinds) -> Kinds:
    """Kinds of slots as the walk writes them -> as columns have them."""
    kinds = walked - np.uint8(1)
    for slot in np.flatnonzero(kinds.max(axis=1, initial=0) > NONFINITE).tolist():
        np.copyto(kinds[slot], np.uint8(MISSING), where=walked[slot] == ABSENT)
        np.copyto(kinds[slot], np.uint8(NESTED), where=walked[slot] == OBJECT)
    return kinds


def _narrow(rows: Mask, kinds: Kinds, mask: Mask) -> None:
    """Leave of the rows those whose kind is in the mask. Most often all are of one kind."""
    if kinds.min(initial=OBJECT) != (most := kinds.max(initial=0)):
        rows &= mask[kinds]
    elif not mask[most]:
        rows[:] = False


class Findings:
    """What one walk found, as columns."""

    def __init__(
        self, plan: Plan, layout: Layout | None, needs: Needs, words: Words, records: Records, found: Found,
        values: dict[int, list[Any]], lists: Lists | None = None, schema_ids: Integers | None = None,
    ) -> None:  # fmt: skip
        """`values` are those that were wanted as they are, `lists` those that the walk read."""
        self._plan, self._layout, self._needs, self._words = plan, layout, needs, words
        self._records, self._found, self._values, self._schema_ids = records, found, values, schema_ids
        self._lists = lists
        self._want, self._at = found.want.tolist(), found.rows.tolist()
        self._roles = {
            role: needs.slots[tuple(path.split("."))] for role in ROLES if (path := getattr(plan.model.fields, role))
        }
        self._kinds = _kinds(found.kinds)
        self._rows: Mask = found.good
        self._all = False

    def events(self, at_ms: int) -> Mask:
        """Which rows are events beyond doubt."""
        rows, kinds, roles = self._found.good.copy(), self._found.kinds, self._roles
        task = self._plan.model.task
        for role in ("id", "time", "version", "prediction", "score"):
            if role not in roles:
                continue
            if role == "score" and task == "multiclass":
                rows &= self._fit_scores(roles[role])
            else:
                _narrow(rows, kinds[roles[role]], _mask(allowed(role, task)))
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
        features = tuple(
            sizes(self._column(safe(n), needs.slots[needs.feature_path(n)], m), model.columns.get(n))
            for n, m in modes.items()
        )
        features += tuple(derived_columns(self._feature_values, self._plan, self._layout, self._take(times_ms)))
        prediction = self._column("prediction", roles["prediction"], "raw") if "prediction" in roles else None
        score, class_scores = None, None
        if "score" in roles:
            if model.task == "multiclass":
                score, class_scores = self._class_scores(roles["score"])
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
            schema_ids=None if self._schema_ids is None else self._take(self._schema_ids),
        )

    def _some(self, values: list[Any]) -> list[Any]:
        return values if self._all else list(compress(values, self._rows.tolist()))

    def _take(self, values: NDArray[Any]) -> Any:
        return values if self._all else values[self._rows]

    def _feature_values(self, name: str) -> Values:
        slot = self._needs.slots[self._needs.feature_path(name)]
        if self._lists is not None and slot in self._needs.embeddings:
            of = self._lists.embedded(slot, self._found.kinds[slot])
            return of if self._all else of.take(self._rows)
        if self._want[slot] & ITEMS:
            numbers = self._take(self._found.numbers[self._at[slot][0]])
            return lengths(self._take(self._found.kinds[slot]), numbers)
        return self._some(self._values[slot])

    def _fit_scores(self, slot: int) -> Mask:
        """Which scores of classes are what such may be."""
        if self._lists is None:
            return np.array([not bad_scores(v) for v in self._values[slot]], np.bool_)
        walked, values = self._found.kinds[slot], self._values[slot]
        fit = scores_allowed(walked)
        for row in np.flatnonzero(walked == OBJECT).tolist():
            fit[row] = not bad_scores(values[row])
        return fit

    def _class_scores(self, slot: int) -> tuple[Column, ClassScores | None]:
        if self._lists is None:
            return score_columns(self._plan.model, self._some(self._values[slot]))
        walked, values = self._found.kinds[slot], self._values[slot]
        numbers = self._found.numbers[self._at[slot][0]]
        objects = {row: values[row] for row in np.flatnonzero((walked == OBJECT) & self._rows).tolist()}
        score, said = self._lists.scores(walked, numbers, objects)
        return (score, said) if self._all else (score.take(self._rows), said.take(self._rows))

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
        found, want = self._found, self._want[slot]
        numbers_at, codes_at, *_ = self._at[slot]
        kinds = self._take(self._kinds[slot])
        if mode not in WANTS:
            return column(name, self._some(self._values[slot]), mode)
        if mode == "categorical":
            codes, words = self._words.codes(self._take(found.codes[codes_at]))
            return Column(name=name, kinds=kinds, numbers=NO_NUMBERS, codes=codes, words=words)
        numbers = self._take(found.numbers[numbers_at])
        if mode == "text":
            if want & (NUMBERS | ITEMS):
                numbers = np.where(kinds == TEXT, numbers, 0.0)
            return Column(name=name, kinds=_AS_TEXT[kinds], numbers=numbers, codes=NO_CODES)
        if want & (LENGTHS | ITEMS):
            numbers = np.where(kinds == NUMBER, numbers, 0.0)
        if mode == "numeric":
            return Column(name=name, kinds=kinds, numbers=numbers, codes=NO_CODES)
        strings_of = self._take(found.codes[codes_at])
        if want & CODES:  # numbers have codes too
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
        outside = _NOTHING[found.kinds[inside]]
        if not self._take(outside).any():
            return self._column(dimension, inside, "categorical")
        kinds = self._take(np.where(outside, self._kinds[slot], self._kinds[inside]))
        codes = np.where(outside, found.codes[self._at[slot][1]], found.codes[self._at[inside][1]])
        codes, words = self._words.codes(self._take(codes))
        return Column(name=dimension, kinds=kinds, numbers=NO_NUMBERS, codes=codes, words=words)
