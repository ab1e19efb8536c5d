"""`kafka.options` in librdkafka's names, as far as they say how to get in: checked once, used by all clients.

librdkafka takes them as they are. The worker's client (aiokafka, by way of Faust) does not know these names, and can do
less: what it cannot do is an error of the configuration, so that no worker starts only to fail.

    security.protocol   plaintext | ssl | sasl_plaintext | sasl_ssl
    sasl.mechanism      PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512 (sasl.username, sasl.password)
                        OAUTHBEARER (sasl.oauthbearer.method: oidc, client.id, client.secret, token.endpoint.url)
    ssl.ca.*            whom to trust;  ssl.certificate.* and ssl.key.*  who we are (mTLS), as PEM
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from stream_monitor.errors import Finding
from stream_monitor.names import choices

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
PASSWORDS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
MECHANISMS: Final = (*PASSWORDS, "OAUTHBEARER")
_PREFIX: Final = "sasl.oauthbearer."
_NEEDED_BY_OIDC: Final = tuple(_PREFIX + n for n in ("client.id", "client.secret", "token.endpoint.url"))
# What only librdkafka can do, and what to do instead.
_NOT_FOR_WORKERS: Final = {
    "ssl.keystore.location": "give the certificate and its key as PEM: ssl.certificate.location and ssl.key.location",
    "ssl.engine.location": "give the certificate and its key as PEM: ssl.certificate.location and ssl.key.location",
    "ssl.certificate.verify_cb": "give ssl.ca.location",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """How to get a token: the client-credentials request of librdkafka's `sasl.oauthbearer.method: oidc`."""

    url: str
    client_id: str
    client_secret: str
    scope: str = ""
    extensions: Mapping[str, str] | None = None
    ca_location: str = ""  # whom to trust at the token endpoint; "": as the system does

    def __repr__(self) -> str:
        return f"Oidc({self.client_id} at {self.url})"


def protocol(options: Mapping[str, Any]) -> str:
    """The protocol in capitals.

    >>> protocol({"security.protocol": "sasl_ssl"}), protocol({})
    ('SASL_SSL', 'PLAINTEXT')
    """
    return str(options.get("security.protocol", "plaintext")).upper()


def mechanism(options: Mapping[str, Any]) -> str:
    """The SASL mechanism, by either of its names; PLAIN, unless it is given."""
    return str(options.get("sasl.mechanism", options.get("sasl.mechanisms", "PLAIN"))).upper()


def oidc(options: Mapping[str, Any]) -> Oidc:
    """The token request. What is missing, `findings` has said."""
    text = str(options.get("sasl.oauthbearer.extensions", ""))
    pairs = (pair.partition("=") for pair in text.split(",") if pair)
    return Oidc(
        url=str(options.get("sasl.oauthbearer.token.endpoint.url", "")),
        client_id=str(options.get("sasl.oauthbearer.client.id", "")),
        client_secret=str(options.get("sasl.oauthbearer.client.secret", "")),
        scope=str(options.get("sasl.oauthbearer.scope", "")),
        extensions={name: value for name, _, value in pairs},
        ca_location=str(options.get("https.ca.location", "")),
    )


