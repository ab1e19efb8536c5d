"""Thresholds of peers: their defaults, and those at which they are as quiet on development seeds as ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.evaluation.tables import Line, false_alarms
from tests.evaluation.tools.peers import PEERS

CHOSEN: Final = Path(__file__).with_name("equal_fa.json")


def defaults(tool: str) -> dict[str, list[float]]:
    """Rule -> its default."""
    return {name: [rule.default] for name, rule in PEERS[tool].rules.items()}


def ladders(tool: str) -> dict[str, list[float]]:
    """Rule -> all thresholds tried."""
    return {name: list(rule.ladder) for name, rule in PEERS[tool].rules.items()}


def equalised(tool: str) -> dict[str, list[float]]:
    """Rule -> the threshold that was chosen, for those where one is quiet enough."""
    chosen = json.loads(CHOSEN.read_text()).get(tool, {}) if CHOSEN.exists() else {}
    return {name: [of["threshold"]] for name, of in chosen.items() if of["threshold"] is not None}


def without(tools: Sequence[str]) -> dict[str, str]:
    """The rules of these tools that are not in the table at an equal rate of false alarms, and why."""
    chosen = json.loads(CHOSEN.read_text()) if CHOSEN.exists() else {}
    found = {}
    for tool in tools:
        for rule in PEERS[tool].rules if tool in PEERS else ():
            of = chosen.get(tool, {}).get(rule)
            if of is None:
                found[f"{tool} {rule}"] = "equal_fa: its thresholds were not tried yet"
            elif of["threshold"] is None:
                found[f"{tool} {rule}"] = (
                    f"equal_fa: no threshold has {of['target']} false alarms or fewer on every null"
                )
    return found


def equalise(lines: Sequence[Line], target: float) -> str:
    """Choose from ladder lines on nulls, per rule the first threshold whose worst null is within `target`; the rules
    and what they came to are written to `equal_fa.json`, and said."""
    chosen: dict[str, dict[str, Any]] = json.loads(CHOSEN.read_text()) if CHOSEN.exists() else {}
    said = []
    for tool, rule in sorted({(line["tool"], line["rule"]) for line in lines}):
        own = [line for line in lines if (line["tool"], line["rule"]) == (tool, rule) and line["change"] is None]
        found: dict[str, Any] = {"threshold": None, "target": target}
        for threshold in PEERS[tool].rules[rule].ladder:
            nulls: dict[str, list[Line]] = {}
            for line in own:
                if line["threshold"] == threshold:
                    nulls.setdefault(line["scenario"], []).append(line)
            rates = {scenario: false_alarms(some)[0] for scenario, some in nulls.items()}
            worst = max(rates, key=lambda s: rates[s], default=None)
            if worst is not None and rates[worst] <= target:
                fewest = min(len(some) for some in nulls.values())
                found = {
                    "threshold": threshold,
                    "target": target,
                    "worst": worst,
                    "rate": round(rates[worst], 4),
                    "streams": fewest,
                }
                break
        chosen.setdefault(tool, {})[rule] = found
        said.append(f"{tool:14}{rule:16}{json.dumps(found)}\n")
    CHOSEN.write_text(json.dumps(chosen, indent=1, sort_keys=True) + "\n")
    return "".join(said)
