"""The quick way through JSON against the plain one: the same batch and the same dead letters, to the last bit."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.layouts import Layout
from stream_monitor.blobs import PADDING
from stream_monitor.counting.plans import Plan
from stream_monitor.counting.times import parse_times
from stream_monitor.formats import floats, instants, numerals, scanning, templates, vectors
from stream_monitor.formats.machine import COMPILED, address
from tests.fuzz.events import CASES, Choices, block, plans
from tests.fuzz.plain import differences, records

pytestmark = pytest.mark.skipif(not COMPILED, reason="nothing is compiled, and there is no quick way")

PLANS = plans(max_event=2000) if COMPILED else []
"""They live through all examples: what one block taught must not show in another's result."""


class _Text:
    """A text in memory, and where it is."""

    def __init__(self, text: bytes) -> None:
        self._kept = np.frombuffer(text + bytes(PADDING), np.uint8)
        self.at = address(self._kept)
        self.end = self.at + len(text)


@settings(max_examples=250, deadline=None)
@given(st.integers(0, len(CASES) - 1), st.binary(max_size=200))
@example(0, b"")
def test_any_block(case: int, data: bytes) -> None:
    plan, layout = PLANS[case]
    assert differences(records(block(Choices(data))), plan, layout) == []


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.floats(allow_nan=False, allow_infinity=False).map(repr),
        st.binary(min_size=8, max_size=8).map(lambda b: repr(struct.unpack("<d", b)[0])),
        st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
        # halfway between two doubles, and just beside it
        st.tuples(st.integers(2**52, 2**53 - 1), st.integers(-60, 300), st.integers(-1, 1)).map(
            lambda t: f"{(2 * t[0] + 1) * 2 ** max(t[1], 0) * 10**3 + t[2]}e-3" if t[1] >= 0
            else f"{(2 * t[0] + 1) * 5 ** -t[1] * 10 + t[2]}e{t[1] - 1}"
        ),
    )
)  # fmt: skip
def test_numbers(text: str) -> None:
    of = _Text(text.encode())
    end, value, whole = numerals.number(of.at)
    end = end if end < 0 else end - of.at
    try:
        wanted = json.loads(text)
    except ValueError:
        assert end != len(text)
        return
    if isinstance(wanted, float) and not math.isfinite(wanted):
        assert end in (-1, 0) or text in ("inf", "-inf", "nan")
    elif end >= 0:
        assert end == len(text)
        assert struct.pack("<d", value) == struct.pack("<d", float(wanted))
        assert whole == isinstance(wanted, int)
    else:  # left to the plain way: what no ordinary double can be near
        assert len(text) > 19 or 0 < abs(wanted) < 2.3e-308 or "e" in text.lower()


@settings(max_examples=300, deadline=None)
@given(st.from_regex(r"-?[0-9]{1,2}\.?[0-9]{0,21}([eE][0-9])?[],} \n]?", fullmatch=True))
@example("-0.0")
@example("0.9007199254740993")  # beyond 2^53, beside a double
@example("9.999999999999999999")  # the longest there is
def test_short_decimals(text: str) -> None:
    """A digit, a point and one to eighteen digits, to the last bit; all else is left to `number`."""
    end, value = numerals.decimal((of := _Text(text.encode())).at)
    digits = text.rstrip("],} \n")
    sign, _, fraction = digits.partition(".")
    if len(sign.lstrip("-")) == 1 and 1 <= len(fraction) <= 18 and fraction.isdigit():
        assert end == of.at + len(digits)
        assert struct.pack("<d", value) == struct.pack("<d", float(digits))
    else:
        assert end == -1


@pytest.mark.parametrize("q", [-342, -325, -300, -65, -28, -27, -23, -22, -1, 0, 1, 22, 23, 27, 28, 55, 56, 200, 308])
def test_every_power_of_ten(q: int) -> None:
    """Random digits at each exponent where something changes: nothing but subnormal and infinite results is left."""
    r = np.random.default_rng(q + 1000)
    for w in r.integers(1, 2**64, size=50, dtype=np.uint64).tolist():
        value, known = floats.nearest(np.uint64(w), q, False)
        wanted = float(f"{w}e{q}")
        assert value == wanted if known else wanted < 2.3e-308 or math.isinf(wanted)


SPACES = st.sampled_from(["", "", "", " ", "\n\t "])
LISTED = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.sampled_from(["-0", "-0.0", "1e5", "0.1", "1E-7", "5e-324", "1e400", "01", "1.", "-", "NaN", "-Infinity", "null",
                     "true", '"1"', '"a]"', "[]", "[1]", "{}", '{"a": [1]}', "", str(2**1023), str(10**400)]),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(SPACES, LISTED, SPACES), max_size=6), SPACES, st.integers(0, 9), st.data())
