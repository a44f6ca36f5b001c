"""Hours that the clock shows twice, and zones that the time zone database no longer has."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from time_machine import Traveller

from calapp.accounts.models import User
from calapp.availability.models import WeeklyHours
from calapp.bookings import maintenance
from calapp.bookings.emails import write_emails
from calapp.bookings.models import Attendee, Booking
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from calapp.mail import Email
from tests.bookings.conftest import MONDAY

GONE = "Mars/Olympus"
NOTE = f"the time zone {GONE} is no longer known"
BEFORE = datetime(2027, 10, 30, 8, tzinfo=UTC)
FIRST, SECOND = datetime(2027, 10, 31, 0, 30, tzinfo=UTC), datetime(2027, 10, 31, 1, 30, tzinfo=UTC)

SELECTED_UTC = re.compile(r'<option value="UTC"[^>]* selected')


@pytest.fixture
def night(monday: Traveller, rick: User, quick_chat: EventType, saved: Callable[..., None]) -> None:
    """The day before the clock is set back, with Rick up all night."""
    monday.move_to(BEFORE)
    saved(WeeklyHours(user_id=rick.id, weekday=6, start_minute=0, end_minute=360))


@pytest.mark.usefixtures("night")
@pytest.mark.parametrize(
    ("start", "text"), [(FIRST, "02:30 CEST – 02:45 CEST"), (SECOND, "02:30 CET – 02:45 CET")]
)
def test_v6_an_hour_that_comes_twice_is_named_everywhere(
    client: FlaskClient, rick_client: FlaskClient, book: Callable[..., Booking], session: Session,
    start: datetime, text: str,
) -> None:  # fmt: skip
    form = client.get(f"/rick/quick-chat?tz=Europe/Berlin&slot={start:%Y-%m-%dT%H:%M:%SZ}").text
    booking = book(start, time_zone="Europe/Berlin")
    pages = [client.get(f"/booking/{booking.uid}{more}").text for more in ("", "/cancel")]
    hosts = [rick_client.get(f"/bookings/{path}").text for path in ("upcoming", booking.uid)]
    write_emails()
    mails = [mail.body for mail in session.scalars(select(Email))]
    assert [text in one for one in (form, *pages, *hosts, *mails)] == [True] * 7


@pytest.mark.usefixtures("night")
def test_v6_both_times_are_told_apart_even_where_one_is_taken(
    client: FlaskClient, book: Callable[..., Booking]
) -> None:
    book(FIRST)
    page = client.get("/rick/quick-chat?tz=Europe/Berlin&date=2027-10-31").text
    assert "02:30 CET<" in page
    assert "02:30 CEST<" not in page


@pytest.fixture
def gone(book: Callable[..., Booking], rick: User) -> Booking:
    """A booking whose visitor and host are in a zone that is gone."""
    booking = book()
    with transaction() as session:
        for table in (User, Booking, Attendee):
            session.execute(update(table).values(time_zone=GONE))
    return booking


def test_v10_a_visitor_sees_utc_with_a_note(client: FlaskClient, gone: Booking) -> None:
    page = client.get(f"/booking/{gone.uid}").text
    assert f"10:00 – 10:15 (UTC; {NOTE})" in page
    for address in (
        f"/booking/{gone.uid}/cancel",
        f"/booking/{gone.uid}/reschedule",
        f"/booking/{gone.uid}.ics",
    ):
        assert client.get(address).status_code == 200


def test_v10_a_visitor_moves_and_cancels(client: FlaskClient, gone: Booking, session: Session) -> None:
    moved = client.post(f"/booking/{gone.uid}/reschedule", data={"start": "2027-01-05T11:00:00Z"})
    assert moved.status_code == 303
    assert client.post(f"{moved.location}/cancel").status_code == 303
    write_emails()
    mails = session.scalars(select(Email).where(Email.about != gone.uid)).all()
    assert len(mails) == 4
    assert all(NOTE in mail.body for mail in mails)


@pytest.mark.parametrize(
    "path",
    ["bookings/upcoming", "bookings/past", "availability", "settings", "event-types", "integrations",
     "integrations/inspector"],
)  # fmt: skip
def test_v10_a_hosts_pages_stand(rick_client: FlaskClient, gone: Booking, path: str) -> None:
    assert rick_client.get(f"/{path}").status_code == 200
    assert rick_client.get(f"/bookings/{gone.uid}").status_code == 200


@pytest.mark.parametrize("path", ["availability", "settings"])
def test_v10_a_host_is_told_and_chooses_another(rick_client: FlaskClient, gone: Booking, path: str) -> None:
    page = rick_client.get(f"/{path}").text
    assert f"Your time zone {GONE} is no longer known, so UTC is used." in page
    form = {"name": "Rick", "email": "rick@example.com", "time_zone": "Europe/Berlin"}
    assert rick_client.post(f"/{path}", data=form).status_code == 303
    assert "no longer known" not in rick_client.get(f"/{path}").text


@pytest.mark.parametrize("path", ["availability", "settings"])
def test_u9_a_saved_zone_that_is_gone_is_kept_until_another_is_chosen(
    rick_client: FlaskClient, gone: Booking, rick: User, session: Session, path: str
) -> None:
    page = rick_client.get(f"/{path}").text
    assert f'<option value="{GONE}" selected>' in page
    form = {"name": "Rick S", "email": "rick@example.com", "time_zone": GONE}
    assert rick_client.post(f"/{path}", data=form).status_code == 303
    session.rollback()
    assert session.get_one(User, rick.id).time_zone == GONE
    assert rick_client.post(f"/{path}", data=form | {"time_zone": "Mars/Other"}).status_code == 422


def test_v10_a_new_visitor_books_in_a_zone_that_there_is(client: FlaskClient, gone: Booking) -> None:
    client.set_cookie("tz", GONE)
    for address in ("/rick/quick-chat", f"/rick/quick-chat?tz={GONE}"):
        page = client.get(address)
        assert (page.status_code, bool(SELECTED_UTC.search(page.text))) == (200, True)


def test_v10_the_worker_goes_on_and_the_payload_is_valid(
    gone: Booking, session: Session, monday: Traveller
) -> None:
    monday.move_to(gone.starts_at)
    with transaction() as writing:
        maintenance.record_meeting(writing, gone.id)
    event = session.scalars(select(Event).order_by(Event.number.desc())).first()
    payload = json.loads(event.body)["payload"]
    for person in (payload["organizer"], *payload["attendees"]):
        assert (person["timeZone"], person["utcOffset"]) == ("UTC", 0)


def test_v10_the_api_shows_it_and_offers_times(client: FlaskClient, gone: Booking) -> None:
    shown = client.get(f"/v2/bookings/{gone.uid}").get_json()["data"]
    assert shown["attendees"][0]["timeZone"] == "UTC"
    day = f"{MONDAY:%Y-%m-%d}"
    slots = client.get(f"/v2/slots?username=rick&eventTypeSlug=quick-chat&start={day}&end={day}")
    assert slots.status_code == 200
    refused = client.get(f"/v2/slots?eventTypeId=1&start={day}&end={day}&timeZone={GONE}")
    assert (refused.status_code, list(refused.get_json()["error"]["details"])) == (400, ["timeZone"])
