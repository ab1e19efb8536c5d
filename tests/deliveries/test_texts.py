"""What a sink makes of an alert: Alertmanager's fields, and a Slack message that can be read at 3 a.m."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.signatures import headers, keys_of
from connectors.sinks.alertmanager import Alertmanager, alert_of
from connectors.sinks.slack import escaped, message_of
from stream_monitor.errors import DeliveryError
from tests.deliveries.cases import SECRET, alert, at

NOW = datetime(2026, 1, 1, 3, tzinfo=UTC)


def test_alertmanager_gets_identity_as_labels_and_the_rest_as_annotations() -> None:
    sent = alert_of(alert(), NOW, "https://monitor.example.org/")
    assert sent["labels"] == {
        "alertname": "ModelDrift",
        "model": "fraud",
        "version": "3",
        "segment": "country=de",
        "severity": "critical",
        "team": "risk",
    }
    assert sent["startsAt"] == at("01:00")
    assert sent["endsAt"] == at("03:04")
    assert sent["generatorURL"] == "https://monitor.example.org/?alert=a1"
    assert sent["annotations"]["reason"] == "psi of amount is 0.41, above 0.2, in 2 windows in a row"
    assert sent["annotations"]["worst"].splitlines()[0] == "amount: psi 0.412 (threshold 0.2)"
    assert sent["annotations"]["runbook"] == "https://example.org/runbook"
    assert all(isinstance(v, str) and v for v in (*sent["labels"].values(), *sent["annotations"].values()))


GROUPS = {
    "drift": "ModelDrift",
    "performance": "ModelPerformance",
    "quality": "DataQuality",
    "stream": "StreamHealth",
    "fairness": "ModelFairness",
}


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_alert_names(group: str) -> None:
    assert alert_of(alert(group=group), NOW)["labels"]["alertname"] == GROUPS[group]


# alert, startsAt, endsAt, comment
TIMES: list[tuple[dict[str, Any], str, str, str]] = [
    (alert("resolved"), at("01:00"), at("02:00"), "resolved when it was resolved"),
    (alert("resolved", resolved_at=None), at("01:00"), at("03:00"), "no time: now"),
    (alert("resolved", resolved_at=at("05:00")), at("01:00"), at("03:00"), "never later than now, or it would go on"),
    (alert(started_at=at("05:00")), at("03:00"), at("03:04"), "nor does one start later than now"),
    (alert("resolved", started_at=at("05:00"), resolved_at=at("06:00")), at("03:00"), at("03:00"), "nor end before"),
    (alert("acknowledged"), at("01:00"), at("03:04"), "seen to, but not over"),
]


@pytest.mark.parametrize(("body", "starts", "ends", "why"), TIMES)
def test_alertmanager_times(body: dict[str, Any], starts: str, ends: str, why: str) -> None:
    sent = alert_of(body, NOW)
    assert (sent["startsAt"], sent["endsAt"]) == (starts, ends), why


def test_alertmanager_labels_are_checked_before_anything_is_sent() -> None:
    with pytest.raises(DeliveryError, match="'team-name' is no label name") as caught:
        alert_of(alert(labels={"team-name": "risk"}), NOW)
    assert caught.value.permanent


def test_alertmanager_has_no_empty_label() -> None:
    assert "version" not in alert_of(alert(version=""), NOW)["labels"]


def test_alertmanager_needs_an_address() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Alertmanager(url=[])


def texts(body: dict[str, Any], **options: Any) -> str:
    message = message_of(body, **options)
    blocks = [b["text"]["text"] if b["type"] == "section" else b["elements"][0]["text"] for b in message["blocks"]]
    return "\n".join(blocks)


def test_slack_says_what_since_when_how_bad_and_where_to_look() -> None:
    assert texts(alert(), link="https://monitor.example.org") == (
        ":red_circle: *FIRING  ModelDrift  fraud · version 3 · segment country=de*\n"
        "*Severity* critical   *Since* 2026-01-01 00:45 UTC\n"
        "psi of amount is 0.41, above 0.2, in 2 windows in a row\n"
        "*Worst*\n"
        "• amount: psi 0.412 (threshold 0.2)\n"
        "• country: psi 0.31 (threshold 0.2)\n"
        "<https://example.org/runbook|Runbook>   <https://monitor.example.org/?alert=a1|Open the page>   alert `a1`"
    )


def test_slack_says_that_it_is_over() -> None:
    text = texts(alert("resolved"))
    assert ":large_green_circle: *RESOLVED  ModelDrift  fraud" in text
    assert "*Resolved* 2026-01-01 02:00 UTC after 1 h 0 min" in text
    assert "*Worst*" not in text


def test_slack_says_when_it_is_late() -> None:
    assert "*Delivered late*: this was at 2026-01-01 01:05 UTC" in texts(alert(), late=True)
    assert "late" not in texts(alert())


def test_slack_cannot_be_made_to_call_everybody() -> None:
    evil = "<!channel> <https://evil.example|click> & *x*"
    body = alert(segment=f"country={evil}", reason=evil, worst=[{"column": evil, "metric": "psi", "value": 1.0}])
    body["annotations"] = {"runbook": "https://ok.example/a|b>c"}
    text = texts(body) + message_of(body)["text"]
    assert "<!channel>" not in text
    assert "<https://evil" not in text
    assert "<https://ok.example/a%7Cb&gt;c|Runbook>" in text
    assert "javascript" not in texts(alert(annotations={"runbook": "javascript:alert(1)"}))


def test_slack_makes_no_link_of_a_text() -> None:
    """Its documentation: without `verbatim` it makes links of addresses and of the names of conversations."""
    message = message_of(alert(version="https://evil.example/login", reason="see #general"))
    of = [b["text"] if b["type"] == "section" else b["elements"][0] for b in message["blocks"]]
    assert [text["verbatim"] for text in of if text["type"] == "mrkdwn"] == [True] * len(message["blocks"])


@given(st.integers(0, 60), st.text(max_size=5_000), st.text(alphabet="<>&", max_size=4_000))
def test_slack_limits_hold(columns: int, reason: str, name: str) -> None:
    worst = [{"column": name, "metric": "psi", "value": 1.0, "threshold": 0.2}] * columns
    message = message_of(alert(reason=reason, worst=worst, segment=name))
    assert len(message["blocks"]) <= 50
    for block in message["blocks"]:
        text = block["text"]["text"] if block["type"] == "section" else block["elements"][0]["text"]
        assert 1 <= len(text) <= 3_000
        assert not text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").count("&")  # no escape is cut


@given(st.text(max_size=200), st.integers(10, 100))
def test_escaping(text: str, most: int) -> None:
    cut = escaped(text, most)
    assert len(cut) <= most
    back = cut.removesuffix("…").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert text.startswith(back) or back == text.removesuffix("…")


def test_the_example_of_the_specification() -> None:
    body = json.dumps({"test": 2432232314}).encode()
    found = headers(keys_of(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    # checked with the reference library, standardwebhooks 1.1.0
    assert found["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_sign_while_one_replaces_the_other() -> None:
    both = headers(keys_of(f"{SECRET} whsec_a2V5"), "m", 0, b"{}")["webhook-signature"].split()
    assert both == [headers(keys_of(s), "m", 0, b"{}")["webhook-signature"] for s in (SECRET, "whsec_a2V5")]


def test_without_a_secret_it_is_not_signed() -> None:
    assert headers(keys_of(""), "m", 0, b"{}") == {"webhook-id": "m", "webhook-timestamp": "0"}
