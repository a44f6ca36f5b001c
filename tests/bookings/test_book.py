"""A visitor books through the form."""

from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.availability.models import WeeklyHours
from calapp.bookings.emails import write_emails
from calapp.bookings.models import Attendee, Booking, BusySlot, Status
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from calapp.mail import Email
from tests.conftest import on_both_databases

pytestmark = on_both_databases

START = "2027-01-05T10:00:00Z"


@pytest.fixture
def form(quick_chat: EventType) -> dict[str, str]:
    return {"start": START, "name": "Ada Byron", "email": "ada@example.com", "time_zone": "Europe/London"}


def test_a_booking_leads_to_its_own_page(client: FlaskClient, form: dict[str, str]) -> None:
    answer = client.post("/rick/quick-chat", data=form, follow_redirects=True)
    assert answer.status_code == 200
    assert "This meeting is scheduled" in answer.text
    assert "Tuesday, 5 January 2027, 10:00 – 10:15 (Europe/London)" in answer.text


def test_metadata_of_the_link_reaches_the_event(client: FlaskClient, form, session: Session) -> None:
    client.post("/rick/quick-chat?metadata[user_id]=123", data=form)
    event = session.scalars(select(Event)).one()
    assert event.trigger == "BOOKING_CREATED"
    assert '"metadata":{"user_id":"123"}' in event.body


def test_a_taken_time_answers_with_fresh_ones(client: FlaskClient, form, session: Session) -> None:
    client.post("/rick/quick-chat", data=form)
    answer = client.post("/rick/quick-chat?metadata[a]=b", data=form | {"email": "bob@example.com"})
    assert answer.status_code == 409
    assert "no longer available" in answer.text
    assert 'name="metadata[a]" value="b"' in answer.text
    assert len(session.scalars(select(Booking)).all()) == 1


def test_a_taken_time_leaves_no_event_behind(client: FlaskClient, form, session: Session) -> None:
    client.post("/rick/quick-chat", data=form)
    client.post("/rick/quick-chat", data=form | {"email": "bob@example.com"})
    assert len(session.scalars(select(Event)).all()) == 1


def test_bad_fields_come_back_with_words(client: FlaskClient, form, session: Session) -> None:
    answer = client.post("/rick/quick-chat", data=form | {"name": " ", "email": "nonsense"})
    assert answer.status_code == 422
    assert "Please enter your name." in answer.text
    assert "Please enter an email address" in answer.text
    assert 'value="nonsense"' in answer.text
    assert session.scalar(select(Booking)) is None


def test_a_double_click_books_only_once(client: FlaskClient, form, session: Session, monday) -> None:
    page = client.get(f"/rick/quick-chat?slot={START}").text
    attempt = page.split('name="attempt" value="')[1].split('"')[0]
    monday.shift(5)
    first = client.post("/rick/quick-chat", data=form | {"attempt": attempt})
    second = client.post("/rick/quick-chat", data=form | {"attempt": attempt})
    assert first.location == second.location
    assert len(session.scalars(select(Booking)).all()) == 1


def sent_twice(client: FlaskClient, clock, form: dict[str, str], **other: str):
    """Send a form, and once more with the same token and other content; return both answers."""
    page = client.get(f"/rick/quick-chat?slot={START}").text
    token = page.split('name="attempt" value="')[1].split('"')[0]
    clock.shift(5)
    first = client.post("/rick/quick-chat", data=form | {"attempt": token})
    return first, client.post("/rick/quick-chat", data=form | {"attempt": token} | other)


@pytest.mark.parametrize(
    "other",
    [
        {"name": "Bob"},
        {"email": "bob@example.com"},
        {"notes": "Bring cake"},
        {"guests": "eve@example.com"},
        {"time_zone": "UTC"},
        {"metadata[user_id]": "7"},
    ],
)
def test_v9_a_form_sent_again_with_other_words_says_what_it_has_booked(
    client: FlaskClient, form, session: Session, monday, other: dict[str, str]
) -> None:
    first, second = sent_twice(client, monday, form, **other)
    assert second.status_code == 409
    assert "You have already booked this time with this form" in second.text
    assert f'href="{first.location}"' in second.text
    assert session.scalars(select(Booking)).one().visitor.name == form["name"]


