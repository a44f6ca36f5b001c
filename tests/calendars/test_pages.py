"""The card of calendars and its box, as plain pages and with htmx."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.calendars import service
from calapp.calendars.models import ExternalCalendar, WhenStale
from calapp.db import db
from tests.receiver import Receiver, answer

NEW = "/integrations/calendars/new"


def filled(url: str, **more: str) -> dict[str, str]:
    fields = {"address": url, "name": "Work", "blocks": "1", "stale_after": "24", "when_stale": "keep"}
    return fields | more


def test_a_calendar_is_added_and_listed(rick_client: FlaskClient, server: Receiver) -> None:
    response = rick_client.post(NEW, data=filled(server.url("/work.ics")))
    assert response.location == "/integrations#calendars"
    page = rick_client.get("/integrations").text
    assert "Blocks my time" in page
    assert "work.ics" not in page


def test_webcal_is_https(rick_client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def stop(_user: User, address: str, *_: object) -> None:
        asked.append(address)
        raise service.Busy

    monkeypatch.setattr(service, "first_reading", stop)
    rick_client.post(NEW, data=filled(" webcal://93.184.216.34/a.ics "))
    assert asked == ["https://93.184.216.34/a.ics"]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("address", "", "the address of the calendar"),
        ("address", "ftp://x.example/a.ics", "begins with https://"),
        ("address", "https://rick:hush@x.example/a.ics", "must not contain a username or password"),
        ("address", "http://169.254.169.254/a.ics", "link-local"),
        ("stale_after", "0", "from 1 to 336"),
        ("stale_after", "many", "from 1 to 336"),
        ("when_stale", "maybe", "choose one of the two"),
        ("name", "x" * 101, "within 100 characters"),
    ],
)
def test_a_wrong_field_comes_back_with_words(
    rick_client: FlaskClient, server: Receiver, field: str, value: str, words: str
) -> None:
    response = rick_client.post(NEW, data=filled(server.url(), **{field: value}))
    assert response.status_code == 422
    assert words in response.text
    assert server.requests == []


def test_an_address_that_cannot_be_read_is_not_saved(
    rick_client: FlaskClient, server: Receiver, session: Session
) -> None:
    server.behave = answer("401 Unauthorized")
    response = rick_client.post(NEW, data=filled(server.url()))
    assert (response.status_code, "password" in response.text) == (422, True)
    assert session.scalars(select(ExternalCalendar)).all() == []


def test_a_second_click_adds_no_second_calendar(rick_client: FlaskClient, server: Receiver) -> None:
    answers = [rick_client.post(NEW, data=filled(server.url())).status_code for _ in range(2)]
    assert answers == [303, 409]


def test_what_a_host_chooses_is_kept_without_reading_again(
    rick_client: FlaskClient, server: Receiver, work: ExternalCalendar
) -> None:
    before = len(server.requests)
    path = f"/integrations/calendars/{work.id}/edit"
    rick_client.post(path, data=filled("", name="Home", when_stale="close", stale_after="3"))
    db.session.rollback()
    assert (work.name, work.when_stale, work.stale_after) == ("Home", WhenStale.CLOSE, 3)
    assert len(server.requests) == before


def test_another_address_is_read_before_it_is_saved(
    rick_client: FlaskClient, server: Receiver, work: ExternalCalendar
) -> None:
    path = f"/integrations/calendars/{work.id}/edit"
    with Receiver(answer("404 Not Found")) as other:
        assert rick_client.post(path, data=filled(other.url())).status_code == 422
    db.session.rollback()
    assert work.address == server.url("/work.ics")


def test_a_card_that_reads_asks_for_news(rick_client: FlaskClient, work: ExternalCalendar) -> None:
    htmx = {"HX-Request": "true"}
    assert "hx-trigger" not in rick_client.get("/integrations/calendars", headers=htmx).text
    card = rick_client.post(f"/integrations/calendars/{work.id}/read", headers=htmx).text
    assert "Reading…" in card
    assert "load delay:1s" in card


def test_a_host_may_have_so_many_calendars(
    rick: User, rick_client: FlaskClient, work: ExternalCalendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calapp.limits.CALENDARS_PER_HOST", 1)
    with Receiver() as other:
        response = rick_client.post(NEW, data=filled(other.url()))
    assert (response.status_code, "which is the limit" in response.text) == (409, True)
