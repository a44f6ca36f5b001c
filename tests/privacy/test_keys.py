"""The commands that encrypt, rotate and forget, and the start that refuses a key that does not fit."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from calapp import config, encryption, startup_checks
from calapp.accounts.models import User
from calapp.config import BadSetting, Settings
from calapp.db import transaction
from calapp.integrations.models import InspectorRequest
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases

pytestmark = on_both_databases

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW_SECRET = "whsec_" + "QUJD" * 8
OTHER = "another key, of another server"


@pytest.fixture
def webhook(rick: User, saved: Callable[..., None]) -> Webhook:
    hook = Webhook(user_id=rick.id, subscriber_url="https://example.com/hook", triggers=["BOOKING_CREATED"])
    hook.secret, hook.headers = SECRET, [["Authorization", "Bearer of bad news"]]
    saved(hook)
    return hook


@pytest.fixture
def plain(webhook: Webhook, rick: User, saved: Callable[..., None]) -> list[str]:
    """What a version before wrote; returns the words that must not stand in the tables any more."""
    headers = json.dumps([["Authorization", "Bearer of bad news"]])
    request = InspectorRequest(user_id=rick.id, body="{}", signature="none", status=200)
    request.sealed_headers = [["Host", "here"], ["X-Token", "hush-hush"]]
    saved(request)
    with transaction() as session:
        values = {"secret": SECRET, "headers": headers}
        session.execute(
            text("UPDATE webhook SET secret = :secret, old_secret = 'the-former', headers = :headers"), values
        )
        session.execute(text("UPDATE \"user\" SET calendar_token = 'feed-token', calendar_token_hash = NULL"))
    return [SECRET, "the-former", "bad news", "feed-token", "hush-hush"]


def tables(session: Session) -> str:
    session.rollback()
    parts = ("SELECT secret, old_secret, headers FROM webhook", 'SELECT calendar_token FROM "user"')
    queries = (*parts, "SELECT headers FROM inspector_request")
    return "\n".join(str(row) for query in queries for row in session.execute(text(query)))


def run(app: Flask, *words: str) -> str:
    result = app.test_cli_runner().invoke(args=words)
    assert result.exit_code == 0, result.output
    return result.output


def test_k1_encrypt_secrets_encrypts_what_a_version_before_wrote(
    app: Flask, webhook: Webhook, plain: list[str], session: Session, client: FlaskClient
) -> None:
    changed_at = webhook.updated_at
    assert "Encrypted 3 rows" in run(app, "encrypt-secrets")
    assert not any(word in tables(session) for word in plain)
    session.expire_all()
    assert (webhook.secret, webhook.old_secret, webhook.updated_at) == (SECRET, "the-former", changed_at)
    assert webhook.headers == [["Authorization", "Bearer of bad news"]]
    assert client.get("/calendar/feed-token.ics").status_code == 200
    assert "Nothing to encrypt" in run(app, "encrypt-secrets")


def test_k1_freed_pages_of_the_file_are_swept(
    app: Flask, plain: list[str], settings: Settings, database: str
) -> None:
    if database:
        pytest.skip("a file of ours on SQLite alone")
    run(app, "encrypt-secrets")
    files = [path.read_bytes() for path in settings.data_dir.glob("calapp.sqlite3*")]
    assert not any(word.encode() in content for word in plain for content in files)


def test_rotation_makes_a_new_key_in_the_data_folder_and_keeps_the_old(
    app: Flask, webhook: Webhook, settings: Settings, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    before = encryption.keyring().current
    assert "Created a new key" in run(app, "rotate-secret-key")
    current, former = config.kept_keys(settings.data_dir)
    assert (former, current != former) == (settings.secret_key, True)
    assert before not in encryption.key_names(tables(session))
    assert {path.stat().st_mode & 0o777 for path in settings.data_dir.glob("secret_key*")} == {0o600}
    config.use(settings)  # a process that still has the key of before finds the new one
    session.expire_all()
    assert webhook.secret == SECRET


def test_rotation_encrypts_anew_with_the_key_of_the_environment(
    app: Flask, webhook: Webhook, settings: Settings, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", OTHER)
    config.use(replace(settings, secret_key=OTHER, secret_key_fallbacks=(settings.secret_key,)))
    assert "Encrypted 2 rows" in run(app, "rotate-secret-key")
    config.use(replace(settings, secret_key=OTHER))
    session.expire_all()
    assert webhook.secret == SECRET
    assert len(encryption.key_names(tables(session))) == 1


@pytest.mark.parametrize("word", ["seed-demo", "prune", "encrypt-secrets", "rotate-secret-key"])
def test_a_key_that_does_not_fit_stops_start_and_commands(
    app: Flask, webhook: Webhook, settings: Settings, word: str
) -> None:
    wrong = replace(settings, secret_key=OTHER)
    config.use(wrong)
    result = app.test_cli_runner().invoke(args=[word])
    assert (result.exit_code, "flask forget-secrets" in result.output) == (1, True)
    with pytest.raises(BadSetting, match="SECRET_KEY_FALLBACKS"):
        startup_checks.refuse_wrong_key(wrong)
    assert (
        startup_checks.refuse_wrong_key(replace(wrong, secret_key_fallbacks=(settings.secret_key,))) is None
    )


def test_forget_secrets_clears_what_cannot_be_read_and_lists_the_webhooks(
    app: Flask, webhook: Webhook, rick_client: FlaskClient, settings: Settings, session: Session, rick: User
) -> None:
    feed = f"/calendar/{rick.calendar_token}.ics"
    assert "nothing was cleared" in run(app, "forget-secrets")
    config.use(wrong := replace(settings, secret_key=OTHER))
    assert "header Authorization" in run(app, "forget-secrets", "--dry-run")
    said = run(app, "forget-secrets")
    assert f"Webhook {webhook.id} of rick, https://example.com/hook: secret and header Authorization" in said
    assert startup_checks.refuse_wrong_key(wrong) is None
    session.expire_all()
    assert (webhook.secret, webhook.headers) == (None, [])
    page = rick_client.get("/integrations").text
    assert "can no longer read the secret and header Authorization" in page
    assert "can no longer be shown" in page
    assert rick_client.get(feed).status_code == 200
    assert "Nothing to encrypt" in run(app, "encrypt-secrets")


def test_a_wrong_key_fails_no_booking_and_the_host_can_set_a_new_secret(
    app: Flask, webhook: Webhook, rick_client: FlaskClient, settings: Settings, session: Session
) -> None:
    config.use(replace(settings, secret_key=OTHER))
    page = rick_client.get(f"/integrations/webhooks/{webhook.id}/edit")
    assert (page.status_code, "a secret is saved" in page.text) == (200, True)
    form = {"subscriber_url": "https://example.com/hook", "triggers": "BOOKING_CREATED", "active": "1"}
    saved = rick_client.post(f"/integrations/webhooks/{webhook.id}/edit", data=form | {"secret": NEW_SECRET})
    assert saved.status_code in {200, 302, 303}, saved.text
    session.expire_all()
    assert (webhook.secret, webhook.old_secret) == (NEW_SECRET, None)
