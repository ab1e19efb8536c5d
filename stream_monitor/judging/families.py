"""Which columns tell of one thing together: those of an embedding, of a text, and the attributions of all features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detectors.counts import ColumnCounts, Counts
from detectors.families import FamilyCounts
from detectors.joint_counts import JointCounts, joint_counts
from detectors.layouts import Layout
from stream_monitor.config import Model
from stream_monitor.config.kinds import DERIVED
from stream_monitor.config.monitors import Monitor

Place = tuple[str, str]  # ("features" or "predictions", name)

FAMILIES = "families"
ATTRIBUTIONS = "attributions"


def families_of(monitor: Monitor, model: Model, layout: Layout) -> dict[str, dict[str, str]]:
    """Family -> its columns: name in the family -> feature, of those that a monitor looks at and the layout has.

    Attributions are one family, however many features there are.
    """
    kind, wanted = monitor.metric.kinds[0], monitor.spec.columns
    names = None if wanted == "all" else {wanted} if isinstance(wanted, str) else set(wanted)
    some = [n for n, k in model.columns.items() if k == kind and (names is None or n in names)]
    if kind == "attribution":
        found = {ATTRIBUTIONS: {n: n for n in some}}
    else:
        own = {"length": ""} if kind == "text" else {}  # a text column itself is counted as its length
        suffixes = own | {s: f".{s}" for s in DERIVED[kind]}
        found = {n: {member: f"{n}{suffix}" for member, suffix in suffixes.items()} for n in some}
    present = {f: {m: c for m, c in of.items() if c in layout.features} for f, of in found.items()}
    return {f: of for f, of in present.items() if of}


def family(
    columns: Mapping[Place, ColumnCounts], joint: JointCounts | None, members: Mapping[str, str]
) -> FamilyCounts:
    """The counts of a family, of a window's columns and of the products of all numeric features, if counted."""
    if joint is not None:
        at = [(member, joint.names.index(name)) for member, name in members.items() if name in joint.names]
        index = np.array([i for _, i in at], np.int64)
        joint = JointCounts(
            names=tuple(member for member, _ in at),
            rows=joint.rows,
            sums=joint.sums[index],
            products=joint.products[np.ix_(index, index)],
            fourth=joint.fourth[index],
        )
    return FamilyCounts(columns={m: columns["features", c] for m, c in members.items()}, joint=joint)


def products(counts: Counts, layout: Layout) -> JointCounts | None:
    """The products of ranks of a window; None where the layout counts none of pairs."""
    return joint_counts(counts, layout) if layout.joint_pairs else None
