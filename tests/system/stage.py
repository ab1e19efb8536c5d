"""Everything a user has running: the service in one process, and Alertmanager, Prometheus, receivers and a browser."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from confluent_kafka import Consumer, TopicPartition

from deploy.kafka.node import Node, free_port
from tests import servers
from tests.deliveries.listeners import Answer, Listener, Request, listening
from tests.exactness.service import Role, create_topics
from tests.servers import wait_until
from tests.system.pages import Page, browser
from tests.system.traffic import PARTITIONS, START, Traffic, instant, write_reference

NAME = "system"
TOPIC = f"{NAME}.predictions"
KEY, READ_KEY, ADMIN_KEY = "the-key-of-an-operator", "the-key-of-a-reader", "the-key-of-an-admin"
SECRET = "whsec_" + base64.b64encode(b"a secret of the whole service").decode()
RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yml"

CONFIG = """\
kafka: {{brokers: "{brokers}", prefix: "{name}.", group: {name}, options: {{session.timeout.ms: 6000}}}}
store: {store}
api: {{port: {port}, keys: "${{file:keys}}"}}
time: {{out_of_orderness: 1s, idle_after: 10m}}
models:
  fraud:
    topic: {topic}
    task: binary
    fields:
      id: id
      time: ts
      version: model.version
      features: features
      prediction: prediction
      score: score
      label: label
    columns: {{amount: numeric, age: numeric, country: categorical}}
    segments: [country]
    reference: {{file: reference.csv}}
    pane: 10s
    window: {{size: 1m}}
    min_rows: 50
    alerts: {{for: 2, resolve_after: 3, labels: {{team: risk}}, runbook: "https://runbooks.example.org/fraud"}}
    retrain: {{on: [drift, performance], cooldown: 1d, min_labels: 300}}
sinks:
  - alertmanager: {{url: "{alertmanager}"}}
  - webhook: {{url: "{webhook}/alerts", secret: "${{file:secret}}"}}
triggers:
  - webhook: {{url: "{trigger}/retrain", secret: "${{file:secret}}"}}
