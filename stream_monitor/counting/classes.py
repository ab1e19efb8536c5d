"""Scores of classes: what a multiclass event may say, the greatest probability of it, and what labels say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from stream_monitor.counting.batches import NO_NUMBERS, Column, Floats, Integers
from stream_monitor.counting.columns import column, safe
from stream_monitor.counting.plans import Mask
from stream_monitor.counting.scores import ClassScores

_LONGEST_NUMBER: Final = 9  # digits of a class that is called by its number


def class_scores(values: Sequence[Any]) -> tuple[Column, ClassScores]:
    """The score column, which is the greatest probability, and what each event said of the classes."""
    best, lists, named = [], [], {}
    for row, value in enumerate(values):
        of = list(value.values()) if type(value) is dict else value
        best.append(max(of, default=None) if type(of) is list else of)
        lists.append(list(map(_double, value)) if type(value) is list else [])
        if type(value) is dict:
            named[row] = {safe(k): _double(p) for k, p in value.items()}
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    numbers = np.concatenate([NO_NUMBERS, *map(np.asarray, filter(None, lists))])
    return column("score", best, "raw"), ClassScores(numbers, counts.cumsum() - counts, counts, named)


def _double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond every double
        return float("inf") if value > 0 else float("-inf")


def of_labels(scores: ClassScores, rows: Mask, actual: Integers, names: Sequence[str]) -> tuple[Mask, Floats, Floats]:
    """Which of `rows` are told probabilities, the one given to the class `names[actual]`, and the Brier score.

    That is the sum over classes of (probability - truth)^2; entry i of a list is class i.

    >>> _, of = class_scores([[0.25, 0.75], {"b": 0.5, "a": 0.5}, [2.0]])
    >>> [x.tolist() for x in of_labels(of, np.ones(3, np.bool_), np.array([0, 1, 0]), ["1", "c"])]
    [[True, True, False], [0.75, 0.0, 1.0], [0.125, 1.5, 0.0]]
    """
    n = len(scores)
    told, given, squares = np.zeros(n, np.bool_), np.ones(n), np.zeros(n)
    listed = np.flatnonzero(rows & (scores.counts > 0))
    if len(listed):
        places = np.array([_place(name) for name in names], np.int64)[actual[listed]]
        counts = scores.counts[listed]
        for count in np.unique(counts).tolist():
            here = counts == count
            some = listed[here]
            told[some], given[some], squares[some] = _of_lists(scores, some, places[here], count)
    for row, said in scores.named.items():
        if rows[row] and (found := _of_object(said, names[actual[row]])) is not None:
            told[row], (given[row], squares[row]) = True, found
    return told, np.where(told, given, 1.0), np.where(told, squares, 0.0)


def _place(name: str) -> int:
    """The entry of a list that a class has, -1 for none."""
    plain = name.isascii() and name.isdigit() and len(name) <= _LONGEST_NUMBER
    return int(name) if plain and str(int(name)) == name else -1


def _of_lists(scores: ClassScores, rows: Integers, places: Integers, count: int) -> tuple[Mask, Floats, Floats]:
    """The same of lists of one length; places are added up in the order of their names, as those of an object are."""
    fine = np.ones(len(rows), np.bool_)
    given, squares = np.zeros(len(rows)), np.zeros(len(rows))
    with np.errstate(over="ignore", invalid="ignore"):
        for place in sorted(range(count), key=str):
            p = scores.numbers[scores.starts[rows] + place]
            mine = places == place
            off = p - mine
            fine &= (p >= 0.0) & (p <= 1.0)
            given = np.where(mine, p, given)
            squares += off * off
    return fine, given, squares + ((places < 0) | (places >= count))


def _of_object(said: Mapping[str, float], name: str) -> tuple[float, float] | None:
    if not said or not all(0.0 <= p <= 1.0 for p in said.values()):
        return None
    squares = 0.0
    for key in sorted(said):  # a fixed order: additions of doubles depend on it
        off = said[key] - (key == name)
        squares += off * off
    return said.get(name, 0.0), squares if name in said else squares + 1.0
