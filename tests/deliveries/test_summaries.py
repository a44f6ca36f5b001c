"""Summaries of a day: what they count, when they are written, and whose day it is."""

import hashlib
import json
from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.accounts.service import create_api_key, lock_user
from calapp.db import transaction
from calapp.deliveries import outbox
from calapp.deliveries.feed import bounds, summary_of, write_summaries
from calapp.deliveries.models import Delivery, Event
from calapp.webhooks.models import Webhook
from tests.bookings.conftest import monday  # noqa: F401 (a fixture)

DAY = date(2027, 1, 4)  # MONDAY, 8:00 in Berlin
Happen = Callable[..., str]


@pytest.fixture
def happen(rick: User) -> Happen:
    """Return a function that records an event and gives its id."""
    number = 0

    def record(trigger: str = "BOOKING_CREATED", event_type_id: int | None = 1) -> str:
        nonlocal number
        number += 1
        with transaction() as session:
            return outbox.record(
                session,
                user=lock_user(session, rick.id),
                trigger=trigger,
                payload={"eventTypeId": event_type_id},
                chain=f"chain {number}",
                sequence=1,
                subject=f"chain {number}",
                event_type_id=event_type_id,
            ).uid

    return record


@pytest.fixture
def hook(rick: User, saved: Callable[..., None]) -> Webhook:
    made = Webhook(user_id=rick.id, subscriber_url="https://hooks.example/in", triggers=["DAILY_SUMMARY"])
    saved(made)
    return made


@pytest.fixture
def ask(app: Flask, client: FlaskClient, rick: User) -> Callable[[str], object]:
    with transaction() as session:
        _, key = create_api_key(session, rick, "test", ["read"])
    headers = {"Authorization": f"Bearer {key}"}
    return lambda day: client.get(f"/v2/events?summary={day}", headers=headers)


def written(session: Session) -> list[dict[str, object]]:
    session.rollback()
    query = select(Event.body).where(Event.trigger == "DAILY_SUMMARY").order_by(Event.number)
    return [json.loads(body)["payload"] for body in session.scalars(query)]


def test_a_summary_counts_by_event_type_and_trigger(
    happen: Happen, monday: time_machine.Traveller, rick: User, session: Session
) -> None:
    ids = [happen(), happen("BOOKING_CANCELLED"), happen(), happen(event_type_id=2)]
    happen("WEBHOOK_FAILING", None)
    monday.shift(timedelta(days=1))
    happen()
    made = summary_of(session, rick, DAY)
    parts = [(one["eventTypeId"], one["triggerEvent"], one["count"]) for one in made["events"]]
    assert parts == [(1, "BOOKING_CANCELLED", 1), (1, "BOOKING_CREATED", 2), (2, "BOOKING_CREATED", 1)]
    both = made["events"][1]
    assert (both["firstId"], both["lastId"]) == (ids[0], ids[2])
    assert both["sha256"] == hashlib.sha256(f"{ids[0]}\n{ids[2]}".encode()).hexdigest()
    assert (made["from"], made["to"]) == ("2027-01-03T23:00:00.000Z", "2027-01-04T23:00:00.000Z")


def test_it_is_written_five_minutes_after_midnight_of_the_host_and_once(
    happen: Happen, hook: Webhook, monday: time_machine.Traveller, session: Session
) -> None:
    write_summaries()
    happen()
    for at, count in (("23:04:59", 0), ("23:05:00", 1), ("23:06:00", 1), ("23:59:00", 1)):
        monday.move_to(datetime.fromisoformat(f"2027-01-04T{at}+00:00"))
        write_summaries()
        assert len(written(session)) == count
    assert written(session)[0]["date"] == "2027-01-04"
    assert session.scalars(select(Delivery.webhook_id)).all() == [hook.id]


def test_a_worker_that_was_off_writes_each_day_that_it_missed(
    hook: Webhook, monday: time_machine.Traveller, session: Session
) -> None:
    write_summaries()
    monday.shift(timedelta(days=3))
    write_summaries()
    made = written(session)
    assert [one["date"] for one in made] == ["2027-01-04", "2027-01-05", "2027-01-06"]
    assert [one["events"] for one in made] == [[], [], []]


def test_nothing_is_written_while_nobody_subscribes(
    rick: User, monday: time_machine.Traveller, session: Session
) -> None:
    write_summaries()
    monday.shift(timedelta(days=3))
    write_summaries()
    assert written(session) == []


@pytest.mark.parametrize(("day", "hours"), [((2027, 3, 28), 23), ((2027, 10, 31), 25), ((2027, 1, 4), 24)])
def test_a_day_has_as_many_hours_as_in_its_zone(day: tuple[int, int, int], hours: int) -> None:
    start, end = bounds(date(*day), "Europe/Berlin")
    assert end - start == timedelta(hours=hours)


def test_the_api_says_what_the_event_says(
    ask: Callable, happen: Happen, hook: Webhook, monday: time_machine.Traveller, session: Session
) -> None:
    write_summaries()
    happen()
    monday.shift(timedelta(days=1))
    write_summaries()
    answer = ask("2027-01-04")
    assert answer.status_code == 200
    assert answer.json["data"] | {"metadata": {}} == written(session)[0]


@pytest.mark.parametrize(
    "day", ["2027-01-04", "2027-01-05", "2027-13-01", "yesterday", "0001-01-01", "9999-12-31"]
)
def test_a_day_that_is_not_over_or_none_is_refused(ask: Callable, day: str) -> None:
    answer = ask(day)
    assert answer.status_code == 400
    assert "summary" in answer.json["error"]["details"]


def test_an_event_of_a_version_before_is_counted_by_its_body(
    happen: Happen, change: Callable[..., None], monday: time_machine.Traveller, rick: User, session: Session
) -> None:
    happen(event_type_id=7)
    change(session.scalars(select(Event)).one(), event_type_id=None)
    monday.shift(timedelta(days=1))
    assert [one["eventTypeId"] for one in summary_of(session, rick, DAY)["events"]] == [7]
