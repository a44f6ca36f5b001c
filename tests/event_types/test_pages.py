"""A host makes, changes, hides, orders and deletes event types."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.event_types.models import EventType
from tests.bookings.conftest import monday

__all__ = ["monday"]

FORM = {
    "title": "Long talk",
    "slug": "long-talk",
    "description": "About everything",
    "length": "45",
    "lengths": "30 min, 1 h",
    "step": "15",
    "buffer_before": "5",
    "buffer_after": "10",
    "notice": "60",
    "max_days": "30",
    "max_per_day": "3",
    "location_kind": "link",
    "location": "https://meet.example/rick",
    "reminders": "24 h, 1 h 30 min, 10 min",
    "redirect_url": "https://bank.example/thanks",
}


def made(session: Session, slug: str = "long-talk") -> EventType:
    session.rollback()
    return session.scalars(
        select(EventType).where(EventType.slug == slug, EventType.deleted_at.is_(None))
    ).one()


def titles(client: FlaskClient) -> list[str]:
    return re.findall(r'class="row-title" href="[^"]+">([^<]+)<', client.get("/event-types").text)


@pytest.fixture
def three(rick_client: FlaskClient) -> Callable[[], list[str]]:
    """Three event types; gives a function that reads their order."""
    for name in ("One", "Two", "Three"):
        rick_client.post("/event-types/new", data=FORM | {"title": name, "slug": name.lower()})
    return lambda: titles(rick_client)


def test_a_new_event_type_has_everything_that_was_said(rick_client: FlaskClient, session: Session) -> None:
    answer = rick_client.post("/event-types/new", data=FORM | {"requires_confirmation": "1"})
    assert answer.status_code == 303
    event_type = made(session)
    said = {name: str(getattr(event_type, name)) for name in FORM}
    assert said == FORM | {"lengths": "[30, 45, 60]", "reminders": "[1440, 90, 10]"}
    assert (event_type.requires_confirmation, event_type.hidden) == (True, False)


def test_the_form_of_a_saved_one_shows_and_keeps_it(rick_client: FlaskClient, session: Session) -> None:
    rick_client.post("/event-types/new", data=FORM)
    path = f"/event-types/{made(session).id}"
    page = rick_client.get(path).text
    for name in (
        "title",
        "slug",
        "length",
        "step",
        "max_per_day",
        "redirect_url",
        "location",
        "reminders",
    ):
        assert re.search(rf'name="{name}"[^>]*value="{re.escape(FORM[name])}"', page)
    assert '<option value="link" selected>' in page
    assert re.search(r'name="notice"[^>]*value="1"', page)
    assert page.count('<option value="hours" selected>') == 1  # 60 minutes of notice
    rick_client.post(path, data=FORM | {"title": "Longer talk", "hidden": "1"})
    assert (made(session).title, made(session).hidden) == ("Longer talk", True)


def test_p2_durations_have_a_unit_and_come_back_as_they_were_typed(
    rick_client: FlaskClient, session: Session
) -> None:
    units = {"notice": "3", "notice_unit": "days", "buffer_before": "2", "buffer_before_unit": "hours"}
    assert rick_client.post("/event-types/new", data=FORM | units).status_code == 303
    assert (made(session).notice, made(session).buffer_before) == (3 * 1440, 120)
    for number, unit, words in (
        ("31", "days", "a number of days from 0 to 30."),
        ("many", "hours", "a number of hours from 0 to 720."),
        ("1", "weeks", "a number of minutes"),
    ):
        bad = FORM | {"slug": "other", "notice": number, "notice_unit": unit}
        answer = rick_client.post("/event-types/new", data=bad)
        assert answer.status_code == 422
        assert re.search(rf'name="notice"[^>]*value="{number}"', answer.text)
        assert words in answer.text
    long = FORM | {"slug": "other", "buffer_after": "1", "buffer_after_unit": "days"}
    assert "Please enter at most 12 h." in rick_client.post("/event-types/new", data=long).text


@pytest.mark.parametrize(
    ("action", "labels"),
    [
        ("raise-question-1", ["B", "A"]),
        ("raise-question-0", ["A", "B"]),
        ("lower-question-0", ["B", "A"]),
        ("lower-question-9", ["A", "B"]),
        ("remove-question-0", ["B"]),
    ],
)
def test_p2_questions_are_moved(rick_client: FlaskClient, action: str, labels: list[str]) -> None:
    rows = {"question-0-label": "A", "question-1-label": "B", "action": action}
    page = rick_client.post("/event-types/new", data=FORM | rows).text
    assert re.findall(r'name="question-\d-label"[^>]*value="([^"]*)"', page) == labels


def test_little_is_enough_for_an_event_type(rick_client: FlaskClient, session: Session) -> None:
    rick_client.post("/event-types/new", data={"title": "Hi", "slug": "hi", "length": "15"})
    event_type = made(session, "hi")
    assert (event_type.step, event_type.notice, event_type.max_days, event_type.place) == (None, 120, 60, "")


BAD = [
    ("title", " ", "Please enter a title."),
    ("title", "x" * 101, "at most 100 characters"),
    ("slug", "no spaces", "letters, digits and single hyphens"),
    ("slug", "../admin", "letters, digits and single hyphens"),
    ("slug", "x" * 61, "letters, digits and single hyphens"),
    ("description", "x" * 2001, "at most 2,000 characters"),
    ("length", "", "minutes from 5 to 1,440, a multiple of 5"),
    ("length", "7", "a multiple of 5"),
    ("length", "1445", "minutes from 5 to 1,440"),
    ("length", "1e2", "minutes from 5"),
    ("lengths", "50 min, 7 min", "multiples of 5"),
    ("lengths", "long", "up to 10 lengths"),
    ("step", "0", "minutes from 5"),
    ("buffer_before", "-5", "minutes from 0"),
    ("buffer_after", "725", "minutes from 0 to 720"),
    ("notice", "43201", "minutes from 0 to 43,200"),
    ("max_days", "731", "days from 0 to 730"),
    ("max_per_day", "0", "bookings from 1 to 288"),
    ("reminders", "24 h, 1 h, 10 min, 5 min", "up to 3 times"),
    ("reminders", "an hour before", "such as 24 h, 1 h, 10 min"),
    ("reminders", "31 days", "up to 30 days"),
    ("reminders", "0", "up to 3 times"),
    ("location_kind", "moon", "Please choose where"),
    ("location", "javascript:alert(1)", "beginning with https://"),
    ("location", "https://meet.example/{room}", "The only placeholder"),
    ("redirect_url", "javascript:alert(1)", "begins with https://"),
    ("redirect_url", "https://user:pass@bank.example", "begins with https://"),
    ("redirect_url", "https://bank.example/; script-src *", "begins with https://"),
    ("redirect_url", "https://[", "begins with https://"),
]


@pytest.mark.parametrize(("field", "value", "words"), BAD)
def test_a_bad_field_is_named_and_what_was_typed_is_kept(rick_client, session, field, value, words) -> None:
    answer = rick_client.post("/event-types/new", data=FORM | {"description": "Kept", field: value})
    assert answer.status_code == 422
    error = re.search(rf'id="field-{field}-error">([^<]+)<', answer.text)
    assert error
    assert words in error[1]
    assert 'value="https://' in answer.text
    assert session.scalar(select(EventType)) is None


def test_a_place_is_asked_for_when_people_meet(rick_client: FlaskClient) -> None:
    answer = rick_client.post("/event-types/new", data=FORM | {"location_kind": "in_person", "location": ""})
    assert "Please enter where you meet." in answer.text


@pytest.mark.parametrize(
    ("kind", "typed", "shown"),
    [("phone", "", "By phone"), ("phone", "+49 30 1234", "+49 30 1234"), ("in_person", "Room 5", "Room 5")],
)
def test_a_place_is_shown_to_the_visitor(rick_client, client, kind, typed, shown) -> None:
    rick_client.post("/event-types/new", data=FORM | {"location_kind": kind, "location": typed})
    assert f"<span>{shown}</span>" in client.get("/rick/long-talk").text


def test_an_address_belongs_to_one_event_type_of_a_host(rick_client, bob_client, session) -> None:
    rick_client.post("/event-types/new", data=FORM)
    again = rick_client.post("/event-types/new", data=FORM | {"title": "Second", "slug": "Long-Talk"})
    assert again.status_code == 422
    assert 'id="field-slug-error">You already have an event type with this address.' in again.text
    assert 'value="Second"' in again.text
    assert bob_client.post("/event-types/new", data=FORM).status_code == 303


def test_an_address_cannot_be_taken_by_an_edit_either(rick_client, three, session) -> None:
    answer = rick_client.post(f"/event-types/{made(session, 'one').id}", data=FORM | {"slug": "two"})
    assert answer.status_code == 422
    assert made(session, "one").title == "One"


def test_the_list_begins_empty_with_a_way_out(rick_client: FlaskClient) -> None:
    page = rick_client.get("/event-types").text
    assert "No event types yet" in page
    assert 'href="/event-types/new"' in page


def test_a_hidden_one_leaves_the_hosts_page_and_comes_back(rick_client, client, three, session) -> None:
    path = f"/event-types/{made(session, 'two').id}/hide"
    rick_client.post(path, data={"hidden": "1"})
    assert ">Two<" not in client.get("/rick").text
    assert client.get("/rick/two").status_code == 200
    rick_client.post(path, data={"hidden": "0"})
    assert "Two" in client.get("/rick").text


def test_event_types_move_up_and_down(rick_client, client, three, session) -> None:
    rick_client.post(f"/event-types/{made(session, 'three').id}/move", data={"up": "1"})
    assert three() == ["One", "Three", "Two"]
    rick_client.post(f"/event-types/{made(session, 'one').id}/move", data={"up": "0"})
    assert three() == ["Three", "One", "Two"]
    page = client.get("/rick").text
    assert page.index("/rick/three") < page.index("/rick/one") < page.index("/rick/two")


def test_the_first_cannot_move_up_nor_the_last_down(rick_client, three, session) -> None:
    rick_client.post(f"/event-types/{made(session, 'one').id}/move", data={"up": "1"})
    rick_client.post(f"/event-types/{made(session, 'three').id}/move", data={"up": "0"})
    assert three() == ["One", "Two", "Three"]


def test_deleting_asks_first_and_names_the_link(rick_client, three, session) -> None:
    path = f"/event-types/{made(session, 'two').id}/delete"
    for headers in ({}, {"HX-Request": "true"}):
        assert "/rick/two will stop working" in rick_client.get(path, headers=headers).text
    assert three() == ["One", "Two", "Three"]


def test_a_deleted_one_is_gone_and_its_address_free(rick_client, client, three, session) -> None:
    path = f"/event-types/{made(session, 'two').id}"
    rick_client.post(f"{path}/delete")
    assert three() == ["One", "Three"]
    assert client.get("/rick/two").status_code == 404
    assert rick_client.get(path).status_code == 404
    assert rick_client.post(f"{path}/delete").status_code == 404
    assert rick_client.post("/event-types/new", data=FORM | {"slug": "two"}).status_code == 303


@pytest.mark.parametrize("act", ["", "/delete", "/hide", "/move"])
def test_a_stranger_finds_nothing_to_change(
    rick_client, bob_client, client, three, session, act: str
) -> None:
    path = f"/event-types/{made(session, 'one').id}{act}"
    assert bob_client.post(path, data=FORM | {"hidden": "1"}).status_code == 404
    assert client.post(path, data=FORM).location.startswith("/login")
    assert three() == ["One", "Two", "Three"]
    assert made(session, "one").hidden is False


def test_a_place_without_its_kind_is_kept(rick_client: FlaskClient, session: Session) -> None:
    rick_client.post("/event-types/new", data=FORM | {"location_kind": "none", "location": "Room 5"})
    assert (made(session).location_kind, made(session).place) == ("in_person", "Room 5")


# Questions

QUESTIONS = {
    "question-0-label": "What is it about?",
    "question-0-type": "text",
    "question-0-required": "1",
    "question-1-label": "Tell us more",
    "question-1-type": "textarea",
    "question-2-label": "Which plan?",
    "question-2-type": "select",
    "question-2-options": "Small\nLarge\n\nLarge",
    "question-3-label": "I agree",
    "question-3-type": "checkbox",
    "question-3-required": "1",
}
BOOKING = {
    "start": "2027-01-05T10:00:00Z",
    "name": "Ada",
    "email": "ada@example.com",
    "time_zone": "Europe/London",
}
ANSWERS = {
    "responses[what-is-it-about]": "Art",
    "responses[tell-us-more]": "A\nB",
    "responses[which-plan]": "Large",
    "responses[i-agree]": "on",
}


@pytest.fixture
def asked(rick_client: FlaskClient, session: Session) -> EventType:
    """An event type with a question of each kind, and times on the hour."""
    form = FORM | {"length": "60", "step": "", "buffer_before": "0", "buffer_after": "0", "redirect_url": ""}
    assert rick_client.post("/event-types/new", data=form | QUESTIONS).status_code == 303
    return made(session)


def test_questions_are_kept_in_their_order_under_names(asked: EventType) -> None:
    assert [(one["name"], one["type"], one["required"]) for one in asked.questions] == [
        ("what-is-it-about", "text", True),
        ("tell-us-more", "textarea", False),
        ("which-plan", "select", False),
        ("i-agree", "checkbox", True),
    ]
    assert asked.questions[2]["options"] == ["Small", "Large"]


def test_a_question_keeps_its_name_when_its_words_change(rick_client, asked, session) -> None:
    page = rick_client.get(f"/event-types/{asked.id}").text
    names = re.findall(r'name="question-(\d)-name" value="([^"]+)"', page)
    form = FORM | QUESTIONS | {f"question-{at}-name": name for at, name in names}
    rick_client.post(f"/event-types/{asked.id}", data=form | {"question-0-label": "Topic?"})
    assert made(session).questions[0]["name"] == "what-is-it-about"
    assert made(session).questions[0]["label"] == "Topic?"


def test_a_question_can_be_added_and_removed_before_saving(
    rick_client: FlaskClient, session: Session
) -> None:
    added = rick_client.post("/event-types/new", data=FORM | QUESTIONS | {"action": "add-question"}).text
    assert 'name="question-4-label"' in added
    removed = rick_client.post(
        "/event-types/new", data=FORM | QUESTIONS | {"action": "remove-question-1"}
    ).text
    assert "Tell us more" not in removed
    assert 'value="Long talk"' in removed
    assert session.scalar(select(EventType)) is None


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("question-0-label", "", "Please enter the question."),
        ("question-2-options", "", "options, one per line"),
        ("question-1-type", "colour", "Please choose a type"),
    ],
)
def test_a_bad_question_is_named_and_kept(
    rick_client: FlaskClient, field: str, value: str, words: str
) -> None:
    answer = rick_client.post("/event-types/new", data=FORM | QUESTIONS | {field: value})
    assert answer.status_code == 422
    assert words in answer.text
    assert "I agree" in answer.text


def test_two_questions_with_the_same_words_have_two_names(rick_client: FlaskClient, session: Session) -> None:
    form = FORM | {"question-0-label": "Name", "question-1-label": "Name", "question-2-label": "???"}
    rick_client.post("/event-types/new", data=form)
    assert [one["name"] for one in made(session).questions] == ["name-2", "name-3", "question"]


def test_answers_reach_the_booking_and_the_host(rick_client, client: FlaskClient, asked: EventType) -> None:
    answer = client.post("/rick/long-talk", data=BOOKING | ANSWERS)
    assert answer.status_code == 303
    page = rick_client.get(answer.location.replace("/booking/", "/bookings/")).text
    for words in ("What is it about?", "Art", "A\nB", "Large", "Yes"):
        assert words in page


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("what-is-it-about", "", "Please answer this question."),
        ("what-is-it-about", "x" * 501, "in one line of up to 500"),
        ("tell-us-more", "x" * 5001, "at most 5,000 characters"),
        ("which-plan", "Huge", "Please choose one of the options."),
        ("i-agree", "", "Please check this box."),
    ],
)
def test_a_bad_answer_is_named_at_its_question(client, asked, name: str, value: str, words: str) -> None:
    answer = client.post("/rick/long-talk", data=BOOKING | ANSWERS | {f"responses[{name}]": value})
    assert answer.status_code == 422
    assert re.search(rf'id="response-{name}-error">[^<]*{re.escape(words)}', answer.text)
    assert 'value="Ada"' in answer.text


def test_a_visitor_leads_on_to_the_hosts_page(rick_client, client, asked, session) -> None:
    rick_client.post(
        f"/event-types/{asked.id}", data=FORM | {"redirect_url": "https://bank.example/?a=1#top"}
    )
    answer = client.post("/rick/long-talk?metadata[id]=7&metadata[x]=%26", data=BOOKING)
    assert re.fullmatch(
        r"https://bank\.example/\?a=1&uid=[\w-]{22}&metadata%5Bid%5D=7&metadata%5Bx%5D=%26#top",
        answer.location,
    )


def test_an_address_of_the_app_is_no_event_types(rick_client: FlaskClient) -> None:
    answer = rick_client.post("/event-types/new", data=FORM | {"slug": "Embed"})
    assert answer.status_code == 422
    assert 'id="field-slug-error">This address is needed' in answer.text


def test_an_event_type_that_has_such_an_address_keeps_it(
    rick_client: FlaskClient, session: Session, quick_chat: EventType, change
) -> None:
    change(quick_chat, slug="embed")
    edited = FORM | {"slug": "embed", "title": "New title"}
    assert rick_client.post(f"/event-types/{quick_chat.id}", data=edited).status_code == 303
    session.refresh(quick_chat)
    assert (quick_chat.slug, quick_chat.title) == ("embed", "New title")


@pytest.mark.parametrize(
    ("title", "slug"), [("Café at 3, Straße!", "cafe-at-3-strasse"), ("  Deep -- dive ", "deep-dive")]
)
def test_an_empty_address_is_made_from_the_title(rick_client, session, title: str, slug: str) -> None:
    answer = rick_client.post("/event-types/new", data={"title": title, "slug": " ", "length": "30"})
    assert answer.status_code == 303
    assert [one.slug for one in session.scalars(select(EventType))] == [slug]


def test_a_title_in_another_script_needs_an_address(rick_client) -> None:
    answer = rick_client.post("/event-types/new", data={"title": "会議", "slug": "", "length": "30"})
    assert answer.status_code == 422
