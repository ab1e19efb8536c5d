"""A Kafka that lets nobody in without a proof: every way in with every client, and what is said of the wrong proof."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from connectors.kafka_clients import Connection
from connectors.kafka_samples import topics
from stream_monitor.access.security import Oidc, findings, missing, ssl_context
from stream_monitor.access.tokens import TokenError, Tokens
from stream_monitor.errors import Refused, StateError
from stream_monitor.worker.agents import credentials
from tests.operations.secured import KEY_PASSWORD, Secured, TokenIssuer, password
from tests.operations.stage import Stage, command

WAYS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "MTLS", "OAUTHBEARER")


@pytest.mark.parametrize("how", WAYS)
def test_both_clients_get_in(secured: Secured, how: str) -> None:
    """The same options let librdkafka in and the worker's aiokafka."""
    options, brokers = secured.options(how), secured.brokers(how)
    assert topics(Connection(brokers=brokers, options=options)) is not None

    async def worker() -> set[int]:
        auth = credentials_to_aiokafka_auth(credentials(options))
        producer = AIOKafkaProducer(bootstrap_servers=brokers, **auth)
        await producer.start()
        try:
            return {broker.nodeId for broker in producer.client.cluster.brokers()}
        finally:
            await producer.stop()
            loop: Any = asyncio.get_running_loop()
            while len(loop._selector.get_map()) > 1:  # noqa: ASYNC110 - TLS says goodbye; what is left wakes the loop
                await asyncio.sleep(0.01)

    assert asyncio.run(worker()) == {1}


def test_a_wrong_proof_is_named_by_its_option_and_never_shown(secured: Secured) -> None:
    """The clients say a transport failure, or nothing; the message says which option to look at."""
    other = str(secured.folder / "other-ca.pem")
    no_certificate = {"ssl.certificate.location": "", "ssl.key.location": "", "ssl.key.password": ""}
    cases: list[tuple[str, dict[str, str], str]] = [
        ("PLAIN", {"sasl.password": "guess-1"}, "sasl.password"),
        ("SCRAM-SHA-512", {"sasl.password": "guess-2"}, "sasl.password"),
        ("PLAIN", {"ssl.ca.location": other}, "ssl.ca.location"),
        ("MTLS", no_certificate, "ssl.certificate.location"),
        ("OAUTHBEARER", {"sasl.oauthbearer.client.secret": "guess-3"}, "client.secret"),
    ]

    def attempt(case: tuple[str, dict[str, str], str]) -> str:
        how, change, _ = case
        options = {name: value for name, value in {**secured.options(how), **change}.items() if value}
        with pytest.raises(Refused) as caught:
            topics(Connection(brokers=secured.brokers(how), options=options))
        return str(caught.value)

    with ThreadPoolExecutor(len(cases)) as pool:
        for (how, _, option), text in zip(cases, pool.map(attempt, cases), strict=True):
            assert re.match(rf"listing topics: kafka\.options\..*{re.escape(option)}", text), (how, text)
            assert not re.search(r"guess-\d|hush|" + KEY_PASSWORD, text)


def test_check_says_it_in_one_line_and_keeps_the_secret(secured: Secured, tmp_path: Path) -> None:
    stage = Stage(tmp_path, secured, "refused", "memory")
    file = stage.file("SCRAM-SHA-256", "everything", **{"sasl.password": "${GUESS}"})
    told = command("check", file, "--connect", environ={"GUESS": "my-wrong-guess"})
    assert told.returncode == 1
    line = told.stderr.splitlines()[-1]
    assert "kafka.options.sasl.username or sasl.password" in line
    assert "my-wrong-guess" not in told.stdout + told.stderr


BASE = {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "u", "sasl.password": "s3cret"}

TOKEN = {
    "sasl.mechanism": "OAUTHBEARER",
    "sasl.oauthbearer.method": "oidc",
    "sasl.oauthbearer.client.id": "u",
    "sasl.oauthbearer.client.secret": "s3cret",
    "sasl.oauthbearer.token.endpoint.url": "https://localhost/token",
}


