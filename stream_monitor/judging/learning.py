"""What is normal, when no file says so: first a layout from raw counts, then a reference from panes under it.

    raw panes -> enough rows -> layout -> taps take it up -> panes wholly under it -> first N rows -> reference

The panes of a reference are kept as fine as the tap counts them, up to MOST of them; beyond, neighbours are added up in
pairs, which any order of arrival does alike. A reference can also be a span of the past, promoted by command, or trail
behind the present (trailing.py): then panes go on being gathered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from detectors.counts import Counts, merge
from detectors.layouts import RAW_ID
from stream_monitor.config import Model
from stream_monitor.entries import PaneRecord, Source
from stream_monitor.interfaces import Catalog
from stream_monitor.judging.packed_references import pack_reference, unpack_reference
from stream_monitor.judging.references import TRAILING, Reference, layout_from_raw
from stream_monitor.judging.trailing import due, holes, let_go, touched
from stream_monitor.moments import epoch_ms, rfc3339
from stream_monitor.outputs import Output
from stream_monitor.state.memories import Key, ModelState, Pane
from stream_monitor.state.states import State
from stream_monitor.state.units import keys_of
from stream_monitor.state.windows import unit_ms

FIRST: Final = 10_000  # rows of a reference, unless the configuration says otherwise
LAYOUT_ROWS: Final = 5_000  # rows that a layout is learnt from, or as many as the reference is to have if that is less
FAR: Final = 1 << 62  # later than any time
MOST: Final = 4_096  # panes gathered per segment


def learn(state: State, name: str, catalog: Catalog) -> list[Output]:
    """Derive the layout or the reference of a model, once enough is there."""
    model, known = state.model(name), state.models[name]
    if model.reference.file:
        return []
    if not known.layout:
        return _learn_layout(state, name, model, known, catalog)
    if not known.reference:
        return _learn_reference(state, name, model, known, catalog)
    end = due(model, known)
    return [] if end is None else _renew(state, name, model, known, end, catalog)


def progress(state: State, name: str) -> str:
    """Why there is no reference yet, or "" if there is one."""
    model, known = state.model(name), state.models[name]
    if known.reference:
        return ""
    if model.reference.file:
        return "the reference file has not been read yet"
    if not known.layout:
        rows = _raw_rows(state, name)
        return f"learning how to count the columns: {rows} of {_layout_rows(model)} rows"
    if model.reference.from_:
        return f"learning the reference from {model.reference.from_} to {model.reference.to}"
    gathered = sum(p.rows for _, p in _complete(state, name, known, "all"))
    return f"learning the reference: {gathered} of {model.reference.first or FIRST} rows"


def gather(state: State, source: Source, record: PaneRecord, catalog: Catalog) -> None:
    """Keep a pane for the reference of its model, if that is still to be learnt."""
    model, known = state.model(record.model), state.models[record.model]
    enough = model.reference.file or (known.reference and not model.reference.trailing)
    if enough or record.layout == RAW_ID or record.layout != known.layout:
        return
    if model.reference.from_ and not (
        epoch_ms(model.reference.from_) <= record.start_ms < epoch_ms(model.reference.to)
    ):
        return
    if not known.learning_pane_ms:
        known.learning_pane_ms = catalog.layout(record.layout).pane_ms
    key = (record.model, "", record.segment)
    panes = state.gathered.setdefault(key, {})
    start = record.start_ms // known.learning_pane_ms * known.learning_pane_ms
    panes.setdefault(start, Pane()).add(record.layout, record.counts)
    panes[start].cover(f"{source.topic}/{source.partition}", *record.offsets)
    state.touch("l", *key, start)
    while len(panes) > MOST:
        _coarsen(state, record.model, known)
    state.touch("m", record.model)


def _coarsen(state: State, name: str, known: ModelState) -> None:
    """Panes twice as long for all segments."""
    known.learning_pane_ms *= 2
    for key, panes in state.gathered.items():
        if key[0] != name:
            continue
        for start in sorted(panes):
            whole = start // known.learning_pane_ms * known.learning_pane_ms
            if whole != start:
                panes.setdefault(whole, Pane()).absorb(panes.pop(start))
                state.touch("l", *key, start)
                state.touch("l", *key, whole)


def _layout_rows(model: Model) -> int:
    return min(model.reference.first or FIRST, LAYOUT_ROWS)


def _raw_panes(state: State, name: str) -> list[Pane]:
    return [
        pane
        for key in keys_of(state, name)
        if key[2] == "all"
        for _, pane in sorted(state.panes.get(key, {}).items())
        if RAW_ID in pane.layouts
    ]


def _raw_rows(state: State, name: str) -> int:
    return sum(_rows_of(p, state.model(name), RAW_ID)[0] for p in _raw_panes(state, name))


def _rows_of(pane: Pane, model: Model, layout: str) -> tuple[int, int]:
    """(rows, those that features are known of): one number where features come with the predictions."""
    rows = pane.rows_under(layout)
    return rows, rows if model.features is None else pane.features_under(layout)


def _learn_layout(state: State, name: str, model: Model, known: ModelState, catalog: Catalog) -> list[Output]:
    seen = [_rows_of(p, model, RAW_ID) for p in _raw_panes(state, name)]
    if min(sum(rows for rows, _ in seen), sum(features for _, features in seen)) < _layout_rows(model):
        return []
    raw = merge(p.counts()[RAW_ID] for p in _raw_panes(state, name))
    known.layout = catalog.add_layout(layout_from_raw(model, raw))
    state.touch("m", name)
    now = state.head_state.now_ms
    body = {"model": name, "layout": known.layout}
    return [
        Output(kind="layout", model=name, id=known.layout, order=rfc3339(now), revision=0, time_ms=now, body=body)
    ]  # fmt: skip


def _complete(state: State, name: str, known: ModelState, segment: str) -> list[tuple[int, Pane]]:
    """Gathered panes wholly under the layout, whose time has passed."""
    panes = state.gathered.get((name, "", segment), {})
    length, mark = known.learning_pane_ms, known.watermark_ms
    begin = known.raw_until_ms
    return [
        (start, panes[start])
        for start in sorted(panes)
        if mark is not None and start + length <= mark and (begin is None or start >= begin)
    ]


def _learn_reference(state: State, name: str, model: Model, known: ModelState, catalog: Catalog) -> list[Output]:
    panes = _complete(state, name, known, "all")
    end: int | None = None
    if model.reference.from_:
        to = epoch_ms(model.reference.to)
        if known.watermark_ms is not None and known.watermark_ms >= to and any(p.rows for _, p in panes):
            end = to
    else:
        rows = features = 0
        for start, pane in panes:
            more, with_features = _rows_of(pane, model, known.layout)
            rows, features = rows + more, features + with_features
            if min(rows, features) >= (model.reference.first or FIRST):
                end = start + known.learning_pane_ms
                break
    if end is None:
        return []
    series = {
        key[2]: [(start, p.counts()[known.layout]) for start, p in _complete(state, name, known, key[2]) if start < end]
        for key in sorted(state.gathered)
        if key[0] == name
    }
    if model.reference.trailing:
        known.renewed_ms = end
    else:
        let_go(state, name, FAR)
    return [adopt(state, name, "", known.learning_pane_ms, known.layout, series, "learnt", catalog)]


def _renew(
    state: State, name: str, model: Model, known: ModelState, end: int, catalog: Catalog
) -> list[Output]:  # fmt: skip
    """The reference that trails up to `end`, if the panes without holes are enough; else the one before stays."""
    length = known.learning_pane_ms
    known.renewed_ms = end
    state.touch("m", name)
    begin = end - model.reference.trailing
    if known.raw_until_ms is not None:
        begin = max(begin, known.raw_until_ms)
    spans = holes(model, known, begin, end)
    series: dict[str, list[tuple[int, Counts]]] = {}
    for key in sorted(k for k in state.gathered if k[0] == name):
        panes = _complete(state, name, known, key[2])
        some = [(t, p) for t, p in panes if begin <= t and t + length <= end and not touched(t, length, spans)]
        series[key[2]] = [(start, p.counts()[known.layout]) for start, p in some]
    let_go(state, name, begin)
    rows, needed = _rows(series), model.reference.first or FIRST
    if rows < needed:
        of = f"{rfc3339(begin)} to {rfc3339(end)}"
        known.reference_facts = {
            **known.reference_facts,
            "note": f"not found anew: {rows} rows without holes from {of}, {needed} needed",
        }
        return []
    source = f"{TRAILING}{rfc3339(begin)} to {rfc3339(end)}"
    made = adopt(state, name, "", length, known.layout, series, source, catalog, holes=spans, anew=False)
    if begin == end - model.reference.trailing:
        known.reference_facts["provisional"] = False
    return [made]


def promote_span(
    state: State, name: str, version: str, from_ms: int, to_ms: int, order: str, catalog: Catalog
) -> tuple[list[Output], str]:
    """Make the panes in [from, to) the reference of a version: its own, if it has enough rows there, else those of all
    versions. The outputs, or none and why not.

    As fine as they are kept: the traces, if they hold every row of the span, else the units of windows. The reference
    says by which order: no two are the same one, so that a late withdrawal of the first cannot be one of the second.
    """
    model, known = state.model(name), state.models[name]
    of: str | None = version
    own = _span(state.panes, state, name, from_ms, to_ms, of)
    if _rows(own) < model.min_rows:
        of = None
        own = _span(state.panes, state, name, from_ms, to_ms, of)
    if _rows(own) < model.min_rows:
        return [], f"{_rows(own)} rows are still kept of that span, at least {model.min_rows} needed"
    pane_ms = unit_ms(model) or catalog.layout(known.layout).pane_ms
    if known.trace_ms:
        finer = _span(state.traces, state, name, from_ms, to_ms, of)
        if _rows(finer) == _rows(own):
            own, pane_ms = finer, known.trace_ms
    source = f"{rfc3339(from_ms)} to {rfc3339(to_ms)}, order {order}"
    return [adopt(state, name, version, pane_ms, known.layout, own, source, catalog)], ""


def _span(
    panes_of: Mapping[Key, Mapping[int, Pane]], state: State, name: str, from_ms: int, to_ms: int, version: str | None
) -> dict[str, list[tuple[int, Counts]]]:
    """Counts by segment and start; of one version, or None: of all."""
    found: dict[str, dict[int, list[Counts]]] = {}
    layout = state.models[name].layout
    for key in keys_of(state, name):
        if version is not None and key[1] != version:
            continue
        for start, pane in panes_of.get(key, {}).items():
            if from_ms <= start < to_ms and layout in pane.layouts:
                found.setdefault(key[2], {}).setdefault(start, []).append(pane.counts()[layout])
    return {s: [(t, merge(starts[t])) for t in sorted(starts)] for s, starts in sorted(found.items())}


def _rows(series: dict[str, list[tuple[int, Counts]]]) -> int:
    return sum(c.rows for _, c in series.get("all", ()))


def adopt(
    state: State, name: str, version: str, pane_ms: int, layout: str,
    series: dict[str, list[tuple[int, Counts]]], source: str, catalog: Catalog,
    *, holes: Sequence[tuple[int, int]] = (), anew: bool = True,
) -> Output:  # fmt: skip
    """Make counts the reference of a version, "" for the model's; the output that makes it known. `anew`: see below."""
    reference = Reference(
        model=name,
        version=version,
        layout=layout,
        pane_ms=pane_ms,
        rows=_rows(series),
        series={s: tuple(panes) for s, panes in series.items() if panes},
        source=source,
        holes=tuple(holes),
    )
    id = catalog.add_blob(pack_reference(reference))
    head, known = state.head_state, state.models[name]
    known.made = [*(other for other in known.made if other != id), id]
    head.disused = [other for other in head.disused if other != id]
    set_reference(state, name, version, id, catalog, anew=anew)
    now = head.now_ms
    body = {"model": name, "version": version, "reference": id}
    return Output(kind="reference", model=name, id=id, order=rfc3339(now), revision=0, time_ms=now, body=body)


