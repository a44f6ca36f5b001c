"""How many of each thing a host may have: said in words on page and API, held when two come at once."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp.accounts.models import ApiKey, User
from calapp.config import Settings
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.api.conftest import Client, bob_api, rick_api, with_key
from tests.conftest import on_both_databases, signed_in
from tests.deliveries.conftest import subscribed

__all__ = ["bob_api", "rick_api", "with_key"]  # fixtures

pytestmark = on_both_databases

URL = "http://127.0.0.1:4000/"
TYPE = {"length": "15", "location_kind": "none", "notice": "0", "max_days": "60"}
MADE: dict[type, tuple[str, Callable[[int], dict[str, object]], str]] = {
    Webhook: (
        "/integrations/webhooks/new",
        lambda number: {"subscriber_url": f"{URL}{number}", "triggers": "BOOKING_CREATED", "active": "1"},
        "You have 3 webhooks, the most that one host may have.",
    ),
    EventType: (
        "/event-types/new",
        lambda number: {**TYPE, "title": f"T{number}", "slug": f"t{number}"},
        "You have 3 event types, the most that one host may have.",
    ),
    ApiKey: (
        "/integrations/api-keys/new",
        lambda number: {"name": f"K{number}", "scopes": "read"},
        "You have 3 API keys, the most that one host may have.",
    ),
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, webhooks_per_host=3, event_types_per_host=3, api_keys_per_host=3)


def kept(session: Session, model: type, user: User) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(model).where(model.user_id == user.id))


@pytest.mark.parametrize("model", MADE)
def test_d8_one_too_many_is_refused_in_words_and_logged(
    rick: User, rick_client: FlaskClient, session: Session, caplog: pytest.LogCaptureFixture, model: type
) -> None:
    address, form, words = MADE[model]
    for number in range(3):
        assert rick_client.post(address, data=form(number)).status_code < 400
    answer = rick_client.post(address, data=form(4))
    assert answer.status_code in {409, 422}
    assert words in answer.text
    assert kept(session, model, rick) == 3
    told = [one for one in caplog.records if one.getMessage() == "limit reached"]
    assert [one.said["host"] for one in told] == [rick.id]
    assert told[0].levelno == logging.WARNING


@pytest.mark.parametrize("model", MADE)
def test_d8_two_at_once_get_one_last_place(app: Flask, rick: User, session: Session, model: type) -> None:
    address, form, _ = MADE[model]
    browsers = [signed_in(app, rick) for _ in range(6)]
    ready = threading.Barrier(len(browsers))

    def make(number: int) -> None:
        ready.wait()
        with app.app_context():
            browsers[number].post(address, data=form(number))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(len(browsers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept(session, model, rick) == 3


def test_d8_the_api_says_it_in_words(rick_api: Client, rick: User, saved) -> None:
    saved(*(subscribed(rick, f"{URL}{number}") for number in range(3)))
    answer = rick_api.post("/v2/webhooks", {"subscriberUrl": f"{URL}4", "triggers": ["BOOKING_CREATED"]})
    assert answer.status_code == 409
    assert answer.json["error"]["code"] == "limit_reached"
    assert "3 webhooks" in answer.json["error"]["message"]


def test_d8_who_has_more_from_before_keeps_and_changes_them(
    rick: User, rick_client: FlaskClient, saved, session: Session
) -> None:
    saved(*(subscribed(rick, f"{URL}{number}") for number in range(5)))
    first = session.scalar(select(func.min(Webhook.id)))
    form = {"subscriber_url": f"{URL}new", "triggers": "BOOKING_CREATED", "active": "1"}
    assert rick_client.post(f"/integrations/webhooks/{first}/edit", data=form).status_code < 400
    assert kept(session, Webhook, rick) == 5


def test_d8_the_inspectors_webhook_counts_too(rick: User, rick_client: FlaskClient, saved) -> None:
    saved(*(subscribed(rick, f"{URL}{number}") for number in range(3)))
    answer = rick_client.post("/integrations/webhooks/inspector")
    assert answer.status_code == 409
    assert "3 webhooks" in answer.text
