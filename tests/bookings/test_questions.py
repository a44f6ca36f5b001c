"""Questions of every type, the phone number of a meeting by phone, and forms without notes or guests."""

import json
import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.bookings.answers import answered, read_phone
from calapp.bookings.emails import write_emails
from calapp.bookings.models import Booking
from calapp.deliveries.models import Event
from calapp.errors import Invalid
from calapp.event_types.models import EventType, LocationKind
from calapp.mail import Email
from calapp.privacy.service import erase_visitor
from tests.bookings.contract import check

BOOKER = "/rick/quick-chat"
FORM = {
    "name": "Ada",
    "email": "ada@example.com",
    "time_zone": "Europe/Berlin",
    "start": "2027-01-05T10:00:00Z",
}
DAYS = ["Monday", "Tuesday", "Friday"]
QUESTIONS = [
    {"name": "mobile", "label": "Mobile?", "type": "phone", "required": False, "options": []},
    {"name": "boss", "label": "Your boss?", "type": "email", "required": False, "options": []},
    {"name": "people", "label": "How many?", "type": "number", "required": False, "options": []},
    {"name": "size", "label": "Size?", "type": "radio", "required": False, "options": ["S", "L"]},
    {"name": "days", "label": "Days?", "type": "checkboxes", "required": False, "options": DAYS},
    {
        "name": "drinks",
        "label": "Drinks?",
        "type": "multiselect",
        "required": False,
        "options": ["Tea", "Rum"],
    },
]


@pytest.fixture
def asking(quick_chat: EventType, change) -> EventType:
    change(quick_chat, questions=QUESTIONS)
    return quick_chat


@pytest.fixture
def by_phone(quick_chat: EventType, change) -> EventType:
    change(quick_chat, location_kind=LocationKind.PHONE, location="")
    return quick_chat


def payload(session: Session) -> dict:
    session.rollback()
    body = json.loads(session.scalars(select(Event.body).order_by(Event.number.desc())).first() or "")
    check(body)
    return body["payload"]


def test_answers_of_every_type_reach_the_payload(client: FlaskClient, asking, session) -> None:
    said = {"mobile": "0151 12345678", "boss": "Eve@Example.com", "people": "3", "size": "L"}
    form = FORM | {f"responses[{name}]": text for name, text in said.items()}
    form |= {"responses[days]": ["Friday", "Monday"], "responses[drinks]": "Tea"}
    assert client.post(BOOKER, data=form).status_code == 303
    given = {name: one["value"] for name, one in payload(session)["userFieldsResponses"].items()}
    assert given == {
        "mobile": "+4915112345678",
        "boss": "Eve@example.com",
        "people": 3,
        "size": "L",
        "days": ["Monday", "Friday"],
        "drinks": ["Tea"],
    }
    write_emails()
    told = session.scalars(select(Email.body).order_by(Email.id)).first()
    assert "Days?: Monday, Friday\nDrinks?: Tea\n" in told


def test_questions_that_nobody_must_answer_may_be_left_empty(client: FlaskClient, asking, session) -> None:
    assert client.post(BOOKER, data=FORM).status_code == 303
    given = [one["value"] for one in payload(session)["userFieldsResponses"].values()]
    assert given == ["", "", "", "", [], []]


BAD = [
    ("mobile", "12345", "with its country code"),
    ("mobile", "+1 415 555 2671 ext. 5", "without an extension"),
    ("boss", "eve@", "an email address"),
    ("people", "three", "a number, such as 3"),
    ("people", "1e9", "a number, such as 3"),
    ("size", "XXL", "one of the options"),
    ("days", "Sunday", "from the options"),
]


@pytest.mark.parametrize(("name", "text", "words"), BAD)
def test_an_answer_that_does_not_fit_is_refused_at_its_question(client, asking, session, name, text, words):
    answer = client.post(BOOKER, data=FORM | {f"responses[{name}]": text})
    assert answer.status_code == 422
    assert re.search(rf'id="(group-)?response-{name}-error">[^<]*{words}', answer.text)
    assert session.scalar(select(Booking)) is None


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_that_must_be_answered_is(quick_chat, question) -> None:
    quick_chat.questions = [question | {"required": True}]
    for empty in ("", " ", None, [], [""]):
        with pytest.raises(Invalid) as error:
            answered({question["name"]: empty}, quick_chat, "UTC")
        assert list(error.value.details) == [question["name"]]


def test_what_was_chosen_is_kept_when_the_form_comes_back(client: FlaskClient, asking) -> None:
    chosen = {"responses[size]": "L", "responses[days]": ["Monday", "Friday"]}
    page = client.post(BOOKER, data=FORM | chosen | {"email": "no"}).text
    assert re.findall(r'value="([^"]+)" checked', page) == ["L", "Monday", "Friday"]
    page = client.get(f"{BOOKER}?slot={FORM['start']}&responses[days]=Tuesday&responses[days]=Friday").text
    assert re.findall(r'value="([^"]+)" checked', page) == ["Tuesday", "Friday"]


