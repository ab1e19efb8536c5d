"""A Kafka node that lets nobody in without a proof: TLS, passwords, certificates and tokens, made for this session.

PLAINTEXT  the tests themselves: super users
SASL       TLS, user and password: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512
MTLS       TLS, the client's certificate is its name
OAUTH      TLS, a token of `TokenIssuer`, checked with its public key
"""

from __future__ import annotations

import base64
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.kafka.node import Node
from stream_monitor.shell.acls import Acl

PROPERTIES = """\
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mtls.ssl.client.auth=required
listener.name.mtls.ssl.principal.mapping.rules=RULE:^CN=(.*)$/$1/
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {plain};
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config={oauth} required unsecuredLoginStringClaim_sub="x";
listener.name.oauth.oauthbearer.sasl.server.callback.handler.class={oauth_handler}
listener.name.oauth.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=file://{folder}/jwks.json
listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.audience=kafka
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:root
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=500
group.consumer.heartbeat.interval.ms=1000
"""
OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
OAUTH_HANDLER = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
ROOT = "root"  # may do everything
KEY_PASSWORD = "key-password-of-the-client"


def password(user: str) -> str:
    """What a user proves itself with."""
    return f"hush-{user}-hush"


class Secured:
    """The node, the certificates in its folder, its users and its token issuer."""

    def __init__(self, folder: Path, users: list[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        certificates(folder, [ROOT, *users])
        self.issuer = TokenIssuer(folder / "jwks.json")
        plain = " ".join(f'user_{u}="{password(u)}"' for u in [ROOT, *users])
        self.node = Node(
            folder / "kafka",
            listeners={"SASL": "SASL_SSL", "MTLS": "SSL", "OAUTH": "SASL_SSL"},
            properties=PROPERTIES.format(folder=folder, plain=plain, oauth=OAUTH, oauth_handler=OAUTH_HANDLER),
            system={"org.apache.kafka.sasl.oauthbearer.allowed.urls": f"file://{folder}/jwks.json"},
        )
        self.users = users
        self._admin: Any = None

    def start(self) -> None:
        self.node.start()
        self.admin = AdminClient({"bootstrap.servers": self.node.bootstrap})
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            credentials = ScramCredentialInfo(mechanism, 4096)
            made = self.admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(u, credentials, password(u).encode()) for u in [ROOT, *self.users]]
            )
            for future in made.values():
                future.result(120)

    def stop(self) -> None:
        self.issuer.stop()
        self.node.stop()

    def address(self, listener: str) -> str:
        return f"127.0.0.1:{self.node.ports[listener]}"

    def options(self, how: str, user: str = ROOT) -> dict[str, str]:
        """`kafka.options` that let a user in by PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, MTLS or OAUTHBEARER."""
        trust = {"ssl.ca.location": str(self.folder / "ca.pem")}
        if how == "MTLS":
            return {
                "security.protocol": "SSL",
                **trust,
                "ssl.certificate.location": str(self.folder / f"{user}.pem"),
                "ssl.key.location": str(self.folder / f"{user}.key"),
                "ssl.key.password": KEY_PASSWORD,
            }
        if how == "OAUTHBEARER":
            return {
                "security.protocol": "SASL_SSL",
                **trust,
                "sasl.mechanism": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.client.id": user,
                "sasl.oauthbearer.client.secret": password(user),
                "sasl.oauthbearer.token.endpoint.url": self.issuer.url,
                "sasl.oauthbearer.scope": "kafka",
            }
        return {
            "security.protocol": "SASL_SSL",
            **trust,
            "sasl.mechanism": how,
            "sasl.username": user,
            "sasl.password": password(user),
        }

    def brokers(self, how: str) -> str:
        """The listener for it."""
        return self.address(how if how in ("MTLS",) else "OAUTH" if how == "OAUTHBEARER" else "SASL")

    def allow(self, user: str, acls: list[Acl]) -> None:
        """Give a user exactly these rights and take away all others."""
        mine = AclBindingFilter(
            ResourceType.ANY, None, ResourcePatternType.ANY, f"User:{user}", None, AclOperation.ANY,
            AclPermissionType.ANY,
        )  # fmt: skip
        self.admin.delete_acls([mine])[mine].result(120)
        bindings = [binding(user, acl, operation) for acl in acls for operation in acl.operations]
        for future in self.admin.create_acls(bindings).values() if bindings else ():
            future.result(120)