@pytest.mark.parametrize(
    ("change", "option", "said"),
    [
        ({"security.protocol": "SASL_TLS"}, "security.protocol", "did you mean 'SASL_SSL'"),
        ({"sasl.mechanism": "GSSAPI"}, "sasl.mechanism", "Kerberos (GSSAPI); possible are PLAIN, SCRAM-SHA-256"),
        ({"sasl.mechanism": "SCRAM-SHA-1"}, "sasl.mechanism", "did you mean 'SCRAM-SHA-"),
        ({**TOKEN, "sasl.oauthbearer.method": "default"}, "sasl.oauthbearer.method", "must be oidc"),
        ({**TOKEN, "sasl.oauthbearer.grant.type": "jwt"}, "sasl.oauthbearer.grant.type", "client_credentials only"),
        ({**TOKEN, "sasl.oauthbearer.client.secret": ""}, "sasl.oauthbearer.client.secret", "missing"),
        ({"sasl.password": ""}, "sasl.password", "missing"),
        ({"ssl.ca.location": "/nowhere/ca.pem"}, "ssl.ca.location", "/nowhere/ca.pem: No such file"),
        ({"ssl.ca.pem": "nonsense"}, "ssl.ca.pem", "cannot be used"),
        ({"ssl.key.location": __file__}, "ssl.certificate.location", "missing"),
        ({"ssl.cipher.suites": "NONE-AT-ALL"}, "ssl.cipher.suites", "cannot be used"),
        ({"ssl.keystore.location": "a.p12"}, "ssl.keystore.location", "workers cannot use it"),
    ],
)
def test_options_that_cannot_work_are_mistakes_of_the_file(change: dict[str, str], option: str, said: str) -> None:
    options = {**BASE, **change}
    [(path, message)] = [*findings(options), *missing(options)]
    assert path == f"kafka.options.{option}"
    assert said in message
    assert "s3cret" not in message


def test_certificates_as_files_and_as_text(secured: Secured) -> None:
    """Both forms load; a wrong key, a wrong password and a certificate that is none are told apart."""
    tls = secured.options("MTLS", "tap")
    pem = {
        "security.protocol": "SSL",
        "ssl.ca.pem": (secured.folder / "ca.pem").read_text(),
        "ssl.certificate.pem": (secured.folder / "tap.pem").read_text(),
        "ssl.key.pem": (secured.folder / "tap.key").read_text(),
        "ssl.key.password": KEY_PASSWORD,
    }
    for options in (tls, pem):
        assert list(findings(options)) == []
        context = ssl_context(options)
        assert context is not None
        assert context.check_hostname
    for change, option in (
        ({"ssl.key.location": str(secured.folder / "worker.key")}, "ssl.key.location"),
        ({"ssl.key.password": "wrong"}, "ssl.key.password"),
        ({"ssl.key.password": ""}, "ssl.key.password"),  # and nobody is asked for it at a terminal
        ({"ssl.certificate.location": __file__}, "ssl.certificate.location"),
    ):
        assert [path for path, _ in findings({**tls, **change})] == [f"kafka.options.{option}"], change


def test_what_only_the_client_library_refuses_is_an_error_of_the_options() -> None:
    with pytest.raises(StateError, match=r"^kafka\.options: .*no\.such\.option"):
        Connection(brokers="localhost:1", options={"no.such.option": "1"}).admin()


def test_a_token_is_asked_for_once_and_renewed_before_it_ends(tmp_path: Path) -> None:
    issuer = TokenIssuer(tmp_path / "jwks.json", seconds=100)
    now = [0.0]
    how = Oidc(url=issuer.url, client_id="tap", client_secret=password("tap"), scope="kafka monitor")
    tokens = Tokens(how, clock=lambda: now[0])
    try:
        #   asked            still good       renewed
        #   0 ------------------ 79 | 80 ---------->
        first = [tokens.token(), tokens.token()]
        now[0] = 79.0
        assert {*first, tokens.token()} == {first[0]}
        now[0] = 80.0
        tokens.token()
        asked = {"user": "tap", "grant_type": "client_credentials", "scope": "kafka monitor"}
        assert issuer.asked == [asked, asked]
        assert password("tap") not in repr(how)
        with pytest.raises(TokenError, match=r"token answers 401; kafka\.options\.sasl\.oauthbearer\.client\.id"):
            Tokens(Oidc(url=issuer.url, client_id="tap", client_secret="guess")).token()
    finally:
        issuer.stop()
    with pytest.raises(TokenError, match="ConnectError"):
        Tokens(how).token()