def test_v9_the_same_token_with_another_time_books_anew(client, form, session: Session, monday) -> None:
    first, second = sent_twice(client, monday, form, start="2027-01-05T12:00:00Z")
    assert (first.status_code, second.status_code) == (303, 303)
    assert first.location != second.location
    assert len(session.scalars(select(Booking)).all()) == 2


def test_v9_a_token_of_another_hosts_form_books_there(client, form, bob, saved, session, monday) -> None:
    saved(EventType(user_id=bob.id, title="Chat", slug="chat", length=15))
    saved(WeeklyHours(user_id=bob.id, weekday=1, start_minute=540, end_minute=1020))
    page = client.get(f"/rick/quick-chat?slot={START}").text
    form = form | {"attempt": page.split('name="attempt" value="')[1].split('"')[0]}
    monday.shift(5)
    answers = [client.post(path, data=form) for path in ("/rick/quick-chat", "/bob/chat", "/bob/chat")]
    assert [answer.status_code for answer in answers] == [303, 303, 303]
    assert len(session.scalars(select(Booking)).all()) == 2


def test_a_form_younger_than_two_seconds_is_a_robots(client: FlaskClient, form, monday) -> None:
    page = client.get(f"/rick/quick-chat?slot={START}").text
    attempt = page.split('name="attempt" value="')[1].split('"')[0]
    monday.shift(1)
    answer = client.post("/rick/quick-chat", data=form | {"attempt": attempt})
    assert answer.status_code == 422
    assert "spam check" in answer.text


def test_a_quick_form_with_a_bad_field_hears_of_the_field_first(client: FlaskClient, form, monday) -> None:
    page = client.get(f"/rick/quick-chat?slot={START}").text
    attempt = page.split('name="attempt" value="')[1].split('"')[0]
    monday.shift(1)
    answer = client.post("/rick/quick-chat", data=form | {"attempt": attempt, "name": "", "email": ""})
    assert answer.status_code == 422
    assert "Please enter your name." in answer.text
    assert "spam check" not in answer.text


def test_a_filled_trap_books_nothing(client: FlaskClient, form, session: Session) -> None:
    answer = client.post("/rick/quick-chat", data=form | {"website": "https://spam.example"})
    assert answer.status_code == 422
    assert session.scalar(select(Booking)) is None


def test_a_booking_holds_its_cells_with_buffers(client, form, session: Session, quick_chat, change) -> None:
    change(quick_chat, buffer_before=10, buffer_after=5)
    client.post("/rick/quick-chat", data=form)
    cells = session.scalars(select(BusySlot.at).order_by(BusySlot.at)).all()
    assert (cells[0], len(cells)) == (datetime(2027, 1, 5, 9, 50, tzinfo=UTC), 6)


def test_guests_stand_behind_the_visitor(client: FlaskClient, form, session: Session) -> None:
    client.post(
        "/rick/quick-chat", data=form | {"guests": "bob@example.com, ada@example.com eve@example.com"}
    )
    people = session.scalars(select(Attendee.email).order_by(Attendee.position)).all()
    assert people == ["ada@example.com", "bob@example.com", "eve@example.com"]


def test_a_time_that_was_not_offered_is_refused(client: FlaskClient, form, session: Session) -> None:
    answer = client.post("/rick/quick-chat", data=form | {"start": "2027-01-05T10:05:00Z"})
    assert answer.status_code == 409
    assert session.scalar(select(Booking)) is None


@pytest.mark.parametrize("field", ["start", "name", "email", "notes", "guests", "time_zone", "attempt"])
@pytest.mark.parametrize("value", ["", "\0", "x" * 6000, "\ud7ff😀<script>", "'; DROP TABLE booking; --"])
def test_odd_values_never_break_the_form(client: FlaskClient, form, field: str, value: str) -> None:
    answer = client.post("/rick/quick-chat?metadata[<b>]=<i>", data=form | {field: value})
    assert answer.status_code in {303, 409, 422}
    assert "<script>" not in answer.text


def test_an_unknown_address_is_not_found(client: FlaskClient, rick: User) -> None:
    assert client.get("/rick/nothing").status_code == 404
    assert client.post("/nobody/quick-chat").status_code == 404


def test_a_redirect_takes_uid_and_metadata_along(client, form, session, quick_chat, change) -> None:
    change(quick_chat, redirect_url="https://bank.example/thanks?from=cal")
    answer = client.post("/rick/quick-chat?metadata[user_id]=1%202", data=form)
    booking = session.scalars(select(Booking)).one()
    expected = f"https://bank.example/thanks?from=cal&uid={booking.uid}&metadata%5Buser_id%5D=1+2"
    assert answer.location == expected


