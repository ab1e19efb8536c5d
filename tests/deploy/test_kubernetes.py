"""deploy/kubernetes: valid by the schemas of Kubernetes, not root, and every command is one that exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from stream_monitor.shell.arguments import parser
from tests.deploy.files import DEPLOY, KUBERNETES, documents

ALL = [(file.name, d) for file in KUBERNETES for d in documents(file)]
DEPLOYMENTS = {d["metadata"]["name"]: d for _, d in ALL if d["kind"] == "Deployment"}
KUSTOMIZATION = documents(DEPLOY / "kubernetes" / "kustomization.yaml")[0]


@pytest.mark.parametrize(("file", "document"), ALL, ids=[f"{f}-{d['kind']}" for f, d in ALL])
@pytest.mark.parametrize("version", ["1.30", "1.33"])
def test_valid(file: str, document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_something() -> None:
    broken = {**DEPLOYMENTS["stream-monitor-tap"], "spec": {"replicas": "two"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.33", strict=True)


def test_the_kustomization_lists_every_file() -> None:
    assert sorted(KUSTOMIZATION["resources"]) == [f.name for f in KUBERNETES]
    for generator in KUSTOMIZATION["configMapGenerator"]:
        assert all((DEPLOY / "kubernetes" / f).exists() for f in generator["files"])


@pytest.mark.parametrize("role", ["tap", "worker", "api"])
def test_each_role(role: str) -> None:
    pod = DEPLOYMENTS[f"stream-monitor-{role}"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    arguments = parser().parse_args(container["args"])
    (port,) = container["ports"]
    assert arguments.verb == role
    if role != "api":
        assert arguments.http == port["containerPort"]
    config = KUSTOMIZATION["configMapGenerator"][0]
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert Path(arguments.config) == Path(mounts["config"]) / config["files"][0]
    assert {"name": "config", "configMap": {"name": config["name"]}} in pod["volumes"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == port["name"]
        assert container[probe]["httpGet"]["path"] in ("/healthz", "/readyz")


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_nobody_is_root(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10_000
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert re.fullmatch(r"stream-monitor:\d+\.\d+\.\d+", container["image"])
        assert all("valueFrom" in e for e in container["env"])  # every one of them is a secret


def test_selectors_find_their_pods() -> None:
    labels = {n: d["spec"]["template"]["metadata"]["labels"] for n, d in DEPLOYMENTS.items()}
    for _, d in ALL:
        selector = d.get("spec", {}).get("selector", {})
        wanted = selector.get("matchLabels", selector)
        if wanted:
            assert [n for n, have in labels.items() if wanted.items() <= have.items()], d["metadata"]["name"]
