"""Blocks of almost-events out of any bytes: a fuzzer's or hypothesis's. Each byte is one decision."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from detectors.layouts import CategoricalLayout, Layout, NumericLayout
from stream_monitor.config import Config, Fields, Kafka, LabelFields, Labels, Model
from stream_monitor.counting.plans import Plan, event_plan
from tests.fuzz.plain import NOW

_NUMERIC: Final = NumericLayout(edges=(0.0, 1.0))
_WORDS: Final = CategoricalLayout(categories=("a", "b"))
_FIELDS: Final = Fields(
    id="id", time="ts", version="model.version", features="features", prediction="prediction", score="score",
    label="label", latency_ms="latency",
)  # fmt: skip
_LABELS: Final = Labels(topic="labels", fields=LabelFields(id="id", time="ts", label="y"))
_BINARY: Final = Model(topic=("t",), task="binary", fields=_FIELDS, labels=_LABELS, segments=("country",))
_LISTED: Final = Model(
    topic=("t",), task="regression", segments=("model.version",),
    fields=Fields(features=("features.f0", "features.note", "prediction", "model"), prediction="prediction"),
    columns={"features.note": "text", "model": "categorical"},
)  # fmt: skip
_CLASSES: Final = dataclasses.replace(_BINARY, task="multiclass", columns={"note": "text", "f1": "numeric"})
_LAYOUT: Final = Layout(
    pane_ms=1000,
    features={"f0": _NUMERIC, "f1": _NUMERIC, "country": _WORDS, "note": _NUMERIC, "f9": _WORDS},
    predictions={"prediction": _NUMERIC, "score": _NUMERIC},
)
_PATHS: Final = Layout(
    pane_ms=1000,
    features={"features.f0": _NUMERIC, "features.note": _NUMERIC, "model": _WORDS, "prediction": _WORDS},
    predictions={"prediction": _WORDS},
)
_MADE: Final = dataclasses.replace(
    _BINARY, columns={"note": "text", "at": "timestamp", "vector": "embedding", "f1": "list", "country": "boolean"}
)
_MADE_OF: Final = Layout(
    pane_ms=1000,
    features={
        "note": _NUMERIC, "note.tokens": _NUMERIC, "note.script": _WORDS, "at.age": _NUMERIC, "vector.norm": _NUMERIC,
        "f1.length": _NUMERIC, "country": _WORDS, "f0": _NUMERIC,
    },
    predictions={"prediction": _NUMERIC},
)  # fmt: skip
CASES: Final[list[tuple[Model, Layout | None]]] = [
    (_BINARY, _LAYOUT),
    (_BINARY, None),
    (_LISTED, _PATHS),
    (_LISTED, None),
    (_CLASSES, dataclasses.replace(_LAYOUT, predictions={"prediction": _WORDS, "score": _WORDS})),
    (_CLASSES, None),
    (_MADE, _MADE_OF),
    (_MADE, None),
    (dataclasses.replace(_BINARY, labels=None, columns={"country": "categorical", "note": "text"}), None),
]
DERIVED_PLAINLY: Final = (6, 7)  # cases with columns that are derived by the plain way only
DERIVED_QUICKLY: Final = tuple(i for i in range(len(CASES)) if i not in DERIVED_PLAINLY)

_VALUES: Final = [
    "null", "true", "false", "0", "-0", "-0.0", "1", "2.50", "1e5", "1E-7", "0.1", "-3.25e+2", "9007199254740993",
    "123456789012345678901234567890", "0.30000000000000004", "2.2250738585072011e-308", "5e-324", "1e400",
    "179769313486231580793e289", "8.41", "01", "1.", ".5", "-", "+1", "1e", "NaN", "Infinity", "-Infinity", "nan",
    '""', '"a"', '"b"', '"de"', '"a longer text than eight bytes"', '"\\n"', '"\\u00e9"', '"\\ud83d\\ude00"',
    '"\\ud83d"', '"\\ude00\\ud83dx"', '"\\x"', '"é"', '"日本😀"', '"\x01"', '"\x7f"', '"tab\\t\\"quoted\\""', '"1"',
    "[]", "[1, 2]", '[0.25,"x"]', "{}", '{"a": 0.5}', '{"a": 0.25, "b": 0.5, "a": 0.75}', '{"p": null}', "[[[[1]]]]",
    "[ 1 ,\t0.25 ]", "[]", "[ ]", "[-0, -0.0]", "[1, null]", '[1, "2\\""]', "[NaN, 1]", "[-Infinity]", "[1e400]",
    "[5e-324]", "[9007199254740993, 0.1]", "[[1], 2]", '[{"a": 1}]', '["a]", "[", "\\u005d"]', "[1 2]", "[,]", "[1,",
    "[01]", "[-]",
    f"[{2**1023}]", f"[{2**1023 + 1}, 1]", f"[0.5, -{10**400}]", "[true]", "[0.1" + ", 1.5" * 40 + "]",
    '"2023-11-14T22:13:20Z"', '"2023-11-14T22:13:20.1234567+01:30"', '"2023-02-29T00:00:00Z"', '"2023-11-14 22:13:20z"',
    '"2023-11-14T22:13:20"', "1700000000", "1700000000000", "1700000000000.5", "1700000000123456", "9e99", "tru", "nul",
    "1 2", "[1,]", '{"a":1,}', "[" * 70 + "]" * 70, '"' + "x" * 100 + '"', "1" * 40, "0." + "0" * 30 + "123456789" * 3,
]  # fmt: skip
_KEYS: Final = [
    "id",
    "ts",
    "features",
    "f0",
    "f1",
    "country",
    "version",
    "at",
    "vector",
    "x",
    "",
    "é",
    "a\\u0062",
    'q\\"',
    "y" * 70,
]
_EVENT: Final[dict[str, Any]] = {
    "id": '"p-1"',
    "ts": str(NOW),
    "model": {"name": '"m"', "version": '"v1"'},
    "features": {
        "f0": "0.5",
        "f1": "-1.25",
        "country": '"de"',
        "note": '"hello"',
        "vector": "[0.5, 1]",
        "at": '"2023-11-14T22:13:20Z"',
    },
    "prediction": "1",
    "score": "0.75",
    "label": "0",
    "latency": "12.5",
}


class Choices:
    """Decisions, a byte each; 0 when there are no more, which is always the plain choice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def pick(self, of: int) -> int:
        """A number below `of`."""
        self._at += 1
        return self._data[self._at - 1] % of if self._at <= len(self._data) else 0

    def some(self) -> bytes:
        """A few bytes as they are."""
        size = self.pick(5)
        self._at += size
        return self._data[self._at - size : self._at]