"""
ALERTMANAGER = """\
route: {{receiver: pager, group_by: [alertname, model], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: pager, webhook_configs: [{{url: '{url}', send_resolved: true}}]}}]
"""


@dataclass(kw_only=True)
class Stage:
    """All of it, by address."""

    folder: Path
    kafka: Node
    url: str
    service: Role
    checked: subprocess.CompletedProcess[str]  # of `check --connect`, before the service was started
    alertmanager: str
    prometheus: str
    webhook: Listener
    trigger: Listener
    pager: Listener  # whom Alertmanager tells
    page: Page
    traffic: Traffic

    def get(self, path: str, **parameters: Any) -> Any:
        """GET on the api, which listens on loopback: no key is needed to read."""
        return _json(f"{self.url}{path}", parameters)

    def post(self, path: str, body: dict[str, Any], key: str | None = KEY) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=60, trust_env=False)

    def items(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        """All items of a list, in pages of a hundred."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.get(path, limit=100, **parameters)
            found += page["items"]
            if page["next"] is None:
                return found
            parameters["cursor"] = page["next"]

    def alerts(self, **parameters: Any) -> dict[tuple[str, str], dict[str, Any]]:
        """The newest alert of each (segment, group)."""
        return {(a["segment"], a["group"]): a for a in self.items("/v1/alerts", **parameters)}

    def metrics(self) -> str:
        return httpx.get(f"{self.url}/metrics", timeout=60, trust_env=False).text

    def active(self) -> list[dict[str, Any]]:
        """The alerts that Alertmanager holds for active."""
        found: list[dict[str, Any]] = _json(f"{self.alertmanager}/api/v2/alerts", {})
        return found

    def grouped(self) -> list[dict[str, Any]]:
        """Alertmanager's groups of alerts."""
        found: list[dict[str, Any]] = _json(f"{self.alertmanager}/api/v2/alerts/groups", {})
        return found

    def paged(self) -> dict[str, datetime | None]:
        """Of what alerts Alertmanager told its own receiver: alert id -> when it ended, None while it fires."""
        told: dict[str, datetime | None] = {}
        for request in list(self.pager.requests):
            for alert in json.loads(request.body)["alerts"]:
                ended = datetime.fromisoformat(alert["endsAt"]) if alert["status"] == "resolved" else None
                told[alert["annotations"]["alert_id"]] = ended
        return told

    def rules(self) -> list[dict[str, Any]]:
        """The alerting rules as Prometheus evaluates them."""
        groups = _json(f"{self.prometheus}/api/v1/rules", {})["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def messages(self, *topics: str) -> dict[str, list[Message]]:
        """Everything in topics of the service, by partition and offset."""
        found: dict[str, list[Message]] = {topic: [] for topic in topics}
        for m in read(self.kafka.bootstrap, [f"{NAME}.{topic}" for topic in topics]):
            headers = {k: v.decode() for k, v in m.headers() or ()}
            message = Message(key=(m.key() or b"").decode(), headers=headers, raw=m.value())
            found[m.topic().removeprefix(f"{NAME}.")].append(message)
        return found

    def minutes(self) -> list[list[int | None]]:
        """By source partition, in the order of offsets: in which minute each event was; None: it could not be read."""
        return [[None if at is None else int(at - START) // 60 for at in of] for of in self.traffic.sent]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every series that Prometheus finds."""
        answer = _json(f"{self.prometheus}/api/v1/query", {"query": expression})
        assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
        own = ("__name__", "instance", "job")
        return [
            ({k: v for k, v in s["metric"].items() if k not in own}, float(s["value"][1]))
            for s in answer["data"]["result"]
        ]

    def play(self, minutes: range, *, wrong: bool = False) -> None:
        """Minutes of event time, each in about a third of a second; until all windows but the last have closed."""
        for minute in minutes:
            self.traffic.play(minute, wrong=wrong)
            time.sleep(0.3)
        self._until_closed(minutes.stop - 1)

    def _until_closed(self, windows: int) -> None:
        """Until so many windows of a minute have closed in every segment, and every event was counted."""

        def there() -> bool:
            model = self.get("/v1/models/fraud")
            ends = {(b["last_window"] or {}).get("end") for b in model["breakdown"]}
            # A model's document is of the last window that closed; what came after it, the counters say.
            counted = sum(self.get("/v1/status")["events"].get("fraud", {}).values())
            return ends == {instant(windows)} and bool(counted == self.traffic.readable)

        wait_until(there, 60, f"{windows} closed windows", every=0.2)


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message of the service."""

    key: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`stream-monitor` with these arguments, once it has ended."""
    return subprocess.run(
        [sys.executable, "-m", "stream_monitor", *arguments], capture_output=True, text=True, check=False, timeout=300
    )


def read(brokers: str, topics: list[str]) -> list[Any]:
    """Every message of some topics, in order within a partition."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "nobody", "enable.auto.commit": False})
    try:
        known = consumer.list_topics(timeout=60).topics
        places = [TopicPartition(t, p, 0) for t in topics for p in known[t].partitions]
        left = sum(consumer.get_watermark_offsets(p, timeout=60)[1] for p in places)
        consumer.assign(places)
        found: list[Any] = []
        while len(found) < left:
            got = consumer.consume(left - len(found), 60)
            assert got, f"{left - len(found)} messages did not come"
            found += got
        assert not [m.error() for m in found if m.error()]
        return found
    finally:
        consumer.close()


def verified(request: Request) -> dict[str, Any]:
    """The body of a signed request; AssertionError unless the signature is that of the Standard Webhooks."""
    id, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    assert abs(time.time() - int(at)) < 300
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{at}.".encode() + request.body, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    body: dict[str, Any] = json.loads(request.body)
    return body


def _json(url: str, parameters: dict[str, Any]) -> Any:
    answer = httpx.get(url, params=parameters, timeout=60, trust_env=False)
    assert answer.status_code < 500, f"{url}: {answer.text}"
    return answer.json()


@contextmanager
def staged(folder: Path, kafka: Node, redis_url: str) -> Iterator[Stage]:
    """The service, ready, with its page open; no event has come yet."""
    write_reference(folder / "reference.csv")
    (folder / "keys").write_text(f"{KEY} operate\n{READ_KEY} read\n{ADMIN_KEY} admin\n")
    (folder / "secret").write_text(SECRET)
    create_topics(kafka.bootstrap, {TOPIC: PARTITIONS})
    with ExitStack() as stack:
        webhook, trigger, pager = (stack.enter_context(listening()) for _ in range(3))
        alertmanager = servers.alertmanager_server(folder, ALERTMANAGER.format(url=pager.url))
        stack.callback(alertmanager.stop)
        alertmanager.start(lambda: servers.answers(f"{alertmanager.url}/-/ready"))
        port = free_port()
        config = CONFIG.format(
            brokers=kafka.bootstrap, name=NAME, store=redis_url, port=port, topic=TOPIC,
            alertmanager=alertmanager.url, webhook=webhook.url, trigger=trigger.url,
        )  # fmt: skip
        (folder / "monitor.yaml").write_text(config)
        prometheus = servers.prometheus_server(folder, [f"127.0.0.1:{port}"], RULES)
        stack.callback(prometheus.stop)
        prometheus.start(lambda: servers.answers(f"{prometheus.url}/-/ready"))
        checked = command("check", str(folder / "monitor.yaml"), "--connect")
        for listener in (webhook, trigger):
            assert {r.method for r in listener.requests} <= {"HEAD"}  # it is only asked whether it is there
            listener.requests.clear()
        service = Role(folder, "run", ["run", str(folder / "monitor.yaml")])
        stack.callback(service.stop)
        service.start()
        trigger.answers.append(Answer(503))  # its first attempt fails
        url = f"http://127.0.0.1:{port}"
        driver = stack.enter_context(browser(folder))
        try:
            wait_until(lambda: servers.answers(f"{url}/readyz"), 120, "readiness", every=0.3)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{service.log()[-4000:]}") from None
        driver.get(url)
        yield Stage(
            folder=folder,
            kafka=kafka,
            url=url,
            service=service,
            checked=checked,
            alertmanager=alertmanager.url,
            prometheus=prometheus.url,
            webhook=webhook,
            trigger=trigger,
            pager=pager,
            page=Page(driver),
            traffic=Traffic(kafka.bootstrap, TOPIC),
        )
