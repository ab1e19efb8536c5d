"""Which retrain request the state of a model calls for: its causes, its evidence, the data it is about."""

from __future__ import annotations

from typing import Final

from stream_monitor.fold import retrains
from stream_monitor.outputs import Output
from stream_monitor.state.states import State
from stream_monitor.state.units import keys_of, labels_in

ANSWERED: Final = 200  # alerts remembered as answered by a retrain request


def retrain(state: State, name: str, end_ms: int) -> list[Output]:
    policy, known = state.model(name).retrain, state.models[name]
    if policy is None:
        return []
    known.waiting = ""
    newest = max(known.versions, key=lambda v: (known.versions[v].first_ms, v), default=None)
    for version in sorted(known.versions):
        causes = causes_of(state, name, version, policy.on, known.answered)
        if not causes and version != newest:
            continue
        since = min((c.onset_ms for c in causes), default=end_ms)
        situation = retrains.Situation(
            now_ms=end_ms,
            causes=causes,
            labels=labels_between(state, name, version, since, end_ms),
            requested_ms=known.requested_ms,
            trained_ms=known.trained_ms if version == newest else None,
            unsound=_unsound(state, name, version),
        )
        decision = retrains.decide(policy, situation)
        if not decision.ask:
            known.waiting = known.waiting or decision.reason
            continue
        if not causes:
            since = max(t for t in (known.trained_ms, known.requested_ms) if t is not None)
        return [ask(state, name, version, causes, decision.reason, since, end_ms)]
    return []


def causes_of(
    state: State, name: str, version: str, groups: tuple[str, ...], answered: list[str]
) -> list[retrains.Cause]:
    """Firing alerts of a version that no request has answered."""
    return [
        retrains.Cause(
            alert=group.alert,
            onset_ms=group.onset_ms,
            monitors=sorted({s.rpartition("|")[0] for s in group.about}),
            offsets=group.offsets,
        )
        for key in keys_of(state, name)
        if key[1] == version
        for group_name, group in sorted(state.keys[key].groups.items())
        if group_name in groups
        and group.alert
        and group.alert["state"] in retrains.ACTIVE
        and group.alert["id"] not in answered
    ]


def _unsound(state: State, name: str, version: str) -> str:
    """What the quality monitors of a version say is wrong with its data now."""
    own = state.keys.get((name, version, "all"))
    group = own.groups.get("quality") if own is not None else None
    return ", ".join(sorted(group.runs)[:3]) if group is not None else ""


def labels_between(state: State, name: str, version: str, from_ms: int, to_ms: int) -> int:
    """Labels of a version with their own time in [from, to), of those units that are still kept."""
    panes = state.panes.get((name, version, "all"), {})
    return sum(labels_in(c) for u, p in panes.items() if from_ms <= u < to_ms for c in p.counts().values())


def ask(
    state: State, name: str, version: str, causes: list[retrains.Cause], reason: str, from_ms: int, to_ms: int,
    by: str | None = None, command: str = "",
) -> Output:  # fmt: skip
    """Make a retrain request and note that it was made."""
    known, policy = state.models[name], state.model(name).retrain
    panes = state.panes.get((name, version, "all"), {})
    covered = [panes[u].offsets for u in sorted(panes) if from_ms <= u < to_ms]
    body = retrains.request(
        model=name,
        version=version,
        causes=causes,
        reason=reason,
        from_ms=from_ms,
        to_ms=to_ms,
        offsets=retrains.union([*(c.offsets for c in causes), *covered]),
        reference=known.references.get(version, known.reference),
        now_ms=state.head_state.now_ms,
        dry_run=policy is not None and policy.dry_run,
        approval=policy is not None and policy.approval,
        approved_by=by,
        command=command,
    )
    known.requested_ms = to_ms
    known.answered = [*known.answered, *(c.alert["id"] for c in causes)][-ANSWERED:]
    state.touch("m", name)
    asked = state.head_state.counters.retrain_requests
    asked[name] = asked.get(name, 0) + 1
    return Output(
        kind="retrain-request",
        model=name,
        id=body["id"],
        order=f"{body['requested_at']}|{version}",
        revision=0,
        time_ms=state.head_state.now_ms,
        body=body,
    )