# A conflict of times after the event was written: on SQLite at once, on PostgreSQL not before the commit.
CLASH_SQLITE = (
    """CREATE TRIGGER clash AFTER INSERT ON busy_slot BEGIN
  INSERT INTO busy_slot SELECT host_id, at, booking_id FROM busy_slot LIMIT 1; END""",
)
CLASH_POSTGRESQL = (
    """CREATE FUNCTION clash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO busy_slot SELECT * FROM busy_slot LIMIT 1; RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER clash AFTER INSERT ON event DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION clash()""",
)


@pytest.fixture
def clashes(app, database: str) -> None:
    """A database that refuses every booking at the last moment."""
    with transaction() as session:
        for statement in CLASH_POSTGRESQL if database else CLASH_SQLITE:
            session.execute(text(statement))


@pytest.mark.usefixtures("clashes")
def test_a_time_that_is_refused_at_the_last_moment_is_a_taken_one(
    client: FlaskClient, form, session: Session
) -> None:
    answer = client.post("/rick/quick-chat", data=form | {"notes": "My long story"})
    assert answer.status_code == 409
    assert "no longer available" in answer.text
    assert "My long story" in answer.text
    assert [session.scalars(select(table)).all() for table in (Booking, Event, BusySlot)] == [[], [], []]


def test_a_move_that_is_refused_at_the_last_moment_leaves_the_booking(
    client: FlaskClient, form, session: Session, request: pytest.FixtureRequest
) -> None:
    place = client.post("/rick/quick-chat", data=form).location
    request.getfixturevalue("clashes")
    answer = client.post(f"{place}/reschedule", data={"start": "2027-01-05T11:00:00Z"})
    assert answer.status_code == 409
    assert "no longer available" in answer.text
    assert session.scalars(select(Booking)).one().status == Status.ACCEPTED


@pytest.mark.usefixtures("clashes")
def test_the_api_says_of_a_time_that_is_refused_at_the_last_moment_that_it_is_taken(
    client: FlaskClient, quick_chat: EventType
) -> None:
    attendee = {"name": "Ada", "email": "ada@example.com", "timeZone": "Europe/London"}
    body = {"start": START, "eventTypeId": quick_chat.id, "attendee": attendee}
    answer = client.post("/v2/bookings", json=body)
    assert answer.status_code == 409


def test_v14_a_booking_by_htmx_leads_to_its_page(client: FlaskClient, form) -> None:
    bad = client.post("/rick/quick-chat", data=form | {"name": ""}, headers={"HX-Request": "true"})
    good = client.post("/rick/quick-chat", data=form, headers={"HX-Request": "true"})
    assert (bad.status_code, bad.text[:18]) == (422, '<div id="booker">\n')
    assert good.status_code == 204
    assert good.headers["HX-Redirect"].startswith("/booking/")


def test_p5_a_page_says_that_an_email_was_sent_when_it_was(client: FlaskClient, form, session) -> None:
    place = client.post("/rick/quick-chat", data=form).location
    before = client.get(place).text
    write_emails()
    with transaction() as changing:
        for email in changing.scalars(select(Email)):
            email.sent_at, email.due_at = email.created_at, None
    assert "We have sent" not in before
    assert "We have sent an email to ada@example.com." in client.get(place).text


def test_p5_a_request_is_not_for_calendars_yet(client: FlaskClient, form, quick_chat, change) -> None:
    change(quick_chat, requires_confirmation=True)
    page = client.get(client.post("/rick/quick-chat", data=form).location).text
    assert "Waiting for confirmation" in page
    assert "Add to" not in page


def test_p5_a_page_shows_what_was_answered(client: FlaskClient, form, session) -> None:
    place = client.post("/rick/quick-chat", data=form).location
    answers = {"a": {"label": "Company", "value": "Engines Ltd"}, "b": {"label": "New", "value": False}}
    with transaction() as changing:
        changing.scalars(select(Booking)).one().answers = answers
    page = client.get(place).text
    assert '<dt>Company</dt><dd class="description">Engines Ltd</dd>' in page
    assert '<dt>New</dt><dd class="description">No</dd>' in page