def _number(choices: Choices) -> str:
    """A number with digits from anywhere."""
    digits = "".join(str(int.from_bytes(choices.some() or b"7", "big")) for _ in range(1 + choices.pick(3)))
    point = choices.pick(len(digits) + 2)
    body = digits if point >= len(digits) else f"{digits[:point] or '0'}.{digits[point:]}"
    return f"{'-' * choices.pick(2)}{body}" + (f"e{choices.pick(256) - 128}" if choices.pick(4) == 1 else "")


def _list(choices: Choices, gap: str) -> str:
    """A list of numbers, now and then with something else in it."""
    items = [_VALUES[choices.pick(len(_VALUES))] if choices.pick(12) == 1 else _number(choices)
             for _ in range(choices.pick(6))]  # fmt: skip
    return f"[{gap.join(items)}]"


def _written(choices: Choices, of: dict[str, Any], gaps: tuple[str, str]) -> str:
    """An object with changes: values, keys, order, white space."""
    items = list(of.items())
    for _ in range((0, 0, 1, 1, 2, 4)[choices.pick(6)]):
        at, how = choices.pick(len(items) or 1), choices.pick(9)
        if not items or how == 1:
            items.insert(at, (_KEYS[choices.pick(len(_KEYS))], _VALUES[choices.pick(len(_VALUES))]))
        elif how == 2:
            items.insert(choices.pick(len(items)), items[at])
        elif how == 3:
            items.pop(at)
        elif how == 4:
            items.append(items.pop(at))
        elif how == 5:
            items[at] = (items[at][0], _number(choices))
        elif how == 6:
            gaps = ((", ", ": "), (",", ":"), (" ,\n\t", " : "), (" " * 80 + ",", ":"))[choices.pick(4)]
        elif how == 8:
            key = ("score", "vector", "f1", items[at][0])[choices.pick(4)]  # where lists are looked into
            items = [(k, _list(choices, gaps[0]) if k == key else v) for k, v in items]
        else:
            items[at] = (items[at][0], _VALUES[choices.pick(len(_VALUES))])
    return (
        "{"
        + gaps[0].join(f'"{k}"{gaps[1]}{_written(choices, v, gaps) if type(v) is dict else v}' for k, v in items)
        + "}"
    )


def value(choices: Choices) -> bytes | None:
    """A record: an event, nearly one, or bytes."""
    how = choices.pick(32)
    if how == 31:
        return None
    if how == 30:
        return choices.some() + choices.some()
    text = _written(choices, _EVENT, ((", ", ": "), (",", ":"))[choices.pick(2)]).encode()
    if how >= 27:
        at = choices.pick(256) * len(text) // 256
        return text[:at] + choices.some() + text[at + (how - 27) :]
    if how == 26:
        return text[: choices.pick(256) * len(text) // 256]
    return (b"", b" \n", b"\xef\xbb\xbf")[(0, 0, 0, 1, 2)[choices.pick(5)]] + text + (b"\r\n" if how == 25 else b"")


def block(choices: Choices) -> list[bytes | None]:
    """A few records."""
    return [value(choices) for _ in range(1 + choices.pick(7))]


def plans(**kafka: Any) -> Sequence[tuple[Plan, Layout | None]]:
    """The plans of all cases."""
    return [(event_plan("m", Config(models={"m": model}, kafka=Kafka(**kafka))), of) for model, of in CASES]
