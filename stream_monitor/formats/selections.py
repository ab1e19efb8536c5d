"""Which records of a topic are whose, where several models share it: found once for all of them, before decoding.

    records -> value of the selecting field or header -> groups by value -> each group to the roles that select it
                                                       + to every role that selects nothing
                                                       + the rest: dead letters

A model is decoded from the records of its groups alone, so a topic of a thousand models is read once, not a thousand
times. The field is read by the format's own decoder, as the one field of a model that has no other: what is readable
here is readable there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream_monitor.brokers import Message
from stream_monitor.config import Config, Fields, Format, Model, Select
from stream_monitor.config.roles import Role
from stream_monitor.counting.batches import DeadLetter, Records
from stream_monitor.counting.columns import encode_words, json_text, name_of, safe
from stream_monitor.counting.plans import Plan, event_plan
from stream_monitor.formats import decode
from stream_monitor.formats.files import Piece, R
from stream_monitor.interfaces import Schemas

Integers = NDArray[np.int64]
Codes = NDArray[np.int32]

SHOWN: Final = 20  # values named in a dead letter
UNREADABLE: Final = frozenset(
    {"null_value", "too_large", "not_utf8", "not_json", "not_an_object", "unknown_schema"}
)  # reasons that come before `unknown_model`
_NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Records by role: `whose` has (role, places of its records or None for all), `dead` what belongs to nobody."""

    whose: list[tuple[Role, Integers | None]]
    dead: list[DeadLetter] = field(default_factory=list)


class Selection:
    """How the records of one topic are split among its roles; made once for a topic and a configuration."""

    def __init__(self, config: Config, roles: Sequence[Role], schemas: Schemas | None = None) -> None:
        self._roles = list(roles)
        self._by: dict[tuple[object, ...], _Selector] = {}
        self._all: list[Role] = []
        for role in roles:
            select = select_of(config.models[role[0]], role)
            if select is None:
                self._all.append(role)
                continue
            source = source_of(config.models[role[0]], role)
            by_field = ("field", select.field, source.format)
            key: tuple[object, ...] = ("header", select.header) if select.header else by_field
            selector = self._by.get(key)
            if selector is None:
                selector = self._by[key] = _Selector(select, _plan(config, source, select.field, schemas))
            for value in select.value or (role[0],):
                selector.whose.setdefault(name_of(value), []).append(role)

    def split(self, records: Records, messages: Sequence[Message], at_ms: int) -> Split:
        """Whose the records are. Roles that have none of them are left out; the others come in their order."""
        if not self._by:
            return Split(whose=[(role, None) for role in self._roles])
        found: dict[Role, list[Integers]] = {}
        taken = np.zeros(len(records), np.bool_)
        seen: list[_Seen] = []
        for selector in self._by.values():
            values = selector.read(records, messages, at_ms)
            seen.append(values)
            for word, places in values.groups():
                for role in selector.whose.get(word, ()):
                    found.setdefault(role, []).append(places)
                    taken[places] = True
        places_of = {role: places[0] if len(places) == 1 else _union(places) for role, places in found.items()}
        whose = [
            (role, None if role in self._all else places_of[role])
            for role in self._roles
            if role in places_of or role in self._all
        ]
        return Split(whose=whose, dead=[] if self._all else self._dead(~taken, records, seen, at_ms))

    def _dead(
        self, nobodys: NDArray[np.bool_], records: Records, seen: Sequence[_Seen], at_ms: int
    ) -> list[DeadLetter]:
        """What is wrong with the records that no role has: they cannot be read, or name a model that is not known."""
        places = np.flatnonzero(nobodys)
        if not len(places):
            return []
        unreadable = {i: letter for of in reversed(seen) for i, letter in of.unreadable.items()}
        if all(selector.select.header for selector in self._by.values()):  # nothing has read them yet
            plan = next(iter(self._by.values())).plan
            for letter in decode(records.take(places), plan, None, at_ms)[1]:
                if letter.reason in UNREADABLE:
                    unreadable[int(places[letter.index])] = letter
        letters = []
        for i in places.tolist():
            if i in unreadable:
                letters.append(DeadLetter(i, unreadable[i].reason, unreadable[i].detail))
            else:
                what = "; ".join(f"{s.name}: {of.at(i)}" for s, of in zip(self._by.values(), seen, strict=True))
                letters.append(DeadLetter(i, "unknown_model", f"{what}; known: {self._known()}"))
        return letters

    def _known(self) -> str:
        words = sorted({word for selector in self._by.values() for word in selector.whose})
        return ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")