def binding(user: str, acl: Acl, operation: str) -> AclBinding:
    kind = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER}[acl.resource]
    pattern = ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL
    does = {
        "Read": AclOperation.READ,
        "Write": AclOperation.WRITE,
        "Create": AclOperation.CREATE,
        "Describe": AclOperation.DESCRIBE,
        "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    }[operation]
    return AclBinding(kind, acl.name, pattern, f"User:{user}", "*", does, AclPermissionType.ALLOW)


# -- certificates


def certificates(folder: Path, users: list[str]) -> None:
    """ca.pem, server.pem (key and chain), USER.pem and USER.key, and other-ca.pem, which signed none of them."""
    ca_key, ca = _authority("our authority")
    _, other = _authority("another authority")
    (folder / "ca.pem").write_bytes(_pem(ca))
    (folder / "other-ca.pem").write_bytes(_pem(other))
    key, certificate = _signed("127.0.0.1", ca_key, ca, server=True)
    (folder / "server.pem").write_bytes(_key_pem(key) + _pem(certificate) + _pem(ca))
    for user in users:
        key, certificate = _signed(user, ca_key, ca, server=False)
        (folder / f"{user}.pem").write_bytes(_pem(certificate) + _pem(ca))
        (folder / f"{user}.key").write_bytes(_key_pem(key, KEY_PASSWORD))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(name: str, issuer: x509.Name, key: Any) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
    )


def _authority(name: str) -> tuple[Any, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    built = (
        _builder(name, _named(name), key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return key, built.sign(key, hashes.SHA256())


def _signed(name: str, ca_key: Any, ca: x509.Certificate, *, server: bool) -> tuple[Any, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    built = (
        _builder(name, ca.subject, key)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )
    if server:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
        built = built.add_extension(names, critical=False)
    return key, built.sign(ca_key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: Any, secret: str = "") -> bytes:
    lock = serialization.BestAvailableEncryption(secret.encode()) if secret else serialization.NoEncryption()
    pem: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    return pem


# -- tokens


class TokenIssuer:
    """An OAuth token endpoint for client credentials, with short-lived tokens signed with a key of its own."""

    def __init__(self, jwks: Path, seconds: int = 60) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": _number(numbers.n), "e": _number(65537)}
        jwks.write_text(json.dumps({"keys": [key]}))
        self.asked: list[dict[str, str]] = []
        self.seconds = seconds
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                code, answer = issuer.answer(self.headers.get("authorization", ""), {k: v[0] for k, v in body.items()})
                data = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, authorization: str, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        kind, _, word = authorization.partition(" ")
        user, _, secret = base64.b64decode(word).decode().partition(":") if kind == "Basic" else ("", "", "")
        self.asked.append({"user": user, **body})
        if secret != password(user) or body.get("grant_type") != "client_credentials":
            return 401, {"error": "invalid_client"}
        return 200, {"access_token": self.token(user), "token_type": "Bearer", "expires_in": self.seconds}

    def token(self, user: str) -> str:
        now = int(time.time())
        claims = {"sub": user, "aud": "kafka", "iat": now, "exp": now + self.seconds, "scope": "kafka"}
        head = {"alg": "RS256", "kid": "1", "typ": "JWT"}
        text = ".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
        return f"{text}.{_base64(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _base64(value.to_bytes((value.bit_length() + 7) // 8, "big"))
