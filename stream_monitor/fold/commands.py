"""What the service was told to do, as the fold obeys it: one function a kind of command."""

from __future__ import annotations

from typing import Final

from detectors.layouts import RAW_ID
from stream_monitor.config import Config, Model
from stream_monitor.config.plain import config_from_plain
from stream_monitor.entries import Command
from stream_monitor.fold import alerts
from stream_monitor.fold.lives import alert_output
from stream_monitor.fold.removals import forget_segments, remove
from stream_monitor.fold.retrainings import ask, causes_of
from stream_monitor.fold.summaries import model_output
from stream_monitor.interfaces import Catalog
from stream_monitor.judging.learning import promote_span, put_in_force, set_reference
from stream_monitor.judging.verdicts import monitors
from stream_monitor.moments import epoch_ms
from stream_monitor.outputs import Output
from stream_monitor.state.concerns import configured_models
from stream_monitor.state.memories import Configured, GroupState, KeyState, ModelState, Silence
from stream_monitor.state.states import State
from stream_monitor.state.units import keys_of, unit_ends

REMEMBERED: Final = 200  # commands of a model that act only once
SILENCES: Final = 100  # silences kept of a model
BEFORE: Final = 16  # ids of configurations kept that were in force before
GONE: Final = "the model was removed from the configuration"


def obey(state: State, command: Command, catalog: Catalog) -> list[Output]:
    """Do as told. A command for a model that is not here, or that came before, does nothing."""
    if command.kind == "config":
        return _configure(state, command, catalog)
    outputs: list[Output] = []
    for name in _models(state, command):
        known = state.models[name]
        if command.id in known.commands:
            continue
        known.commands = [*known.commands, command.id][-REMEMBERED:]
        known.note = ""
        state.touch("m", name)
        match command.kind:
            case "layout":
                put_in_force(state, name, command.body["layout"], command.body.get("reference", ""), catalog)
            case "reference":
                set_reference(state, name, command.body.get("version") or "", command.body["reference"], catalog)
            case "promote":
                body = command.body
                span = epoch_ms(body["from"]), epoch_ms(body["to"])
                made, known.note = promote_span(state, name, body["version"], *span, command.id, catalog)
                outputs += made
            case "acknowledge":
                outputs += _acknowledge(state, name, command)
            case "silence":
                _silence(state, name, command)
            case "retrain":
                outputs += _retrain(state, name, command)
        outputs.append(model_output(state, name))
    return outputs


def _models(state: State, command: Command) -> list[str]:
    """The models a command is for: the one it names, or for an alert the one that has it, or all."""
    name = command.body.get("model")
    here = configured_models(state)
    if name:
        return [name] if name in here else []
    if command.kind == "acknowledge":
        return [n for n in here if _groups_with(state, n, command.body["alert"])]
    return here


def _configure(state: State, command: Command, catalog: Catalog) -> list[Output]:
    before, told = state.config, state.configured
    body, id = command.body, command.id.removeprefix("config:")
    topics = {name: sorted(found) for name, found in (body.get("topics") or {}).items()}
    fresh = Configured(body["config"], dict(body["layouts"]), dict(body["references"]), topics, id)
    if told is not None:
        fresh.before = [i for i in (*told.before, told.id) if i not in ("", id)][-BEFORE:]
    if told != fresh:
        state.configured, state.config = fresh, config_from_plain(body["config"])
        state.touch("c")
        state.derived.clear()
    here = configured_models(state)
    outputs = [o for name in sorted(state.models.keys() - set(here)) for o in remove(state, name, GONE)]
    for name in here:
        if name not in state.models:
            # Its document's revisions go on from those of a model of this name that was removed.
            state.models[name] = ModelState(documents=0 if before is None else state.head_state.now_ms)
        known = state.models[name]
        state.touch("m", name)
        if before is not None and name in before.models and state.config is not None:
            outputs += forget_segments(state, name, before.models[name])
            _windows_changed(state, name, before.models[name], state.config)
        # Only what is new in the configuration: every restart repeats it, and what was promoted since is to stay.
        layout, reference = fresh.layouts.get(name), fresh.references.get(name)
        if layout and layout != RAW_ID and (not known.layout or told is None or told.layouts.get(name) != layout):
            known.layout = catalog.layout(layout).id
        if reference and (not known.reference or told is None or told.references.get(name) != reference):
            set_reference(state, name, "", reference, catalog)
        outputs += _end_unwatched(state, name)
        outputs.append(model_output(state, name))
    return outputs


