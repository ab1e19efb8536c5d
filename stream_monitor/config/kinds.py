"""Kinds of columns, and the ordinary columns that are derived from those that no bin can hold.

    numeric      itself                     categorical  itself
    boolean      itself, as `false` or `true`
    text         itself, as its length in characters; NAME.tokens, between white space; NAME.script, the one that most
                 of its letters are of
    timestamp    NAME.age, seconds before the event's time; NAME.hour_of_week, 0 to 167 from Monday 00:00 in UTC
    embedding    NAME.length; NAME.norm; NAME.p0 to NAME.p15, projections on directions that depend on the length alone
    list         NAME.length
    attribution  its size: what a feature added to a prediction (SHAP, LIME, ...), without its sign

Derived columns stand in layouts, windows and monitors like all others; counting/derivations.py makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, cast, get_args

from stream_monitor.config import Kind, Model

CountedAs = Literal["numeric", "categorical", "text", "boolean"]  # kinds of columns that are counted themselves

PROJECTIONS: Final = 16

DERIVED: Final[Mapping[str, Mapping[str, CountedAs]]] = {
    "text": {"tokens": "numeric", "script": "categorical"},
    "timestamp": {"age": "numeric", "hour_of_week": "numeric"},
    "embedding": {"length": "numeric", "norm": "numeric", **{f"p{k}": "numeric" for k in range(PROJECTIONS)}},
    "list": {"length": "numeric"},
}


def derived_from(columns: Mapping[str, Kind]) -> dict[str, str]:
    """Derived columns -> what they are derived from.

    >>> derived_from({"at": "timestamp", "amount": "numeric"})
    {'at.age': 'at', 'at.hour_of_week': 'at'}
    """
    return {f"{name}.{suffix}": name for name, kind in columns.items() for suffix in DERIVED.get(kind, ())}


def needs_time(name: str, columns: Mapping[str, Kind]) -> bool:
    """Whether a column says nothing where events have no time, as in a reference without one.

    >>> needs_time("at.age", {"at": "timestamp"}), needs_time("at.hour_of_week", {"at": "timestamp"})
    (True, False)
    """
    return name.endswith(".age") and columns.get(name.removesuffix(".age")) == "timestamp"


def counted_as(columns: Mapping[str, Kind]) -> dict[str, CountedAs]:
    """How each column that is counted is learnt.

    >>> counted_as({"at": "timestamp", "ok": "boolean"})
    {'ok': 'boolean', 'at.age': 'numeric', 'at.hour_of_week': 'numeric'}
    """
    itself = get_args(CountedAs)
    found = {name: cast(CountedAs, kind) for name, kind in columns.items() if kind in itself}
    found |= {name: "numeric" for name, kind in columns.items() if kind == "attribution"}
    for name, kind in columns.items():
        found |= {f"{name}.{suffix}": of for suffix, of in DERIVED.get(kind, {}).items()}
    return found


def feature_columns(model: Model) -> tuple[str, ...] | None:
    """The feature columns that the configuration names; None where they are learnt from the data."""
    listed = model.feature_paths
    names = listed if isinstance(listed, tuple) else tuple(model.columns)
    made = derived_from(model.columns)
    alone = set(made.values()) - counted_as(model.columns).keys()  # counted by what is derived of them only
    return (*(n for n in names if n not in alone), *made) or None
