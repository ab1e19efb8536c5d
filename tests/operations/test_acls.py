"""Each role with its own user and exactly the rights of the table: enough for all it does, and none too many."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from connectors.kafka import KafkaGroup, KafkaPublisher
from connectors.kafka_catalog import KafkaCatalog
from connectors.kafka_clients import Connection
from connectors.kafka_topics import Topics, TopicSpec, service_topics
from stream_monitor.config import Config, Kafka, LabelFields, Labels, Model
from stream_monitor.errors import StateError
from stream_monitor.shell.acls import ROLES, acls, commands, markdown
from tests.operations.secured import Secured
from tests.operations.stage import Stage, command
from tests.servers import PATIENCE, answers, wait_until
from tests.shell.test_service import get, levels, process, stop

WAYS = {"tap": "SCRAM-SHA-512", "worker": "OAUTHBEARER", "api": "MTLS"}
README = Path(__file__).parents[2] / "README.md"
CONFIG = Config(
    kafka=Kafka(prefix="sm.", group="g", partitions=2),
    models={
        "a": Model(topic=("t", "u"), labels=Labels(topic="l", fields=LabelFields(id="i", label="y"))),
        "b": Model(topic=("t",)),
    },
)


def test_every_role_works_with_its_own_rights_alone(secured: Secured, redis_url: str, tmp_path: Path) -> None:
    """Tap by password, worker by token, api by certificate; they make the topics and carry traffic to an alert."""
    stage = Stage(tmp_path, secured, "rights", redis_url)
    files = {role: stage.file(how, role) for role, how in WAYS.items()}
    for role, file in files.items():
        stage.allow(role, role, file)
    with ExitStack() as running:
        started = [running.enter_context(process(tmp_path, role, file)) for role, file in files.items()]
        wait_until(lambda: answers(f"{stage.url}/readyz"), 200, "readiness")
        end = stage.publish(shift=0, seconds=15)
        stage.publish(shift=80, seconds=16, start=end)
        wait_until(lambda: len(levels(stage.url)) >= 5, 90, "verdicts of five windows")
        wait_until(lambda: bool(get(stage.url, "/v1/alerts")["items"]), 60, "an alert")
        assert [level for _, level in sorted(levels(stage.url).items())][:5] == ["ok"] * 3 + ["drift"] * 2
        for one in started:
            stop(one, signal.SIGTERM)


def test_everything_in_one_process_and_the_commands_around_it(secured: Secured, tmp_path: Path) -> None:
    """`run` has the rights of all roles; `init` and `check --connect` look with the same credentials."""
    stage = Stage(tmp_path, secured, "onerun", "memory")
    file = stage.file("SCRAM-SHA-256", "everything")
    stage.allow("run", "everything", file)
    stage.publish(shift=0, seconds=10)
    options = {**secured.options("SCRAM-SHA-256", "everything"), "sasl.password": "${PASSWORD}"}
    given = [word for name, value in options.items() for word in ("--kafka-option", f"{name}={value}")]
    written = tmp_path / "written.yaml"
    environ = {"PASSWORD": secured.options("PLAIN", "everything")["sasl.password"]}
    init = ["init", "--topic", stage.topic, "--brokers", secured.brokers("PLAIN"), "--output", str(written), *given]
    told = command(*init, environ=environ)
    assert told.returncode == 0, told.stderr
    assert "${PASSWORD}" in written.read_text()
    assert environ["PASSWORD"] not in written.read_text()
    told = command("check", file, "--connect")
    assert told.returncode == 0, told.stderr
    with process(tmp_path, "run", file) as running:
        wait_until(lambda: len(levels(stage.url)) >= 1 if answers(f"{stage.url}/readyz") else False, 200, "a verdict")
        stop(running, signal.SIGTERM)


class Lacking:
    """A user who may do all that a role may, but for one thing."""

    def __init__(self, stage: Stage, user: str) -> None:
        self.stage, self.user = stage, user
        self.file = stage.file("PLAIN", user)
        options = stage.secured.options("PLAIN", user)
        self.connection = Connection(brokers=stage.secured.brokers("PLAIN"), options=options)

    def without(self, role: str, resource: str, operation: str) -> None:
        self.stage.allow(role, self.user, self.file, without=(resource, operation))


@pytest.fixture(scope="module")
def lacking(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Lacking:
    stage = Stage(tmp_path_factory.mktemp("lacking"), secured, "lacking", "memory")
    root = Connection(brokers=secured.node.bootstrap)
    left_out = ("verdicts",)  # to be made by those who may
    own = service_topics(Kafka(prefix="lacking.", partitions=2))
    Topics(root).create([spec for spec in own if not spec.name.endswith(left_out)])
    KafkaCatalog(root, "lacking.").publish_config(CONFIG)
    return Lacking(stage, "nobody")


MISSING = r"user 'nobody' lacks a right \(ACL\); `stream-monitor acls monitor\.yaml` lists them all"


def test_a_tap_that_may_not_write_bundles(lacking: Lacking) -> None:
    lacking.without("tap", "lacking.panes", "Write")
    publisher = KafkaPublisher(lacking.connection)
    publisher.send("lacking.panes", 0, b"x")
    with pytest.raises(StateError, match=rf"^writing to lacking\.panes: .*{MISSING}"):
        publisher.settle(120, threading.Event())
    publisher.close()


def _refusal(group: KafkaGroup) -> str:
    """What polling comes to."""
    end = time.monotonic() + 30 * PATIENCE
    while time.monotonic() < end:
        try:
            group.poll(10, 0.2)
        except StateError as error:
            return str(error)
    raise AssertionError("nothing was refused")


def _join(lacking: Lacking) -> str:
    group = KafkaGroup(lacking.connection, "lacking")
    try:
        group.join([lacking.stage.topic], lambda partitions: dict.fromkeys(partitions, 0), lambda _: None)
        return _refusal(group)
    finally:
        group.close()


def test_a_tap_that_may_not_join_its_group(lacking: Lacking) -> None:
    lacking.without("tap", "lacking", "Read")  # ends the source topic's name no more than the group's: the group's only
    assert "roup authorization failed" in _join(lacking)


def test_a_tap_that_may_not_read_its_topic(lacking: Lacking) -> None:
    lacking.without("tap", lacking.stage.topic, "Read")
    assert "opic authorization failed" in _join(lacking)


def test_a_process_that_may_not_read_what_all_share(lacking: Lacking) -> None:
    lacking.without("api", "lacking.configs", "Read")
    catalog = KafkaCatalog(lacking.connection, "lacking.")
    with pytest.raises(StateError, match=MISSING):
        catalog.load(120)
    catalog.close()


def test_a_process_that_may_not_make_a_missing_topic(lacking: Lacking) -> None:
    lacking.without("worker", "lacking.", "Create")
    with pytest.raises(StateError, match=rf"^creating topic lacking\.verdicts: .*{MISSING}"):
        Topics(lacking.connection).create([TopicSpec(name="lacking.verdicts", partitions=1)])


def test_a_worker_that_may_not_join_its_group(lacking: Lacking) -> None:
    lacking.without("worker", "lacking-worker", "Read")
    with pytest.raises(StateError, match=rf"^group lacking-worker: .*{MISSING}"):
        Topics(lacking.connection).check_group("lacking-worker", "lacking.panes")


def test_a_worker_that_may_not_fold(lacking: Lacking, redis_url: str) -> None:
    """It ends with what is missing, instead of standing still."""
    file = Path(lacking.file)
    file.write_text(file.read_text().replace('store: "memory"', f'store: "{redis_url}"'))
    lacking.without("worker", "lacking.panes", "Read")
    told = command("worker", lacking.file)
    assert told.returncode == 1
    assert "AuthorizationFailed" in told.stderr
    assert "`stream-monitor acls monitor.yaml`" in told.stderr


# -- the table


def test_the_manual_has_the_table() -> None:
    assert markdown() in README.read_text()


def test_source_topics_are_read_by_taps_only() -> None:
    for role in (*ROLES, "run"):
        sources = {a.name for a in acls(CONFIG, role) if a.name in ("l", "t", "u")}
        assert sources == ({"l", "t", "u"} if role in ("tap", "run") else set())


def test_no_role_may_change_or_delete_anything() -> None:
    allowed = {operation for acl in acls(CONFIG, "run") for operation in acl.operations}
    assert allowed == {"Read", "Write", "Create", "Describe", "DescribeConfigs"}
    assert [a.name for a in acls(CONFIG, "run") if a.prefixed] == ["sm."]


def test_the_commands_are_those_of_kafkas_own_tool() -> None:
    lines = commands(CONFIG, "worker", "User:CN=the worker", "kafka:9092")
    head = "kafka-acls.sh --bootstrap-server kafka:9092 --add --allow-principal 'User:CN=the worker'"
    assert f"{head} --operation Read --group g-worker" in lines
    assert f"{head} --operation Read --operation Write --topic sm.panes" in lines
    assert any(line.endswith("--topic sm. --resource-pattern-type prefixed") for line in lines)
