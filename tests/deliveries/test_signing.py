"""Signatures, against published vectors and an independent verifier."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from calapp.deliveries.signing import new_secret, sign, standard_signature, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT_ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"


def test_the_published_vector_of_standard_webhooks_is_met() -> None:
    made = standard_signature(EVENT_ID, 1614265330, b'{"test": 2432232314}', [SECRET])
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_vector_of_cal_com_is_met() -> None:
    body = b'{"triggerEvent":"PING","createdAt":"2026-01-01T00:00:00.000Z","payload":{}}'
    assert sign("s3cr3t", body) == "c2a14966190bc000a4ace01b04df4f7d4fd5250236ca09b36bef63156f8436c2"


@pytest.mark.parametrize("secret", [None, ""])
def test_without_a_secret_the_words_of_cal_com_are_sent(secret: str | None) -> None:
    assert sign(secret, b"{}") == "no-secret-provided"


def test_an_independent_verifier_accepts_our_signature() -> None:
    secret, body = new_secret(), '{"name":"Zoë"}'.encode()
    timestamp = int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard_signature("evt_1", timestamp, body, [secret]),
    }
    assert Webhook(secret).verify(body, headers) == {"name": "Zoë"}


def test_while_a_secret_changes_both_verify() -> None:
    old, new, timestamp = new_secret(), new_secret(), int(datetime.now(UTC).timestamp())
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard_signature("evt_1", timestamp, b"{}", [old, new]),
    }
    assert Webhook(old).verify(b"{}", headers) == Webhook(new).verify(b"{}", headers) == {}


def test_a_new_secret_is_32_random_bytes() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("whsec_")
    assert len(base64.b64decode(first.removeprefix("whsec_"))) == 32


@pytest.mark.parametrize("secret", ["plain words", "whsec_not base64!", "whsec_abc", "pässwörd"])
def test_any_text_is_a_secret(secret: str) -> None:
    key = secret.encode()
    expected = base64.b64encode(hmac.new(key, b"e.1.{}", hashlib.sha256).digest()).decode()
    assert standard_signature("e", 1, b"{}", [secret]) == f"v1,{expected}"


@given(st.binary(), st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_what_is_signed_verifies_and_nothing_else_does(body: bytes, secret: str) -> None:
    cal = {"x-cal-signature-256": sign(secret, body)}
    standard = {
        "webhook-id": "evt_1",
        "webhook-timestamp": "1614265330",
        "webhook-signature": standard_signature("evt_1", 1614265330, body, ["another", secret]),
    }
    assert verify(secret, body, cal)
    assert verify(secret, body, standard)
    assert not verify(secret, body + b" ", cal | standard)
    assert not verify(secret + "x", body, cal | standard)


@pytest.mark.parametrize("timestamp", ["", "now", "-1", "1" * 40, "１"])  # noqa: RUF001
def test_a_nonsense_timestamp_does_not_verify(timestamp: str) -> None:
    assert not verify(SECRET, b"{}", {"webhook-timestamp": timestamp, "webhook-signature": "v1,x"})


def test_headers_that_are_not_ascii_do_not_verify() -> None:
    assert not verify(SECRET, b"{}", {"x-cal-signature-256": "ü", "webhook-signature": "ü"})
    assert not verify(SECRET, b"{}", {})