NUMBERS = [
    ("+49 (151) 12345678", "UTC", "+4915112345678"),
    ("030 901820", "Europe/Berlin", "+4930901820"),
    ("(415) 555-2671", "America/New_York", "+14155552671"),
    ("098765 43210", "Asia/Calcutta", "+919876543210"),  # a zone's old name
    ("020 7946 0958", "Europe/London", "+442079460958"),
]


@pytest.mark.parametrize(("typed", "zone", "number"), NUMBERS)
def test_a_number_is_of_the_country_of_the_zone_unless_it_says_otherwise(typed, zone, number) -> None:
    assert read_phone(typed, zone) == number


@pytest.mark.parametrize("typed", ["030 901820", "+49 1", "+999 123456789", "call me", "+" * 500, "1" * 500])
def test_what_is_no_number_anywhere_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="country code"):
        read_phone(typed, "UTC")


def test_v5_the_page_asks_for_the_number_to_call(client: FlaskClient, by_phone, session) -> None:
    page = client.get(f"{BOOKER}?slot={FORM['start']}&phone=030+901820").text
    assert re.search(r'name="phone" type="tel" value="030 901820"[^>]*aria-required="true"', page)
    answer = client.post(BOOKER, data=FORM)
    assert (answer.status_code, "Please enter the phone number to call you at." in answer.text) == (422, True)
    answer = client.post(BOOKER, data=FORM | {"phone": "nope"})
    assert (answer.status_code, 'value="nope"' in answer.text) == (422, True)
    assert session.scalar(select(Booking)) is None


def test_v5_the_number_is_in_booking_payload_emails_and_calendar(
    client, rick_client, by_phone, session
) -> None:
    number = "+4930901820"
    answer = client.post(BOOKER, data=FORM | {"phone": "030 901820", "guests": "eve@example.com"})
    told = payload(session)
    assert told["responses"]["attendeePhoneNumber"]["value"] == number
    assert [one["phoneNumber"] for one in told["attendees"]] == [number, None]
    assert told["location"] == number
    write_emails()
    emails = {one.recipient: one for one in session.scalars(select(Email))}
    for reader in ("ada@example.com", "rick@example.com"):
        assert f"Where: {number}" in emails[reader].body
        assert f"LOCATION:{number}" in emails[reader].calendar
    guest = emails["eve@example.com"]
    assert "Where: By phone" in guest.body
    assert number not in guest.body + guest.calendar
    assert number in client.get(answer.location).text
    assert number in rick_client.get(answer.location.replace("/booking/", "/bookings/")).text
    assert "Quick chat between" in rick_client.get("/bookings/upcoming?q=901820").text


def test_the_number_is_erased_with_its_visitor(client: FlaskClient, by_phone, session, change) -> None:
    client.post(BOOKER, data=FORM | {"phone": "030 901820"})
    change(by_phone, location_kind=LocationKind.NONE)
    erase_visitor(session, "ada@example.com")
    booking = session.scalars(select(Booking)).one()
    assert (booking.location, booking.visitor.phone, "901820" in booking.search) == ("", "", False)


def test_a_form_without_notes_and_guests_takes_none(client: FlaskClient, quick_chat, change, session) -> None:
    change(quick_chat, asks_notes=False, asks_guests=False)
    page = client.get(f"{BOOKER}?slot={FORM['start']}&notes=Hi&guests=eve@example.com").text
    form = page.partition('<form class="stack"')[2].partition("</form>")[0]
    assert 'name="notes"' not in form
    assert 'name="guests"' not in form
    answer = client.post(BOOKER, data=FORM | {"notes": "Hi"})
    assert (answer.status_code, "does not ask for notes" in answer.text) == (422, True)
    answer = client.post(BOOKER, data=FORM | {"guests": "eve@example.com"})
    assert (answer.status_code, "does not take guests" in answer.text) == (422, True)
    assert client.post(BOOKER, data=FORM).status_code == 303


def test_a_host_asks_questions_of_every_type(rick_client: FlaskClient, session: Session) -> None:
    form = {"title": "Talk", "slug": "talk", "length": "30", "hide_notes": "1", "hide_guests": "1"}
    for number, question in enumerate(QUESTIONS[:5]):
        form |= {f"question-{number}-{part}": question[part] for part in ("label", "type")}
        form[f"question-{number}-options"] = "\n".join(question["options"])
    assert rick_client.post("/event-types/new", data=form).status_code == 303
    event_type = session.scalars(select(EventType)).one()
    assert [one["type"] for one in event_type.questions] == [one["type"] for one in QUESTIONS[:5]]
    assert (event_type.asks_notes, event_type.asks_guests) == (False, False)
    page = rick_client.get(f"/event-types/{event_type.id}").text
    assert len(re.findall(r'name="hide_(?:notes|guests)" type="checkbox" value="1" checked', page)) == 2
    rick_client.post(f"/event-types/{event_type.id}", data={"title": "Talk", "slug": "talk", "length": "30"})
    session.refresh(event_type)
    assert (event_type.asks_notes, event_type.asks_guests, event_type.questions) == (True, True, [])