def set_reference(state: State, name: str, version: str, id: str, catalog: Catalog, *, anew: bool = True) -> None:
    """Judge a version ("": every one without its own) against this reference from now on.

    `anew`: it stands for a model that was trained: the model's age counts from now, and change detectors begin again.
    """
    known = state.models[name]
    reference = unpack_reference(catalog.blob(id))
    if version:
        known.references[version] = id
    else:
        known.reference = id
        known.reference_facts = _facts(reference, provisional=not state.model(name).reference.file)
    state.disuse(name)
    _forget_judges(state, name)
    state.touch("m", name)
    if not anew:
        return
    known.trained_ms = known.watermark_ms if known.watermark_ms is not None else known.trained_ms
    for key in keys_of(state, name):
        if (not version or key[1] == version) and state.keys[key].series:
            state.keys[key].series = {}
            state.touch("k", *key)


def put_in_force(state: State, name: str, layout: str, reference: str, catalog: Catalog) -> None:
    """Count a model by another layout from now on. References counted by the one before can be compared with no more:
    `reference` takes their place, or without it one is learnt anew."""
    known = state.models[name]
    if known.layout == layout and not reference:
        return
    known.layout = catalog.layout(layout).id
    known.reference, known.reference_facts, known.references = "", {}, {}
    state.disuse(name)
    known.learning_pane_ms = known.trace_ms = 0
    let_go(state, name, FAR)
    _forget_judges(state, name)
    state.touch("m", name)
    if reference:
        set_reference(state, name, "", reference, catalog)


def _forget_judges(state: State, name: str) -> None:
    for cached in [k for k in state.derived if k[0] in ("judge", "scan") and k[1] == name]:
        del state.derived[cached]


def _facts(reference: Reference, *, provisional: bool) -> dict[str, Any]:
    series = reference.series.get("all", ())
    timed = reference.ordered_by == "time" and len(series) > 0
    return {
        "rows": reference.rows,
        "from": rfc3339(series[0][0]) if timed else None,
        "to": rfc3339(series[-1][0] + reference.pane_ms) if timed else None,
        "source": reference.source,
        "provisional": provisional,
    }
