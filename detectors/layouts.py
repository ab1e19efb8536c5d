"""How a column is counted: bin edges of a numeric column, known categories of a categorical one.

A layout is immutable and its id is the hash of its content, so two processes that hold the same id count alike.
Its cells are the addresses of one flat vector of integers per pane (see counts.py):

    [label and stream cells, the same for every layout | column 0 | column 1 | ... | joint cells | residual cells]
    a numeric column:     missing, nonfinite, unparseable, counts (len(edges) + 1), LIMBS digits of the exact sum
    a categorical column: missing, nonfinite, unparseable, counts (one per category), BUCKETS hash buckets of others
    a raw column (layout 0, which needs no data): missing, nonfinite, unparseable, RAW_BINS (the sign, exponent and
        three bits of mantissa of a number: the top 15 bits of the double), RAW_BUCKETS hash buckets of texts, LIMBS

Under the raw layout a text counts once in each of RAW_HASHES rows of hash buckets, so that a category can be told from
those it shares one bucket with (a count-min sketch), and `missing` is not stored: it is what the rows lack, since a
feature may be heard of only later.

Features come first, then predictions (`prediction`, `score`), in the order of the layout.

Joint cells (`joint`) are exact sums across the numeric features. The rank of a valid value in bin b of a column with B
bins is the integer 2 b - (B - 1), from -254 to 254; one that is missing or invalid has rank 0.

    up to JOINT_PAIRS pairs: one cell per pair i < j (`joint_pairs`), the sum of rank_i * rank_j
    beyond:                  one cell per combination (`joint_combinations`): JOINT_COMBINATIONS of them, each of
        JOINT_WIDTH columns with signs, drawn by a hash that knows the number of columns only; the sum of u^2 where u
        is the sum of sign * rank over its columns

Residual cells (`residual`) are sums over the events that carry their label, of an integer residual r:

    "score":   4096 (y - score), rounded half to even, y = 1 for the positive class and 0 otherwise
    "correct": 4096 times whether the prediction was wrong
    "value":   the bin of the label less the bin of the prediction, under the layout of `prediction`; where that is not
        numeric, 64 times the sign of label - prediction

    [number of residuals, sum of r, sum of r^2, sum of r * rank per numeric feature,
        sum of r per known category of each categorical feature]

The raw layout has neither. A layout without the key "joint" or "residual" in its JSON has no such cells either.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, Literal

HEAD: Final = 3  # missing, nonfinite, unparseable
MISSING, NONFINITE, UNPARSEABLE = 0, 1, 2
LIMBS: Final = 68  # 32-bit digits of an exact sum of doubles, the lowest worth 2**-1074
BUCKETS: Final = 32  # hash buckets for categories the layout does not know
RAW_BINS: Final = 1 << 15
RAW_HASHES: Final = 4
RAW_BUCKETS: Final = RAW_HASHES * 256
RAW_STRIDE: Final = HEAD + RAW_BINS + RAW_BUCKETS + LIMBS
MAX_EDGES: Final = 254
DOUBLE: Final = 8  # bytes
RAW_ID: Final = "0"
JOINT_PAIRS: Final = 300  # of 25 numeric features; beyond, combinations
JOINT_COMBINATIONS: Final = 256
JOINT_WIDTH: Final = 8  # columns of a combination
RESIDUAL_UNIT: Final = 4096  # of a residual of 1
RESIDUAL_SIGN: Final = 64  # a residual of which only the sign is known
RESIDUAL_HEAD: Final = 3  # residuals, sum of r, sum of r^2
RESIDUALS, RESIDUAL_SUM, RESIDUAL_SQUARES = range(3)

# Outcome cells: what labelled predictions say of the model's errors. Fixed, so that they need no layout.
SCORE_BINS: Final = 100  # equal bins of [0, 1], the last closed
LABELS, CORRECT, TP, FP, FN, TN, CONFLICTS, SCORED = range(8)
POSITIVE_SCORES = 8  # SCORE_BINS cells: scores of events labelled positive
NEGATIVE_SCORES = POSITIVE_SCORES + SCORE_BINS
LOG_LOSS = NEGATIVE_SCORES + SCORE_BINS  # LIMBS cells each from here on: exact sums
SQUARED_SCORE_ERROR = LOG_LOSS + LIMBS  # (score - label)^2, binary (Brier)
ERROR = SQUARED_SCORE_ERROR + LIMBS  # prediction - label, regression
ABSOLUTE_ERROR = ERROR + LIMBS
SQUARED_ERROR = ABSOLUTE_ERROR + LIMBS
LABEL_DELAY = SQUARED_ERROR + LIMBS  # label time - prediction time, seconds
LABEL_VALUE = LABEL_DELAY + LIMBS  # label, regression from here on
LABEL_SQUARE = LABEL_VALUE + LIMBS  # label^2, not rounded, so that the spread of labels far from 0 is exact too
RELATIVE_ERROR = LABEL_SQUARE + LIMBS  # |prediction - label| / |label|, of labels other than 0
RELATIVE_SQUARE = RELATIVE_ERROR + LIMBS  # and its square
SYMMETRIC_ERROR = RELATIVE_SQUARE + LIMBS  # 2 |prediction - label| / (|prediction| + |label|), 0 where both are 0
SYMMETRIC_SQUARE = SYMMETRIC_ERROR + LIMBS
NONZERO_LABELS = SYMMETRIC_SQUARE + LIMBS  # one cell: labels other than 0
LABEL_CELLS: Final = NONZERO_LABELS + 1

# Stream cells: how the events came, counted for the segment `all` where a monitor asks. Fixed, too.
LOG_BUCKETS: Final = 165  # of a duration, see log_buckets.py
KEY_CELLS: Final = 64
SCHEMA_CELLS: Final = 16
ID_LEVELS: Final = 16  # see ids.py
ID_CELLS: Final = 128  # of a level
FEATURE_ROWS = LABEL_CELLS  # events of a feature stream, which are no rows
OUT_OF_ORDER = FEATURE_ROWS + 1  # events before the greatest earlier event time of their partition
HOLES = OUT_OF_ORDER + 1  # offsets without a record before the events
DELAYS = HOLES + 1  # LOG_BUCKETS cells: Kafka timestamp - event time
LATENCIES = DELAYS + LOG_BUCKETS  # LOG_BUCKETS cells: what the events say the prediction took
KEYS = LATENCIES + LOG_BUCKETS  # KEY_CELLS cells: events by the hash of their Kafka key
SCHEMAS = KEYS + KEY_CELLS  # SCHEMA_CELLS cells: events by the hash of their schema
ID_COUNTS = SCHEMAS + SCHEMA_CELLS  # ID_LEVELS * ID_CELLS cells: events by the hash of their id
ID_SUMS = ID_COUNTS + ID_LEVELS * ID_CELLS  # and the sums of the fingerprints of these ids
OUTCOME_CELLS: Final = ID_SUMS + ID_LEVELS * ID_CELLS  # all cells before the first column


@dataclass(frozen=True, slots=True, init=False, repr=False)
class NumericLayout:
    """Bins of a numeric column: bin i holds edges[i-1] <= x < edges[i]; the first and the last bin are open.

    Why the edges are kept as bytes: as Python's numbers they take four times the room, and a process holds those of all
    columns of all models.

    >>> NumericLayout(edges=(0.0, 1.5))
    NumericLayout(edges=(0.0, 1.5))
    """

    _doubles: bytes

    def __init__(self, *, edges: Iterable[float]) -> None:
        object.__setattr__(self, "_doubles", array("d", edges).tobytes())

    def __repr__(self) -> str:
        return f"NumericLayout(edges={self.edges})"

    @property
    def edges(self) -> tuple[float, ...]:
        """Ascending; made anew each time."""
        return tuple(memoryview(self._doubles).cast("d"))

    @property
    def kind(self) -> str:
        return "numeric"

    @property
    def bins(self) -> int:
        return len(self._doubles) // DOUBLE + 1

    @property
    def size(self) -> int:
        """Number of cells."""
        return HEAD + self.bins + LIMBS


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoricalLayout:
    """Known categories of a categorical column, as text; others fall into BUCKETS hash buckets."""

    categories: tuple[str, ...]

    @property
    def kind(self) -> str:
        return "categorical"

    @property
    def bins(self) -> int:
        return len(self.categories)

    @property
    def size(self) -> int:
        """Number of cells."""
        return HEAD + self.bins + BUCKETS


ColumnLayout = NumericLayout | CategoricalLayout
Residual = Literal["", "score", "correct", "value"]

Combination = tuple[tuple[int, int], ...]  # (position of a numeric feature, sign -1 or 1), by position


@lru_cache(maxsize=16)
def combinations(columns: int) -> tuple[Combination, ...]:
    """The combinations of so many numeric features: the same in every process and release.

    >>> combinations(26) == combinations(26), len(combinations(26)), {len(c) for c in combinations(1000)}
    (True, 256, {8})
    """
    out = []
    for k in range(JOINT_COMBINATIONS):
        chosen: dict[int, int] = {}
        draw = 0
        while len(chosen) < min(JOINT_WIDTH, columns):
            drawn = int.from_bytes(hashlib.sha256(f"joint {columns} {k} {draw}".encode()).digest()[:8], "big")
            chosen.setdefault((drawn >> 1) % columns, 1 if drawn & 1 else -1)
            draw += 1
        out.append(tuple(sorted(chosen.items())))
    return tuple(out)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How all columns of a model are counted, and over how long a pane.

    Why one layout for all versions and segments of a model: their windows can then be compared cell by cell.

    >>> layout = Layout(pane_ms=1000, features={"a": NumericLayout(edges=(0.0,))}, predictions={})
    >>> layout.offsets["features", "a"] == OUTCOME_CELLS and layout.size == OUTCOME_CELLS + HEAD + 2 + LIMBS
    True
    >>> Layout.from_json(layout.to_json()) == layout
    True
    """

    pane_ms: int
    features: Mapping[str, ColumnLayout]
    predictions: Mapping[str, ColumnLayout]
    joint: bool = True
    residual: Residual = ""

    @cached_property
    def id(self) -> str:
        """16 hex digits of the SHA-256 of the content; "0" is kept for the raw layout, which has no object."""
        return hashlib.sha256(json.dumps(self.to_json(), separators=(",", ":")).encode()).hexdigest()[:16]

    @cached_property
    def columns(self) -> tuple[tuple[str, str, ColumnLayout], ...]:
        """(place, name, layout), place being "features" or "predictions", in the order of the cells."""
        return tuple(
            [("features", n, c) for n, c in self.features.items()]
            + [("predictions", n, c) for n, c in self.predictions.items()]
        )

    @cached_property
    def offsets(self) -> Mapping[tuple[str, str], int]:
        """(place, name) -> the column's first cell."""
        at, offsets = OUTCOME_CELLS, {}
        for place, name, column in self.columns:
            offsets[place, name] = at
            at += column.size
        return offsets

    @cached_property
    def numeric_features(self) -> tuple[str, ...]:
        """The features that have a rank, in order."""
        return tuple(n for n, c in self.features.items() if isinstance(c, NumericLayout))

    @cached_property
    def joint_pairs(self) -> tuple[tuple[str, str], ...]:
        """What each joint cell is about, from `joint_offset` on; empty where combinations are counted instead.

        >>> some = {n: NumericLayout(edges=(0.0,)) for n in "abc"}
        >>> Layout(pane_ms=1000, features=some, predictions={}).joint_pairs
        (('a', 'b'), ('a', 'c'), ('b', 'c'))
        """
        names = self.numeric_features
        if not self.joint or len(names) * (len(names) - 1) // 2 > JOINT_PAIRS:
            return ()
        return tuple((a, b) for i, a in enumerate(names) for b in names[i + 1 :])

    @property
    def _combines(self) -> bool:
        """Whether combinations are counted, and not pairs."""
        names = self.numeric_features
        return self.joint and len(names) * (len(names) - 1) // 2 > JOINT_PAIRS

    @property
    def joint_combinations(self) -> tuple[tuple[tuple[str, int], ...], ...]:
        """What each joint cell is about, as (name, sign); empty where pairs are counted. Made anew each time."""
        if not self._combines:
            return ()
        names = self.numeric_features
        return tuple(tuple((names[i], sign) for i, sign in c) for c in combinations(len(names)))

    @cached_property
    def joint_offset(self) -> int:
        """The first joint cell."""
        return OUTCOME_CELLS + sum(c.size for _, _, c in self.columns)

    @cached_property
    def joint_size(self) -> int:
        """Number of joint cells."""
        return len(combinations(len(self.numeric_features))) if self._combines else len(self.joint_pairs)

    @cached_property
    def residual_offset(self) -> int:
        """The first residual cell: RESIDUAL_HEAD cells, then `residual_features`."""
        return self.joint_offset + self.joint_size

    @cached_property
    def residual_features(self) -> tuple[tuple[str, str | None], ...]:
        """What each residual cell is about, from `residual_offset` + RESIDUAL_HEAD on.

        (name, None): the sum of r * rank of a numeric feature; (name, category): the sum of r over one category.
        """
        if not self.residual:
            return ()
        products: list[tuple[str, str | None]] = [(name, None) for name in self.numeric_features]
        for name, column in self.features.items():
            if isinstance(column, CategoricalLayout):
                products += [(name, category) for category in column.categories]
        return tuple(products)

    @cached_property
    def residual_size(self) -> int:
        """Number of residual cells."""
        return RESIDUAL_HEAD + len(self.residual_features) if self.residual else 0

    @cached_property
    def size(self) -> int:
        """Number of cells."""
        return self.residual_offset + self.residual_size

    def to_json(self) -> dict[str, Any]:
        """Plain data; floats survive exactly, as Python writes them shortest-exact."""

        def plain(column: ColumnLayout) -> dict[str, Any]:
            if isinstance(column, NumericLayout):
                return {"type": "numeric", "edges": list(column.edges)}
            return {"type": "categorical", "categories": list(column.categories)}

        return {
            "pane_ms": self.pane_ms,
            "features": {n: plain(c) for n, c in self.features.items()},
            "predictions": {n: plain(c) for n, c in self.predictions.items()},
            **({"joint": True} if self.joint else {}),
            **({"residual": self.residual} if self.residual else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Layout:
        """The layout that `to_json` was called on."""

        def column(plain: Mapping[str, Any]) -> ColumnLayout:
            if plain["type"] == "numeric":
                return NumericLayout(edges=tuple(float(e) for e in plain["edges"]))
            return CategoricalLayout(categories=tuple(plain["categories"]))

        return cls(
            pane_ms=int(data["pane_ms"]),
            features={n: column(c) for n, c in data["features"].items()},
            predictions={n: column(c) for n, c in data["predictions"].items()},
            joint=bool(data.get("joint", False)),
            residual=data.get("residual", ""),
        )