def ssl_context(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """TLS as librdkafka would do it; None without TLS. Raises OSError (ssl.SSLError included) for what is unusable."""
    if not protocol(options).endswith("SSL"):
        return None
    context = ssl.create_default_context(cafile=options.get("ssl.ca.location"), cadata=_text(options.get("ssl.ca.pem")))
    # Why: authorities older than RFC 5280's strictness, which many companies have, are fine for librdkafka.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if str(options.get("ssl.endpoint.identification.algorithm", "https")).lower() == "none":
        context.check_hostname = False
    if str(options.get("enable.ssl.certificate.verification", "true")).lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if ciphers := options.get("ssl.cipher.suites"):
        context.set_ciphers(str(ciphers))
    secret = str(options.get("ssl.key.password") or "")
    if certificate := options.get("ssl.certificate.location"):
        # Why never None: OpenSSL would ask the terminal for the password of an encrypted key.
        context.load_cert_chain(str(certificate), options.get("ssl.key.location"), secret)
    elif pem := _text(options.get("ssl.certificate.pem")):
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # mode 600, gone at once; ssl reads files only
            file.write(f"{pem}\n{_text(options.get('ssl.key.pem')) or ''}\n")
            file.flush()
            context.load_cert_chain(file.name, None, secret)
    return context


def findings(options: Mapping[str, Any]) -> Iterator[Finding]:
    """What is wrong with the options, by their paths in the file; never with a secret's text."""
    how = protocol(options)
    if how not in PROTOCOLS:
        yield _path("security.protocol"), f"unknown protocol {how!r}{choices(how, PROTOCOLS)}"
        return
    for name, remedy in _NOT_FOR_WORKERS.items():
        if name in options:
            yield _path(name), f"workers cannot use it; {remedy}"
    if how.startswith("SASL"):
        kind = mechanism(options)
        where = _path("sasl.mechanisms" if "sasl.mechanisms" in options else "sasl.mechanism")
        if kind == "GSSAPI":
            yield (
                where,
                f"workers cannot use Kerberos (GSSAPI); possible are {', '.join(MECHANISMS)}, or TLS certificates",
            )
        elif kind not in MECHANISMS:
            yield where, f"unknown mechanism {kind!r}{choices(kind, MECHANISMS)}"
        elif kind == "OAUTHBEARER":
            yield from _oauth(options)
    if how.endswith("SSL"):
        yield from _tls(options)


def missing(options: Mapping[str, Any]) -> Iterator[Finding]:
    """What lacks before anything can connect."""
    if not protocol(options).startswith("SASL"):
        return
    kind = mechanism(options)
    for name in _NEEDED_BY_OIDC if kind == "OAUTHBEARER" else ("sasl.username", "sasl.password"):
        if not options.get(name):
            yield _path(name), f"missing: {kind} needs it"


def _oauth(options: Mapping[str, Any]) -> Iterator[Finding]:
    if str(options.get("sasl.oauthbearer.method", "default")).lower() != "oidc":
        yield _path("sasl.oauthbearer.method"), "must be oidc: a token endpoint that gives tokens to a client"
    grant = str(options.get("sasl.oauthbearer.grant.type", "client_credentials"))
    if grant != "client_credentials":
        yield _path("sasl.oauthbearer.grant.type"), f"workers know client_credentials only, not {grant!r}"


def _tls(options: Mapping[str, Any]) -> Iterator[Finding]:
    for name in ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location"):
        if (file := options.get(name)) and (wrong := _unreadable(str(file))):
            yield _path(name), f"{file}: {wrong}"
            return
    for mine, other in (("ssl.key.location", "ssl.certificate.location"), ("ssl.key.pem", "ssl.certificate.pem")):
        if options.get(mine) and not options.get(other):
            yield _path(other), f"missing: {mine} is the key of a certificate"
            return
    try:
        ssl_context({k: v for k, v in options.items() if not k.startswith(("ssl.certificate", "ssl.key"))})
    except (OSError, ValueError) as error:
        authority = _given(options, "ssl.ca.location", "ssl.ca.pem")
        name = "ssl.cipher.suites" if "cipher" in str(error).lower() else authority
        yield _path(name), f"cannot be used: {_short(error)}"
        return
    own = [_given(options, f"ssl.{thing}.location", f"ssl.{thing}.pem") for thing in ("certificate", "key")]
    for name in own:
        if options.get(name) and "-----BEGIN " not in _content(name, str(options[name])):
            yield _path(name), "is no PEM"
            return
    try:
        ssl_context(options)
    except (OSError, ValueError) as error:
        text = str(error).upper()
        if "KEY_VALUES_MISMATCH" in text:
            yield _path(own[1]), "is not the key of the certificate"
        elif "PEM" in text or "DECRYPT" in text or "PASSWORD" in text:
            yield _path("ssl.key.password"), "does not open the key"
        else:
            yield _path(own[0]), f"cannot be used with its key: {_short(error)}"


def _content(option: str, value: str) -> str:
    if option.endswith(".pem"):
        return value
    with open(value, encoding="latin-1") as file:
        return file.read()


def _unreadable(file: str) -> str:
    try:
        with open(file, "rb"):
            return ""
    except OSError as error:
        return error.strerror or "cannot be read"


def _given(options: Mapping[str, Any], *names: str) -> str:
    return next((n for n in names if options.get(n)), names[0])


def _short(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)


def _text(value: object) -> str | None:
    return str(value) if value else None


def _path(option: str) -> str:
    return f"kafka.options.{option}"