@example([], "", 0, None)
def test_lists(items: list[tuple[str, str, str]], inside: str, before: int, data: Any) -> None:
    """Numbers to the last bit, or left to the plain way; and what is cut off is no list."""
    text = "[" + (",".join(map("".join, items)) or inside) + "]"
    cut = len(text) if data is None or data.draw(st.booleans()) else data.draw(st.integers(1, len(text)))
    of, pool = _Text(text[:cut].encode()), np.full(before + len(text) // 2 + 1, 7.0)
    end, filled = vectors.vector(of.at, pool, before)
    ended, count = vectors.items(of.at)
    assert (pool[:before] == 7.0).all()
    try:
        wanted = json.loads(text[:cut])
    except ValueError:
        assert end < 0
        assert ended < 0
        return
    assert ended < 0 or (ended == of.end and count == len(wanted))
    if end >= 0:
        assert end == of.end
        assert {type(x) for x in wanted} <= {int, float}
        assert pool[before:filled].tobytes() == np.array(wanted, np.float64).tobytes()
    else:  # nothing that is ordinary
        assert any(type(x) not in (int, float) or not 2.3e-308 < abs(x) < 2**1023 for x in wanted if x != 0)


TIME_TEXTS = st.one_of(
    st.datetimes().map(lambda t: t.isoformat() + "Z"),
    st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,9})?"
                  r"([zZ]|[+-][0-2][0-9]:[0-6][0-9])?", fullmatch=True),
    st.text(st.sampled_from("0123456789-:TZ.+ "), max_size=30),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(TIME_TEXTS.filter(str.isascii))
def test_times(text: str) -> None:
    (wanted,), (good,) = parse_times([text])
    of = _Text(text.encode())
    assert instants.rfc3339_ms(of.at, of.end) == (wanted, good)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e18, 1e18), st.integers(0, 2**61)))
def test_epochs(value: float) -> None:
    (wanted,), (good,) = parse_times([value])
    assert instants.epoch_ms(float(value)) == (wanted, good)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20), st.booleans())
def test_lengths(text: str, ascii_only: bool) -> None:
    data = json.dumps(text, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    of = _Text(data)
    end, made = scanning.text(of.at + 1)
    assert scanning.plain_text(of.at + 1) == (end if end < 0 or (made == 0 and end - of.at - 1 <= 16) else -1)
    try:
        wanted = len(json.loads(data.decode()))
    except UnicodeDecodeError:
        assert end == -1
        return
    assert end == of.end - 1
    assert scanning.characters(of.at + 1, end) == wanted


def _walked(plan: Plan, layout: Layout | None, values: list[bytes]) -> float:
    """The share of records that the quick walk reads."""
    quick = templates.JsonQuick(plan, layout)
    found = quick.walk(records(values))
    assert found is not None
    return float(found.events(10**15).mean())


SHAPES: dict[str, list[dict[str, Any]]] = {
    "alike": [{}] * 4,
    "interleaved": [{}, {"prediction": 0.5, "extra": [1, {"a": None}]}] * 2,
    "nulls": [{"score": None}, {"label": None, "latency": None}, {"features": {"f0": None, "country": None}}, {}],
    "missing features": [{"features": {"f1": 2}}, {"features": {}}, {"features": {"country": "é\n"}}, {}],
    "kinds": [{"features": {"f0": "x", "f1": True, "country": 5}}, {"features": {"f0": [1], "f1": {}}}, {}, {}],
    "lists": [
        {"score": [0.25, 1], "features": {"vector": [0.5, 1e-3], "f1": ["a", {"b": [1]}], "country": "de"}},
        {"score": [], "features": {"vector": [], "f1": [], "country": None}},
        {"score": {"a": 0.5}, "features": {"vector": None, "f1": None}},
        {"score": None, "features": {"vector": "none", "f1": {"a": 1}}},
    ],
    "RFC 3339": [{"ts": "2023-11-14T22:13:20.5+01:00"}, {"ts": "2023-11-14T22:13:20Z"}] * 2,
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("case", [0, 1, 4, 5, 6, 7, 8])
def test_the_walk_reads_it(case: int, name: str) -> None:
    """Common variation stays on the quick way: without this the tests above could pass on the plain way alone."""
    event = {
        "id": "a", "ts": 1_600_000_000, "model": {"version": "v1"}, "prediction": 1, "score": 0.9,
        "features": {"f0": 0.123456789012345678, "f1": -1, "country": "de", "note": "hello"},
    }  # fmt: skip
    values = [json.dumps({**event, **change}).encode() for change in SHAPES[name]]
    plan, layout = PLANS[case]
    if name == "lists" and plan.model.task == "binary":
        values = [value.replace(b'"score"', b'"scores"') for value in values]
    assert _walked(plan, layout, values) == 1.0
    assert differences(records(values), plan, layout) == []


def test_words_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """More distinct words than the table has room for at first, and more features than there are slots."""
    (plan, layout), (_, _) = PLANS[0], PLANS[1]
    event = {"id": "a", "ts": 1_600_000_000, "model": {"version": "v1"}, "prediction": 1}
    values = [json.dumps({**event, "features": {"country": f"word {i % 1501}"}}).encode() for i in range(5000)]
    assert differences(records(values), plan, layout) == []
    names = [json.dumps({**event, "features": {f"name {i % 200}": i}}).encode() for i in range(300)]
    assert differences(records(names), *PLANS[1]) == []
    monkeypatch.setattr(templates, "MAX_NAMES", 40)  # slots for twice as many, then the plain way
    names = [json.dumps({**event, "features": {f"other {i}": i}}).encode() for i in range(400)]
    assert differences(records(names), *PLANS[1]) == []
