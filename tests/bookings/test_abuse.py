"""What strangers may send: clear answers, never a fault of ours, and nothing typed is lost."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp.bookings.models import Booking
from calapp.event_types.models import EventType

BOOKER = "/rick/quick-chat"
FORM = {
    "start": "2027-01-05T10:00:00Z",
    "name": "Ada Byron",
    "email": "ada@example.com",
    "time_zone": "Europe/London",
}
BUSY = FORM | {"start": "2027-01-05T10:01:00Z"}  # a time that is never free, so that nothing is booked

pytestmark = pytest.mark.usefixtures("quick_chat")


def send(client: FlaskClient, path: str = BOOKER, address: str = "192.0.2.1", **form: str):
    return client.post(path, data=BUSY | form, environ_base={"REMOTE_ADDR": address})


def count(session: Session) -> int:
    return session.scalar(select(func.count(Booking.id))) or 0


def test_the_twenty_first_booking_of_a_minute_has_to_wait(client: FlaskClient) -> None:
    assert {send(client).status_code for _ in range(20)} == {409}
    answer = send(client, start=FORM["start"], notes="My long story")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "My long story" in answer.text
    assert 'name="start" value="2027-01-05T10:00:00Z"' in answer.text


def test_who_has_to_wait_may_go_on_a_minute_later(client: FlaskClient, monday) -> None:
    for _ in range(21):
        send(client)
    monday.shift(61)
    assert send(client).status_code == 409


def test_each_address_and_event_type_has_a_limit_of_its_own(client: FlaskClient, rick, saved) -> None:
    saved(EventType(user_id=rick.id, title="Other", slug="other", length=15))
    for _ in range(21):
        send(client)
    assert send(client, address="192.0.2.2").status_code == 409
    assert send(client, path="/rick/other").status_code == 409
    assert send(client, path="/RICK/Quick-Chat").status_code == 429


def test_looking_is_never_limited(client: FlaskClient) -> None:
    for _ in range(21):
        send(client)
    assert client.get(BOOKER, environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200


def test_cancelling_is_limited_too(client: FlaskClient, book) -> None:
    booking = book()
    answers = [client.post(f"/booking/{booking.uid}/cancel", data={"reason": "x" * 6000}) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [422] * 20 + [429]


@pytest.mark.parametrize("path", [BOOKER, "/booking/{uid}/cancel", "/booking/{uid}/reschedule"])
def test_a_body_over_256_kb_is_too_large(client: FlaskClient, book, path: str) -> None:
    answer = client.post(path.format(uid=book().uid), data=FORM | {"notes": "x" * 262_200})
    assert answer.status_code == 413
    assert "The request is too large" in answer.text


def test_a_body_of_many_small_fields_is_refused(client: FlaskClient) -> None:
    answer = client.post(BOOKER, data=FORM | {f"metadata[k{number}]": "1" for number in range(5000)})
    assert answer.status_code in {303, 409, 413}


BAD_FIELDS = [
    ("name", "x" * 201, "up to 200 characters"),
    ("name", "\u200b \t\n", "Please enter your name."),
    ("name", "Win at www.evil.example", "without a web address"),
    ("email", "x" * 250 + "@example.com", "email address"),
    ("email", "ada@example.com\r\nBcc: eve@example.com", "email address"),
    ("email", "<script>@example.com", "email address"),
    ("notes", "x" * 5001, "at most 5,000 characters"),
    ("time_zone", "Mars/Olympus", "time zone from the list"),
    ("time_zone", "localtime", "time zone from the list"),
    ("guests", "a@example.com, nonsense", "“nonsense” is not an email address."),
    ("guests", ",".join(f"g{number}@example.com" for number in range(21)), "up to 20 guests"),
    ("start", "9999-12-31T23:59:59Z", "Please choose a time."),
    ("start", "2027-01-05T10:00:00+01:00", "Please choose a time."),
    ("website", "https://spam.example", "spam check"),
]


@pytest.mark.parametrize(("field", "value", "words"), BAD_FIELDS)
def test_a_bad_field_is_named_and_books_nothing(client, session, field: str, value: str, words: str) -> None:
    answer = client.post(BOOKER, data=FORM | {field: value})
    assert answer.status_code == 422
    assert words in answer.text
    assert count(session) == 0


ODD_NAMES = [
    "O'Brien & Söhne <b>",
    "李小龙",
    "\u202eadA",
    "😀" * 200,
    "Robert'); DROP TABLE booking;--",
    "{{7*7}}",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_an_odd_name_is_kept_as_it_is_and_shown_as_text(client, session, rick_client, name: str) -> None:
    answer = client.post(BOOKER, data=FORM | {"name": name}, follow_redirects=True)
    assert "This meeting is scheduled" in answer.text
    assert "<b>" not in answer.text
    booking = session.scalars(select(Booking)).one()
    assert booking.visitor.name == name
    assert rick_client.get(f"/bookings/{booking.uid}").status_code == 200
    assert client.get(f"/booking/{booking.uid}.ics").status_code == 200


def test_twenty_guests_are_welcome_at_the_table(client: FlaskClient, session: Session) -> None:
    guests = "; ".join(f"g{number}@example.com" for number in range(20))
    assert client.post(BOOKER, data=FORM | {"guests": guests}).status_code == 303
    assert len(session.scalars(select(Booking)).one().attendees) == 21


@pytest.mark.parametrize("uid", ["x", "x" * 3000, "..", "%F0%9F%98%80", "' OR 1=1 --"])
@pytest.mark.parametrize("page", ["", "/cancel", "/reschedule", ".ics"])
def test_a_booking_that_is_not_there_is_not_found(client: FlaskClient, uid: str, page: str) -> None:
    assert client.get(f"/booking/{uid}{page}").status_code in {404, 308}


@pytest.mark.parametrize("start", ["", "x", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_an_odd_time_to_move_to_is_named(client: FlaskClient, book, start: str) -> None:
    booking = book()
    answer = client.post(f"/booking/{booking.uid}/reschedule", data={"start": start, "reason": "Late"})
    assert answer.status_code == 422
    assert "Please choose a time." in answer.text or "Please fix the marked fields." in answer.text


def test_a_reason_that_is_too_long_is_named_at_its_field(client: FlaskClient, book) -> None:
    form = {"start": "2027-01-05T11:00:00Z", "reason": "x" * 5001}
    answer = client.post(f"/booking/{book().uid}/reschedule", data=form)
    assert answer.status_code == 422
    assert 'id="field-reason-error">Must be at most 5,000 characters.' in answer.text
    assert "x" * 5001 in answer.text
