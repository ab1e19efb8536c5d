"""Tables against lines made by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation import equal
from tests.evaluation.tables import false_alarms, sooner, table


def line(**of: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "tool": "stream-monitor", "rule": "scan", "setting": "default", "scenario": "none", "on": None, "size": None,
        "seed": 0, "n": 50_000, "pane_events": 25, "alarms": [], "change": None, "delay": None,
    }  # fmt: skip
    return {**plain, **of}


def drift(seed: int, delay: int | None, **of: Any) -> dict[str, Any]:
    return line(scenario="abrupt", size="medium", change=25_000, seed=seed, delay=delay, **of)


def test_the_upper_limit_is_student_s_over_streams() -> None:
    """Rates 0.1, 0.2, 0.3 per 5,000: mean 0.2, standard error 0.1 / sqrt(3), t(0.95, 2) = 2.919986."""
    lines = [line(alarms=[5000 * (i + 1) for i in range(k)]) for k in (1, 2, 3)]
    rate, upper = false_alarms(lines)
    assert rate == pytest.approx(0.2)
    assert upper == pytest.approx(0.2 + 2.919986 * 0.1 / math.sqrt(3), abs=1e-6)


def test_none_seen_is_not_none() -> None:
    """Without an alarm in 30 times 5,000 events the rate is below -ln(0.05) / 30."""
    assert false_alarms([line(), line(), line()]) == pytest.approx((0.0, -math.log(0.05) / 30))


def test_alarms_close_together_are_one_and_those_after_the_change_are_true() -> None:
    close = [100, 3300, 3301]  # the third is counted: it is more than 128 panes of 25 from the first
    assert false_alarms([line(alarms=close)])[0] == pytest.approx(0.2)
    assert false_alarms([drift(0, 10, alarms=[24_000, 25_010, 40_000])])[0] == pytest.approx(0.2)


def test_a_loss_is_called_a_loss() -> None:
    """Peers count with their best rule, over the seeds that both read."""
    ours = [drift(0, 200), drift(1, 300), drift(2, 9000)]
    adwin = [drift(s, d, tool="river", rule="adwin", setting="equal_fa") for s, d in ((0, 400), (1, 500))]
    psi = [drift(s, d, tool="frouros", rule="psi", setting="equal_fa") for s, d in ((0, 100), (1, None))]
    assert "frouros psi" not in sooner([*ours, *adwin, *psi])  # median: the later of two, never
    assert "river adwin: sooner" in sooner([*ours, *adwin, *psi])
    assert "     300        500  river adwin" in sooner([*ours, *adwin, *psi])
    cusum = [drift(s, 250, tool="river", rule="cusum", setting="equal_fa") for s in (0, 1)]
    assert "LOSS: 1" in sooner([*ours, *adwin, *cusum])
    default = [{**x, "setting": "default"} for x in cusum]
    assert sooner([*ours, *default]) == ""  # defaults have rates of their own: nothing to compare


def test_what_is_missing_is_in_the_table() -> None:
    text = table([line(), line(seed=1), drift(0, 200), drift(1, None)], {"evidently": "not installed: no network"})
    assert "evidently                       not in the table, not installed: no network\n" in text
    rows = text.splitlines()
    assert rows[1].split()[-4:] == ["0.3", "0.50", "inf", "inf"]
    assert rows[2].split()[:8] == ["stream-monitor", "scan", "default", "none", "-", "-", "2", "0"]


def test_equal_false_alarms_is_the_first_threshold_whose_worst_null_is_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(equal, "CHOSEN", tmp_path / "equal_fa.json")
    ladder = equal.ladders("river")["adwin"]
    many, few = [4000 * (i + 1) for i in range(10)], [4000]
    lines = []
    for i, threshold in enumerate(ladder[:3]):
        for scenario, alarms in (("none", few if i else many), ("autocorr", many if i < 2 else few)):
            lines.append(line(tool="river", rule="adwin", scenario=scenario, threshold=threshold, alarms=alarms))
    equal.equalise(lines, 0.1)
    assert equal.equalised("river") == {"adwin": [ladder[2]]}
    equal.equalise(lines, 0.05)
    assert equal.equalised("river") == {}  # no threshold is quiet enough: the rule has no equal
    why = equal.without(["stream-monitor", "river"])
    assert why["river adwin"] == "equal_fa: no threshold has 0.05 false alarms or fewer on every null"
    assert why["river ddm"] == "equal_fa: its thresholds were not tried yet"
