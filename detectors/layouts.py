"""How a column is counted: bin edges of a numeric column, known categories of a categorical one.

A layout is immutable and its id is the hash of its content, so two processes that hold the same id count alike.
Its cells are the addresses of one flat vector of integers per pane (see counts.py):

    [outcome cells, the same for every layout | column 0 | column 1 | ...]
    a numeric column:     missing, nonfinite, unparseable, counts (len(edges) + 1), LIMBS digits of the exact sum
    a categorical column: missing, nonfinite, unparseable, counts (one per category), BUCKETS hash buckets of others
    a raw column (layout 0, which needs no data): missing, nonfinite, unparseable, RAW_BINS (the sign, exponent and
        three bits of mantissa of a number: the top 15 bits of the double), RAW_BUCKETS hash buckets of texts, LIMBS

Under the raw layout a text counts once in each of RAW_HASHES rows of hash buckets, so that a category can be told from
those it shares one bucket with (a count-min sketch), and `missing` is not stored: it is what the rows lack, since a
feature may be heard of only later.

Features come first, then predictions (`prediction`, `score`), in the order of the layout.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

HEAD: Final = 3  # missing, nonfinite, unparseable
MISSING, NONFINITE, UNPARSEABLE = 0, 1, 2
LIMBS: Final = 68  # 32-bit digits of an exact sum of doubles, the lowest worth 2**-1074
BUCKETS: Final = 32  # hash buckets for categories the layout does not know
RAW_BINS: Final = 1 << 15
RAW_HASHES: Final = 4
RAW_BUCKETS: Final = RAW_HASHES * 256
RAW_STRIDE: Final = HEAD + RAW_BINS + RAW_BUCKETS + LIMBS
MAX_EDGES: Final = 254
RAW_ID: Final = "0"

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
OUTCOME_CELLS: Final = LABEL_DELAY + LIMBS


@dataclass(frozen=True, slots=True, kw_only=True)
class NumericLayout:
    """Bins of a numeric column: bin i holds edges[i-1] <= x < edges[i]; the first and the last bin are open."""

    edges: tuple[float, ...]

    @property
    def kind(self) -> str:
        return "numeric"

    @property
    def bins(self) -> int:
        return len(self.edges) + 1

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
    def size(self) -> int:
        """Number of cells of all columns and the outcome."""
        return OUTCOME_CELLS + sum(c.size for _, _, c in self.columns)

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
        )
