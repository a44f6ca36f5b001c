"""How many of each thing a host may have: said in words on page and API, held when two come at once."""

import datetime as dt
import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.models import ApiKey, User
from calapp.availability.models import DateOverride
from calapp.availability.service import today_of
from calapp.config import Settings
from calapp.deliveries import replays
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.api.conftest import Client, bob_api, rick_api, with_key
from tests.conftest import make_user, on_both_databases, signed_in
from tests.deliveries.conftest import subscribed

__all__ = ["bob_api", "rick_api", "with_key"]  # fixtures

pytestmark = on_both_databases

URL = "http://127.0.0.1:4000/"
TYPE = {"length": "15", "location_kind": "none", "notice": "0", "max_days": "60"}
MADE: dict[type, tuple[str, Callable[[int], dict[str, object]], str]] = {
    Webhook: (
        "/integrations/webhooks/new",
        lambda number: {"subscriber_url": f"{URL}{number}", "triggers": "BOOKING_CREATED", "active": "1"},
        "You have reached the limit of 3 webhooks.",
    ),
    EventType: (
        "/event-types/new",
        lambda number: {**TYPE, "title": f"T{number}", "slug": f"t{number}"},
        "You have reached the limit of 3 event types.",
    ),
    ApiKey: (
        "/integrations/api-keys/new",
        lambda number: {"name": f"K{number}", "scopes": "read"},
        "You have reached the limit of 3 API keys.",
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


def day(number: int) -> str:
    return (today_of(make_user("x")) + dt.timedelta(days=number)).isoformat()


def test_d8_a_host_has_so_many_dates_with_hours_of_their_own(
    rick_client: FlaskClient, rick: User, session: Session, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(limits, "DATES_PER_HOST", 3)
    forms = [{"date": day(at), "off": "1"} for at in range(5)]
    answers = [rick_client.post("/availability/overrides", data=form) for form in forms]
    assert [answer.status_code for answer in answers] == [303] * 3 + [422] * 2
    assert "You have reached the limit of 3 dates." in answers[3].text
    assert day(3) in answers[3].text  # what was typed stands
    assert "DATES_PER_HOST" in {one.said["limit"] for one in caplog.records if one.msg == "limit reached"}
    assert kept(session, DateOverride, rick) == 3
    hours = {"date": day(1), "override-start": "10:00", "override-end": "11:00"}
    assert rick_client.post("/availability/overrides", data=hours).status_code == 303  # one that there is


def test_d8_dates_that_are_over_do_not_count(
    rick_client: FlaskClient, rick: User, session, saved, monkeypatch
) -> None:
    monkeypatch.setattr(limits, "DATES_PER_HOST", 1)
    past = [dt.date.fromisoformat(day(-at)) for at in (1, 30)]
    saved(*(DateOverride(user_id=rick.id, date=one) for one in past))
    assert rick_client.post("/availability/overrides", data={"date": day(1), "off": "1"}).status_code == 303
    assert kept(session, DateOverride, rick) == 2  # yesterday's may be today elsewhere


def test_d8_a_day_has_at_most_twelve_ranges(rick_client: FlaskClient) -> None:
    starts, ends = ([f"{hour:02}:{minute}" for hour in range(13)] for minute in ("00", "30"))
    form = {"time_zone": "UTC", "day-0-start": starts, "day-0-end": ends}
    answer = rick_client.post("/availability", data=form)
    assert answer.status_code == 422
    assert "A day can have up to 12 time ranges." in answer.text
    assert 'value="12:30"' in answer.text


def test_d8_so_many_replays_of_a_host_run_at_a_time(rick: User, rick_api: Client, saved, monkeypatch) -> None:
    monkeypatch.setattr(limits, "REPLAYS_PER_HOST", 1)
    saved(*(subscribed(rick, f"{URL}{number}") for number in range(2)))
    monkeypatch.setattr(replays, "count", lambda *_: replays.Counted(5, 0))
    body = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    first, second = (f"/v2/webhooks/{one['id']}/replay" for one in rick_api.data("/v2/webhooks"))
    assert rick_api.post(first, body).status_code == 202
    answer = rick_api.post(second, body)
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "limit_reached")
    assert "which is the limit" in answer.json["error"]["message"]