def _end_unwatched(state: State, name: str) -> list[Output]:
    """Groups that no monitor is left of: nothing would ever resolve their alerts."""
    watched = {m.metric.group for m in monitors(state, name)}
    made = []
    for key in keys_of(state, name):
        groups = state.keys[key].groups
        for group in [g for g in sorted(groups) if g not in watched]:
            if groups[group].alert:
                made.append(alerts.move(groups[group], "resolved", "no longer monitored", "", state.head_state.now_ms))
            del groups[group]
            state.touch("k", *key)
    return [alert_output(state, a) for a in made]


def _windows_changed(state: State, name: str, before: Model, config: Config) -> None:
    """Windows of another length begin where no unit of the old ones reaches."""
    model = config.models[name]
    if (before.window, before.slide_ms) == (model.window, model.slide_ms):
        return
    slide = model.slide_ms
    for key in keys_of(state, name):
        own = state.keys[key]
        end = unit_ends(state, key, before)
        state.touch("k", *key)
        fresh = KeyState(groups=own.groups, last=own.last, values=own.values)
        if end is not None:
            begin = end if model.window.rows else -(-end // slide) * slide
            fresh.begin_ms = fresh.first_ms = begin
            fresh.closed_ms = begin - (1 if model.window.rows else slide)
            fresh.next_ms = begin if model.window.rows else None
        state.keys[key] = fresh


def _groups_with(state: State, name: str, alert: str) -> list[GroupState]:
    groups = [g for k in keys_of(state, name) for g in state.keys[k].groups.values()]
    return [g for g in [*groups, state.models[name].stream] if g.alert.get("id") == alert]


def _acknowledge(state: State, name: str, command: Command) -> list[Output]:
    for key in keys_of(state, name):
        state.touch("k", *key)
    comment = command.body.get("comment") or "acknowledged"
    made = [
        alerts.move(group, "acknowledged", comment, command.by, state.head_state.now_ms)
        for group in _groups_with(state, name, command.body["alert"])
        if group.alert["state"] == "firing"
    ]
    if not made:
        state.models[name].note = f"alert {command.body['alert']} is not firing"
    return [alert_output(state, a) for a in made]


def _silence(state: State, name: str, command: Command) -> None:
    body, known = command.body, state.models[name]
    kept = [s for s in known.silences if s.until_ms > state.head_state.now_ms and s.id != body["id"]]
    until = epoch_ms(body["until"]) if isinstance(body["until"], str) else int(body["until"])
    silence = Silence(body["id"], dict(body.get("matchers") or {}), until, body.get("comment") or "", command.by)
    known.silences = [*kept, silence][-SILENCES:]


def _retrain(state: State, name: str, command: Command) -> list[Output]:
    """By hand: the version and span named, else the newest version and what its firing alerts cover."""
    known, body = state.models[name], command.body
    newest = max(known.versions, key=lambda v: (known.versions[v].first_ms, v), default="")
    version = body.get("version") or newest
    if known.versions and version not in known.versions:
        known.note = f"no version {version!r} to train anew; known: {', '.join(sorted(known.versions))}"
        return []
    causes = causes_of(state, name, version, ("drift", "performance", "quality", "fairness"), [])
    seen = known.versions.get(version)
    to = known.closed_end_ms if known.closed_end_ms is not None else known.watermark_ms
    from_ms = epoch_ms(body["from"]) if body.get("from") else min((c.onset_ms for c in causes), default=None)
    to_ms = epoch_ms(body["to"]) if body.get("to") else to
    if from_ms is None and seen is not None:
        from_ms = seen.first_ms
    if from_ms is None or to_ms is None or from_ms >= to_ms:
        known.note = "nothing to train on yet"
        return []
    reason = body.get("reason") or "asked for by hand"
    return [ask(state, name, version, causes, reason, from_ms, to_ms, by=command.by, command=command.id)]
