"""What would let somebody in stands encrypted in the tables, and plain values of before are still read."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from app import create_app
from calapp import config, encryption
from calapp.accounts.models import User
from calapp.config import Settings
from calapp.db import db, transaction
from calapp.deliveries.signing import valid_secrets
from calapp.errors import KeyDoesNotFit
from calapp.integrations import service
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases

pytestmark = on_both_databases

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HEADERS = [["X-Team", "navy blue"], ["Authorization", "Bearer of bad news"]]


def stored(session: Session, table: str, *columns: str) -> list[str]:
    """Return what really stands in a table."""
    row = session.execute(text(f'SELECT {", ".join(columns)} FROM "{table}"')).one()
    return [str(value) for value in row]


@pytest.fixture
def webhook(rick: User, saved: Callable[..., None]) -> Webhook:
    hook = Webhook(user_id=rick.id, subscriber_url="https://example.com/hook", triggers=["BOOKING_CREATED"])
    hook.secret, hook.old_secret, hook.headers = SECRET, "the former one", HEADERS
    saved(hook)
    return hook


def test_k1_secrets_and_header_values_stand_encrypted(webhook: Webhook, session: Session) -> None:
    told = "".join(stored(session, "webhook", "secret", "old_secret", "headers"))
    assert not any(word in told for word in (SECRET, "former", "navy blue", "bad news"))
    assert "X-Team" in told
    session.expire_all()
    assert (webhook.secret, webhook.old_secret, webhook.headers) == (SECRET, "the former one", HEADERS)


def test_k1_the_longest_secret_finds_room(webhook: Webhook, change: Callable[..., None]) -> None:
    change(webhook, secret="ß" * 500, headers=[["X-Long", "€" * 1000]])
    assert (webhook.secret, webhook.headers) == ("ß" * 500, [["X-Long", "€" * 1000]])


def test_k1_plain_values_of_before_are_read(webhook: Webhook, session: Session) -> None:
    for plain in (SECRET, "enc1:not-encrypted", "enc1:0123abcd:gAAAAAnot-encrypted"):
        session.execute(
            text('UPDATE webhook SET secret = :plain, headers = \'[["X", "y"]]\''), {"plain": plain}
        )
        session.expire_all()
        assert (webhook.secret, webhook.headers) == (plain, [["X", "y"]])


def test_k1_a_secret_that_looks_encrypted_is_kept_as_it_was_given(
    webhook: Webhook, change: Callable[..., None]
) -> None:
    lookalike = encryption.seal("something else").removeprefix("\x01")
    change(webhook, secret=lookalike)
    assert webhook.secret == lookalike


def test_k1_what_another_key_encrypted_is_not_read(webhook: Webhook, app: Flask, settings: Settings) -> None:
    config.use(replace(settings, secret_key="another key, of another server"))
    with pytest.raises(KeyDoesNotFit):
        valid_secrets(webhook, webhook.created_at)
    config.use(replace(settings, secret_key="another", secret_key_fallbacks=(settings.secret_key,)))
    assert webhook.secret == SECRET


def test_k1_a_value_is_decrypted_once_in_a_process(webhook: Webhook) -> None:
    opened = encryption.keyring().open
    before = opened.cache_info().misses
    for _ in range(100):
        assert webhook.secret == SECRET
    assert opened.cache_info().misses == before + 1


def test_k1_a_feed_is_looked_up_by_hash_and_its_address_is_still_shown(
    rick: User, rick_client: FlaskClient, session: Session
) -> None:
    token = rick.calendar_token
    assert token not in "".join(stored(session, "user", "calendar_token", "calendar_token_hash"))
    assert f"/calendar/{token}.ics" in rick_client.get("/integrations").text
    assert rick_client.get(f"/calendar/{token}.ics").status_code == 200
    sealed = rick.sealed_calendar_token
    assert rick_client.get(f"/calendar/{sealed}.ics").status_code == 404
    assert rick_client.get(f"/calendar/{rick.calendar_token_hash}.ics").status_code == 404


def test_k1_a_feed_that_a_version_before_renewed_has_only_its_new_address(
    rick: User, client: FlaskClient, session: Session
) -> None:
    former = rick.calendar_token
    with transaction() as writing:
        writing.execute(text("UPDATE \"user\" SET calendar_token = 'renewed-by-the-version-before'"))
    assert client.get(f"/calendar/{former}.ics").status_code == 404
    assert client.get("/calendar/renewed-by-the-version-before.ics").status_code == 200


def test_k1_the_inspector_keeps_the_custom_headers_it_gets_encrypted(
    rick: User, client: FlaskClient, session: Session
) -> None:
    with transaction() as writing:
        token = service.ensure_inspector(writing, rick.id).token
    client.post(f"/hooks/in/{token}", data="{}", headers={"Authorization": "Bearer of bad news"})
    assert "bad news" not in stored(session, "inspector_request", "headers")[0]
    assert ["Authorization", "Bearer of bad news"] in service.received(
        session, rick.id, service.RequestFilter()
    )[0].headers


def test_sessions_and_forms_of_a_former_key_are_still_read(
    app: Flask, rick: User, rick_client: FlaskClient, settings: Settings
) -> None:
    cookie = rick_client.get_cookie("calapp").value
    rotated = replace(settings, secret_key="the new one", secret_key_fallbacks=(settings.secret_key,))
    after = create_app(rotated)
    browser = after.test_client()
    browser.set_cookie("calapp", cookie)
    with after.app_context():
        assert browser.get("/integrations").status_code == 200
        db.session.remove()
        db.engine.dispose()