@dataclass(frozen=True, slots=True)
class _Selector:
    """One field or header, and whose its values are."""

    select: Select
    plan: Plan
    whose: dict[str, list[Role]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.select.header or self.select.field

    def read(self, records: Records, messages: Sequence[Message], at_ms: int) -> _Seen:
        if self.select.header:
            codes, words = encode_words([_header(m, self.select.header) for m in messages], name_of)
            return _Seen(codes, words)
        timeless = replace(records, timestamps_ms=np.zeros(len(records), np.int64))
        batch, dead = decode(timeless, self.plan, None, at_ms)
        codes = np.full(len(records), -1, np.int32)
        places = np.searchsorted(records.offsets, batch.offsets)
        codes[places] = batch.version_codes
        unreadable = {d.index: d for d in dead if d.reason in UNREADABLE}
        strange = {d.index: d.detail for d in dead if d.reason == "wrong_type"}
        if batch.places is not None:  # all events of a record must be of one value
            torn = {*places[codes[places] != batch.version_codes].tolist(), *(d.index for d in dead)}
            for i in sorted(torn):
                if codes[i] >= 0:
                    codes[i], strange[i] = -1, "several values in one record"
        return _Seen(codes, batch.versions, unreadable, strange)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The value of each record, as a code into `words`, -1 where there is none."""

    codes: Codes
    words: Sequence[str]
    unreadable: Mapping[int, DeadLetter] = field(default_factory=dict)
    strange: Mapping[int, str] = field(default_factory=dict)  # values that are no name: what they are

    def groups(self) -> Iterator[tuple[str, Integers]]:
        """(value, places of the records that have it), each value once."""
        order = np.argsort(self.codes, kind="stable")
        at = np.searchsorted(self.codes[order], np.arange(len(self.words) + 1))
        for code, word in enumerate(self.words):
            if at[code] < at[code + 1]:
                yield word, order[at[code] : at[code + 1]]

    def at(self, place: int) -> str:
        code = int(self.codes[place])
        return repr(self.words[code]) if code >= 0 else self.strange.get(place, _NOTHING)


def select_of(model: Model, role: Role) -> Select | None:
    """How a role selects its records; None: it takes all."""
    return source_of(model, role).select


@dataclass(frozen=True, slots=True)
class Read:
    """How the records of a role are read, and which are its own."""

    format: str | Format
    select: Select | None
    time: str  # where an event's time is; "": the time is that of Kafka


def source_of(model: Model, role: Role) -> Read:
    """The part of a model's configuration that tells of a role's topic."""
    of = {"events": model, "features": model.features, "labels": model.labels}[role[1]]
    assert of is not None
    return Read(of.format, of.select, of.fields.time)


def _plan(config: Config, source: Read, path: str, schemas: Schemas | None) -> Plan:
    """A plan that reads nothing but the selecting field, in the place of a version: any scalar, as text."""
    alone = Model(topic=(), format=source.format, fields=Fields(version=path))
    return event_plan("", replace(config, models={"": alone}), schemas=schemas)


def selected(piece: Piece[R], select: Select | None, name: str) -> tuple[Piece[R], int]:
    """The rows of a file that model `name` selects, and how many others there are.

    All rows of a file that lacks the field, as every file lacks headers.
    """
    rows: Any = piece.rows  # never Lines where there is a field: see Tapped.of
    if select is None or not select.field or not rows.has(select.field):
        return piece, 0
    names = {name_of(v) for v in select.value or (name,)}
    values = rows.values(select.field)
    mine = np.array([isinstance(v, str | int | float) and name_of(json_text(v)) in names for v in values], np.bool_)
    return Piece(rows.take(mine), piece.numbers[mine], piece.dead), int((~mine).sum())


def _header(message: Message, name: str) -> str | None:
    """The last header of that name, as text."""
    for key, value in reversed(message.headers() or ()):
        if key == name and value is not None:
            return safe(value.decode("utf-8", "replace"))
    return None


def _union(places: Sequence[Integers]) -> Integers:
    return np.unique(np.concatenate(places))
