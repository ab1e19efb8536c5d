"""Tables of real (or published) events: as they came, where the row of a change is known, and shuffled, so that nothing
drifts, with a change put in by the generator.

`deploy/demo/data` has two; a folder with more of the tables below under the same names is read in the same way. Tables
whose change nobody knows are only shuffled. Where a table has no score, a linear fit of the reference's labels is one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from tests.evaluation import make_streams
from tests.evaluation.make_streams import INJECT, Stream

AS_IT_CAME: Final = "recorded"
SCENARIOS: Final = (AS_IT_CAME, *INJECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is known of a table: the label's column, columns that are no features, and rows (reference, change, end)."""

    label: str
    without: tuple[str, ...] = ()
    score: str | None = None
    rows: tuple[int, int, int] | None = None
    shuffled: bool = True  # whether it is a base for changes that are put in


TABLES: Final[dict[str, Table]] = {
    "car_loan": Table(
        label="repaid", without=("id", "timestamp", "y_pred"), score="y_pred_proba", rows=(50_000, 75_000, 100_000)
    ),
    "bike": Table(label="cnt", without=("dteday",)),  # whether an hour has more hires than half of all hours
    "adult": Table(label="class"),
    "elec2": Table(label="class", without=("date",)),
    "lobo_sine_0123_abrupto": Table(label="class", rows=(5_000, 10_000, 20_000), shuffled=False),
    # Published as row 9,500; by the formula of its first concept, labels of the second are among them from 8,500 on.
    "lobo_mixed_0101_gradual": Table(label="class", rows=(4_500, 8_500, 20_000), shuffled=False),
    "lobo_stagger_0120_abrupto": Table(label="class", rows=(5_000, 10_000, 20_000), shuffled=False),
}


def tables(folder: Path, scenario: str) -> list[str]:
    """The tables in a folder that a scenario can be read from; ValueError when it has none of them."""
    there = [name for name in TABLES if (folder / f"{name}.parquet").exists()]
    if not there:
        raise ValueError(f"{folder} has none of the tables {', '.join(f'{name}.parquet' for name in TABLES)}")
    return [n for n in there if (TABLES[n].rows is not None if scenario == AS_IT_CAME else TABLES[n].shuffled)]


def draw(folder: Path, name: str, scenario: str, seed: int, size: str) -> tuple[Stream, Stream]:
    """Reference and stream; what was put in, by the seed."""
    of, frame = TABLES[name], pd.read_parquet(folder / f"{name}.parquet")
    labels = _binary(frame.pop(of.label))
    score = frame.pop(of.score).to_numpy(float) if of.score else None
    frame = frame.drop(columns=list(of.without))
    if scenario == AS_IT_CAME:
        return _as_it_came(name, frame, labels, score)
    single = frame.select_dtypes("float32").columns  # of two kinds of numbers pandas makes an array that may be changed
    frame = frame.astype({single[0]: np.float64}) if len(single) else frame
    inject: Any = make_streams.inject  # kept as it came, without types
    with tempfile.TemporaryDirectory() as part:
        path = Path(part) / f"{name}.parquet"
        frame.assign(label=labels).to_parquet(path)
        found: tuple[Stream, Stream] = inject(path, "label", scenario, seed, size=size)
    return found


def _binary(labels: Any) -> Any:
    """0 and 1, of two classes or of numbers (above their median)."""
    if labels.nunique() > 2:
        return (labels > labels.median()).astype(np.int8)
    return (labels == sorted(labels.unique())[1]).astype(np.int8)


def _as_it_came(name: str, frame: Any, labels: Any, score: Any) -> tuple[Stream, Stream]:
    rows = TABLES[name].rows
    assert rows is not None
    known, change, end = rows
    numeric = [c for c in frame.columns if frame[c].dtype.kind in "iuf" and frame[c].nunique() > 12]
    x, cat, names = frame[numeric].to_numpy(float), {}, {}
    for column in frame.columns.difference(numeric):
        codes, words = frame[column].factorize()
        cat[column], names[column] = codes.astype(np.int16), [str(w) for w in words]
    y = labels.to_numpy()
    score = _fitted(x, list(cat.values()), y, known) if score is None else score
    truth = {"scenario": AS_IT_CAME, "drift": True, "change": change - known, "base": name}
    times = np.arange(end, dtype=float)
    make: Any = Stream

    def cut(a: int, b: int) -> Stream:
        some = {k: v[a:b] for k, v in cat.items()}
        found: Stream = make(x[a:b], some, names, times[a:b], score[a:b], y[a:b], truth, numeric)
        return found

    return cut(0, known), cut(known, end)


def _fitted(x: Any, cat: Sequence[Any], y: Any, known: int) -> Any:
    """Least squares on the reference's events, where a category counts as the share of positives among its own."""
    shares = [
        np.array([*(y[:known][c[:known] == k].mean() for k in range(c.max() + 1)), y[:known].mean()])[c] for c in cat
    ]
    columns = np.column_stack([np.nan_to_num(x), *shares, np.ones(len(y))])
    weights = np.linalg.lstsq(columns[:known], y[:known].astype(float), rcond=None)[0]
    return np.clip(columns @ weights, 0.001, 0.999)
