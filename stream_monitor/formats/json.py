"""JSON, one event a record.

What is JSON is what Python's `json.loads` accepts, NaN and Infinity included, up to MAX_DEPTH levels. msgspec reads
only the fields a model needs, straight into slots; whatever it refuses, or could see otherwise than `json.loads`, is
read by `json.loads`, so that the speed never shows in a result.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from msgspec.structs import astuple

from detectors.layouts import Layout
from stream_monitor.counting.batches import Batch, Column, DeadLetter, LabelBatch, Mode, Records
from stream_monitor.counting.columns import column, safe
from stream_monitor.counting.fields import assemble, assemble_labels
from stream_monitor.counting.plans import LabelPlan, Mask, Plan
from stream_monitor.errors import InvalidRecord
from stream_monitor.formats.rows import DictRows, named, walk

if TYPE_CHECKING:
    from stream_monitor.formats.templates import JsonQuick

# Why a limit of our own: the parsers' depends on how deep the stack is, and a block made again must be cut the same.
MAX_DEPTH: Final = 500
_DIGITS: Final = 4300  # json.loads refuses longer integers
_PLAIN: Final = 2 * MAX_DEPTH  # bytes: a shorter text can be neither too deep nor hold too long an integer
_TURNED: Final = 256
_LONG_NUMBER: Final = re.compile(rb"[0-9]{%d}" % (_DIGITS + 1))
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BOM: Final = b"\xef\xbb\xbf"


def _too_deep(value: bytes) -> bool:
    if value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return False
    bare = np.frombuffer(_STRING.sub(b"", value), np.uint8)
    steps = np.isin(bare, (ord("["), ord("{"))).astype(np.int64) - np.isin(bare, (ord("]"), ord("}")))
    return bool(np.cumsum(steps).max(initial=0) > MAX_DEPTH)


def loads(value: bytes) -> dict[str, Any]:
    """The plain way: the object in `value`, or InvalidRecord."""
    message = anything(value)
    if not isinstance(message, dict):
        raise InvalidRecord("not_an_object", f"{type(message).__name__}")
    return message


def anything(value: bytes) -> Any:
    """What is in `value`, an object or not, or InvalidRecord."""
    try:
        text = value.removeprefix(_BOM).decode()
    except UnicodeDecodeError as error:
        raise InvalidRecord("not_utf8", str(error)) from None
    if _too_deep(value):
        raise InvalidRecord("not_json", f"more than {MAX_DEPTH} levels")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidRecord("not_json", str(error)) from None


class _Node:
    """A place in a message: read whole (`leaf`), or only what is below it."""

    def __init__(self) -> None:
        self.leaf = False
        self.below: dict[str, _Node] = {}
        self.type: Any = None
        self.empty: Any = None  # stands for an object that is not there
        self.wrong: Any = None  # stands for something else than an object

    def add(self, keys: Sequence[str]) -> None:
        if not keys:
            self.leaf = True
        else:
            self.below.setdefault(keys[0], _Node()).add(keys[1:])

    def build(self) -> None:
        """Make the struct of a place that is not a leaf."""
        fields: list[tuple[str, Any, Any]] = []
        names = {}
        for i, (key, node) in enumerate(self.below.items()):
            names[f"f{i}"] = key
            if node.leaf:
                fields.append((f"f{i}", Any, None))
            else:
                node.build()
                fields.append((f"f{i}", node.type, node.empty))
        self.type = msgspec.defstruct("Node", fields, rename=names, frozen=True, eq=False, gc=False)
        self.empty, self.wrong = self.type(), self.type()

    def make(self, value: Any) -> Any:
        """The struct, or the leaf, of what json.loads read."""
        if self.leaf:
            return value
        if value is None:
            return self.empty
        if not isinstance(value, dict):
            return self.wrong
        return self.type(*[node.make(value.get(key)) for key, node in self.below.items()])


class Shape:
    """The fields of a message that are needed, and the reader that reads them."""

    def __init__(self, paths: Iterable[Sequence[str]]) -> None:
        self.root = _Node()
        for path in paths:
            self.root.add(path)
        self.root.build()
        self.read: Callable[[bytes], Any] = msgspec.json.Decoder(self.root.type).decode


_ROLES: Final = ("id", "time", "version", "prediction", "score", "label", "latency_ms")


def _safe_key(key: str) -> bool:
    """Whether msgspec takes it as a field's name."""
    return key.isprintable() and not set(key) & {'"', "\\"}


