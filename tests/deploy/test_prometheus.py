"""Prometheus, Alertmanager and Grafana: checked by their own tools, and only metrics that the service has."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import servers
from tests.deploy.files import COUNTERS, DEPLOY, METRICS, compose, documents, metrics_in

RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboards" / "stream-monitor.json").read_text())
PANELS = [p for p in DASHBOARD["panels"] if p["type"] != "row"]
ALERTS = {r["alert"]: r for g in documents(RULES)[0]["groups"] for r in g["rules"]}
EXPRESSIONS = {
    **{f"rule {name}": r["expr"] for name, r in ALERTS.items()},
    **{f"panel {p['title']} {t['refId']}": t["expr"] for p in PANELS for t in p["targets"]},
}


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=DEPLOY / "prometheus")
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_configuration() -> None:
    run(
        servers.need_program("promtool", "prometheus"), "check", "config", str(DEPLOY / "prometheus" / "prometheus.yml")
    )


def test_each_rule_fires_when_it_should_and_only_then() -> None:
    promtool = servers.need_program("promtool", "prometheus")
    cases = Path(__file__).with_name("rules_test.yml")
    run(promtool, "test", "rules", str(cases))
    tested = {t["alertname"] for c in documents(cases)[0]["tests"] for t in c["alert_rule_test"] if t["exp_alerts"]}
    assert tested == set(ALERTS)


def test_alertmanager_takes_its_configuration() -> None:
    amtool = servers.need_program("amtool", "prometheus-alertmanager")
    run(amtool, "check-config", str(DEPLOY / "alertmanager" / "alertmanager.yml"))


@pytest.mark.parametrize("where", sorted(EXPRESSIONS))
def test_only_metrics_of_the_contract(where: str) -> None:
    expression = EXPRESSIONS[where]
    assert metrics_in(expression) <= set(METRICS)
    assert metrics_in(expression) or "up{" in expression


@pytest.mark.parametrize("where", sorted(EXPRESSIONS))
def test_only_labels_that_the_metrics_have(where: str) -> None:
    expression = EXPRESSIONS[where]
    known = {"job"}.union(*(METRICS[m] for m in metrics_in(expression)))
    used = set(re.findall(r"[{,]\s*(\w+)\s*(?:=~|!=|!~|=)", expression))
    used |= {n.strip() for g in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for n in g.split(",") if n.strip()}
    assert used <= known


@pytest.mark.parametrize("where", sorted(EXPRESSIONS))
def test_counters_are_not_shown_as_they_are(where: str) -> None:
    """But for those whose mere presence says something."""
    for counter in metrics_in(EXPRESSIONS[where]) & (
        set(COUNTERS) - {"overlap_blocks_total", "duplicate_blocks_total"}
    ):
        assert re.search(rf"(rate|increase)\(stream_monitor_{counter}", EXPRESSIONS[where])


def test_alerts_say_what_is_wrong() -> None:
    for rule in ALERTS.values():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = servers.prometheus_server(tmp_path_factory.mktemp("prometheus"), [], RULES)
    server.start(lambda: servers.answers(f"{server.url}/-/ready"))
    yield server.url
    server.stop()


def test_every_panel_is_a_query_that_prometheus_takes(prometheus: str) -> None:
    refused = []
    for where, expression in EXPRESSIONS.items():
        query = expression.replace("$__rate_interval", "1m").replace("$model", ".*").replace("$segment", ".*")
        assert "$" not in query, where
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=60, trust_env=False).json()
        if answer["status"] != "success":
            refused.append((where, answer["error"]))
    assert refused == []


def test_the_dashboard_is_laid_out() -> None:
    ids = [p["id"] for p in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        g = panel["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_dashboard_is_provisioned_with_its_source() -> None:
    source = documents(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yaml")[0]["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    for panel in PANELS:
        assert panel["datasource"] == {"type": "prometheus", "uid": source["uid"]}
    folder = documents(DEPLOY / "grafana" / "provisioning" / "dashboards" / "stream-monitor.yaml")[0]["providers"][0]
    mounts = [v.split(":")[1] for v in compose()["services"]["grafana"]["volumes"]]
    assert folder["options"]["path"] in mounts


def test_every_metric_of_the_contract_is_on_the_dashboard() -> None:
    shown = {m for p in PANELS for t in p["targets"] for m in metrics_in(t["expr"])}
    assert {m for m in METRICS if not m.endswith(("_sum", "_count"))} == shown