def _paths(plan: Plan, layout: Layout | None) -> list[tuple[str, ...]]:
    """Everything in a message that a model needs."""
    fields, features = plan.model.fields, plan.features
    paths = [tuple(path.split(".")) for role in _ROLES if (path := getattr(fields, role))]
    paths += [tuple(path.split(".")) for path in plan.model.segments]
    if isinstance(features, tuple):
        paths += [tuple(path.split(".")) for path in {*features, *(plan.read(layout) if layout else ())}]
    elif features:
        at = tuple(features.split("."))
        names = {*plan.read(layout), *plan.model.segments} if layout else set()
        inside = [(*at, name) for name in names]
        paths += inside if inside and all(map(_safe_key, names)) else [at]
    return sorted(set(paths))


def _turn(structs: Sequence[Any], fields: int) -> list[list[Any]]:
    """The fields of structs as columns, a few structs at a time: those stay in the processor's cache."""
    columns: list[list[Any]] = [[] for _ in range(fields)]
    for first in range(0, len(structs), _TURNED):
        for whole, part in zip(columns, zip(*map(astuple, structs[first : first + _TURNED]), strict=True), strict=True):
            whole += part
    return columns


class StructRows:
    """Rows of structs that msgspec made; a struct's fields are turned into columns all at once."""

    def __init__(self, rows: Sequence[Any], shape: Shape, plan: Plan | None) -> None:
        self.rows = rows
        self.shape = shape
        self.plan = plan
        self.at = tuple(plan.features.split(".")) if plan and isinstance(plan.features, str) and plan.features else None
        self._turned: dict[tuple[str, ...], list[list[Any]]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def _get(self, keys: tuple[str, ...]) -> Sequence[Any]:
        """The values (structs, where a place is not read whole) at `keys`."""
        values, node = self.rows, self.shape.root
        for depth, key in enumerate(keys):
            if node.leaf:  # read whole, because something above is needed itself: walk the rest
                return [walk(value, keys[depth:]) for value in values]
            place = keys[:depth]
            if place not in self._turned:
                self._turned[place] = _turn(values, len(node.below))
            values = self._turned[place][list(node.below).index(key)]
            node = node.below[key]
        return values

    def values(self, path: str) -> Sequence[Any]:
        return self._get(tuple(path.split(".")))

    def feature_state(self) -> tuple[Mask, Mask] | None:
        assert self.at is not None
        found, node = self._get(self.at), self._node()
        if node is None:
            if set(map(type, found)) <= {dict}:
                return None
            missing = np.array([of is None for of in found], np.bool_)
            return missing, ~missing & np.array([type(of) is not dict for of in found], np.bool_)
        missing = np.array([of is node.empty for of in found], np.bool_)
        wrong = np.array([of is node.wrong for of in found], np.bool_)
        return (missing, wrong) if missing.any() or wrong.any() else None

    def _node(self) -> _Node | None:
        """The feature object's place, or None when it is read whole."""
        assert self.at is not None
        node = self.shape.root
        for key in self.at:
            if node.leaf:
                return None
            node = node.below[key]
        return None if node.leaf else node

    def feature_names(self) -> list[str]:
        assert self.at is not None
        names: set[str] = set()
        for of in self._get(self.at):
            names.update(of)
        return named(names)

    def feature_values(self, name: str) -> Sequence[Any]:
        if self.at is None:
            return self.values(name)
        if self._node() is None:
            return [of.get(name) for of in self._get(self.at)]
        return self._get((*self.at, name))

    def feature(self, name: str, mode: Mode) -> Column:
        return column(safe(name), self.feature_values(name), mode)

    def take(self, keep: Mask) -> StructRows:
        return StructRows(list(compress(self.rows, keep.tolist())), self.shape, self.plan)


def _shape(plan: Plan | LabelPlan, layout: Layout | None) -> Shape | None:
    """The shape of a plan's messages; None where a field's name is beyond msgspec, and the plain way is taken."""
    key = layout.id if layout is not None else ""
    if key not in plan.cache:
        if isinstance(plan, Plan):
            paths = _paths(plan, layout)
        else:
            assert plan.model.labels is not None
            fields = plan.model.labels.fields
            paths = [tuple(path.split(".")) for path in (fields.id, fields.label, fields.time) if path]
        plan.cache[key] = Shape(paths) if all(_safe_key(k) for path in paths for k in path) else None
    shape: Shape | None = plan.cache[key]
    return shape


def parse(
    records: Records, plan: Plan | LabelPlan, shape: Shape | None
) -> tuple[list[Any], list[int], list[DeadLetter]]:
    """Rows (structs of `shape`, or mappings without one), the records they come from, and the dead letters."""
    rows: list[Any] = []
    dead: list[DeadLetter] = []
    append, limit = rows.append, plan.max_event
    plain = min(_PLAIN, limit)
    read = shape.read if shape is not None else None
    for i, value in enumerate(records.values):
        try:
            if read is None or value is None or len(value) > plain or not value.isascii():
                append(_slowly(value, limit, shape))
            else:
                append(read(value))
        except InvalidRecord as error:
            dead.append(DeadLetter(i, error.reason, error.detail))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            try:
                assert value is not None
                append(_made(loads(value), shape))
            except InvalidRecord as error:
                dead.append(DeadLetter(i, error.reason, error.detail))
    gone = {letter.index for letter in dead}
    index = [i for i in range(len(records.values)) if i not in gone] if gone else list(range(len(records.values)))
    return rows, index, dead


def _made(message: dict[str, Any], shape: Shape | None) -> Any:
    return message if shape is None else shape.root.make(message)


def _slowly(value: bytes | None, limit: int, shape: Shape | None) -> Any:
    """One record with every check."""
    if value is None:
        raise InvalidRecord("null_value", "a record without a value")
    if len(value) > limit:
        raise InvalidRecord("too_large", f"{len(value)} bytes, the limit is {limit}")
    if shape is not None and not (len(value) > _DIGITS and _LONG_NUMBER.search(value)) and not _too_deep(value):
        try:
            value.decode()  # msgspec does not look into texts that it skips
            return shape.read(value)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass  # json.loads decides
    return _made(loads(value), shape)


def decode(records: Records, plan: Plan, layout: Layout | None, at_ms: int) -> tuple[Batch, list[DeadLetter]]:
    """JSON objects, one a record, numbers and nesting as Python's json.loads takes them."""
    if (quick := _quick(plan, layout)) is None:
        return plainly(records, plan, layout, at_ms)
    return quick.decode(records, at_ms, lambda some: plainly(some, plan, layout, at_ms))


def _quick(plan: Plan, layout: Layout | None) -> JsonQuick | None:
    """The quick way of a plan. None where nothing is compiled, or a field's name cannot stand in a message."""
    key = ("quick", layout.id if layout is not None else "")
    if key not in plan.cache:
        from stream_monitor.formats.machine import COMPILED  # here: who only names a format waits for no compiler
        from stream_monitor.formats.templates import JsonQuick

        try:
            plan.cache[key] = JsonQuick(plan, layout) if COMPILED else None
        except UnicodeEncodeError:
            plan.cache[key] = None
    quick: JsonQuick | None = plan.cache[key]
    return quick


def warm() -> None:
    """Make the quick way ready before the first block."""
    from stream_monitor.formats import templates

    templates.warm()


def plainly(records: Records, plan: Plan, layout: Layout | None, at_ms: int) -> tuple[Batch, list[DeadLetter]]:
    """The same, a record at a time."""
    shape = _shape(plan, layout)
    rows, index, dead = parse(records, plan, shape)
    where = np.array(index, np.int64)
    batch, refused = assemble(
        StructRows(rows, shape, plan) if shape is not None else DictRows(rows, plan),
        plan,
        layout,
        at_ms,
        index=index,
        timestamps_ms=records.timestamps_ms[where],
        offsets=records.offsets[where],
    )
    return batch, sorted(dead + refused, key=lambda letter: letter.index)


def decode_labels(records: Records, plan: LabelPlan, at_ms: int) -> tuple[LabelBatch, list[DeadLetter]]:
    """Label events as JSON objects, one a record."""
    shape = _shape(plan, None)
    rows, index, dead = parse(records, plan, shape)
    where = np.array(index, np.int64)
    batch, refused = assemble_labels(
        StructRows(rows, shape, None) if shape is not None else DictRows(rows),
        plan,
        at_ms,
        index=index,
        timestamps_ms=records.timestamps_ms[where],
        offsets=records.offsets[where],
    )
    return batch, sorted(dead + refused, key=lambda letter: letter.index)
