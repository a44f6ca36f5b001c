"""What one visitor may cause, by page and by API: moves, emails to others, open bookings."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from calapp.availability.models import WeeklyHours
from calapp.bookings import changes, visitors
from calapp.bookings.emails import write_emails
from calapp.bookings.models import Booking, Status, VisitorAct
from calapp.clock import iso_seconds
from calapp.config import Settings, use
from calapp.db import transaction
from calapp.event_types.models import EventType
from calapp.mail import Email
from calapp.privacy.service import erase_visitor
from tests.api.conftest import rick_api, with_key  # noqa: F401 (fixtures)
from tests.bookings.conftest import MONDAY, TUESDAY_TEN
from tests.conftest import on_both_databases

pytestmark = on_both_databases

GUESTS = ", ".join(f"g{number}@example.com" for number in range(20))
ONE = "192.0.2.1"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, open_bookings_per_address=0, open_bookings_per_email=0)


@pytest.fixture
def limited(app):
    """Return a function that changes settings of this app."""
    from calapp.config import settings as current

    before = current()
    yield lambda **changed: use(replace(current(), **changed))
    use(before)


def quarter(number: int) -> str:
    return iso_seconds(TUESDAY_TEN + timedelta(minutes=15 * number))


def send(client: FlaskClient, number: int = 0, *, address: str = ONE, path: str = "/rick/quick-chat", **form):
    fields = {"start": quarter(number), "name": "Ada", "email": "ada@example.com", "time_zone": "UTC"}
    return client.post(path, data=fields | form, environ_base={"REMOTE_ADDR": address})


def by_api(client: FlaskClient, quick_chat, number: int = 0, *, address: str = ONE, **more):
    body = {
        "start": quarter(number),
        "eventTypeId": quick_chat.id,
        "attendee": {"name": "Ada", "email": "ada@example.com", "timeZone": "UTC"},
    }
    return client.post("/v2/bookings", json=body | more, environ_base={"REMOTE_ADDR": address})


def told(session) -> list[str]:
    """Return who was written to, the host aside, and nothing that waits."""
    write_emails()
    session.rollback()
    found = select(Email.recipient).where(Email.parked_at.is_(None), Email.recipient != "rick@example.com")
    return list(session.scalars(found))


def test_v1_a_loop_of_moves_by_the_api_ends_after_ten(client, quick_chat, session, monday) -> None:
    uid = by_api(client, quick_chat).get_json()["data"]["uid"]
    answers = []
    for number in range(1, 13):
        answer = client.post(f"/v2/bookings/{uid}/reschedule", json={"start": quarter(number)})
        uid = answer.get_json().get("data", {}).get("uid", uid)
        answers.append(answer)
        monday.shift(20)
    assert [answer.status_code for answer in answers] == [201] * 10 + [429] * 2
    error = answers[-1].get_json()["error"]
    assert error["code"] == "too_many_requests"
    assert "rescheduled 10 times within an hour" in error["message"]
    assert 3000 < int(answers[-1].headers["Retry-After"]) <= 3600
    monday.shift(3600)
    assert client.post(f"/v2/bookings/{uid}/reschedule", json={"start": quarter(12)}).status_code == 201


def test_v1_a_move_too_many_comes_back_with_the_form(client, quick_chat, limited) -> None:
    limited(moves_per_hour=1)
    path = send(client).location
    path = send(client, 1, path=f"{path}/reschedule").location
    answer = send(client, 2, path=f"{path}/reschedule", reason="Train is late")
    assert answer.status_code == 429
    assert "This meeting was rescheduled once within an hour." in answer.text
    assert "Train is late" in answer.text


@pytest.mark.parametrize("spell", ["page", "api"])
def test_v1_an_address_reaches_sixty_people_an_hour(client, quick_chat, session, monday, spell) -> None:
    def book(number: int):
        if spell == "page":
            return send(client, number, guests=GUESTS)
        return by_api(client, quick_chat, number, guests=GUESTS.split(", "))

    answers = [book(number) for number in range(3)]
    assert [answer.status_code for answer in answers][2] == 429
    assert "within an hour" in answers[2].text
    assert len(told(session)) == 42
    assert session.scalar(select(func.count(Booking.id))) == 2
    monday.shift(3601)
    assert book(2).status_code in {201, 303}


def test_v1_addresses_of_one_network_count_together(client, quick_chat, limited) -> None:
    limited(recipients_per_hour=1)
    addresses = ["2001:db8::1", "2001:db8::2:7", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"]
    answers = [send(client, number, address=address) for number, address in enumerate(addresses)]
    assert [answer.status_code for answer in answers] == [303, 429, 303, 303, 429]


def test_v1_a_cancellation_is_taken_and_its_emails_wait(client, quick_chat, session, limited) -> None:
    limited(recipients_per_hour=3)
    path = send(client, guests="eve@example.com").location
    answer = client.post(f"{path}/cancel", data={}, environ_base={"REMOTE_ADDR": ONE})
    assert answer.status_code == 303
    assert session.scalars(select(Booking)).one().status == Status.CANCELLED
    assert told(session) == ["ada@example.com", "eve@example.com"]
    assert session.scalar(select(func.count(Email.id)).where(Email.parked_at.is_not(None))) == 2


def test_v1_what_the_host_does_is_not_counted(
    client, rick_client, rick_api, quick_chat, session, limited
) -> None:
    limited(recipients_per_hour=1, recipients_per_day_per_host=1, moves_per_hour=1, open_bookings_per_email=1)
    assert [send(rick_client, number).status_code for number in range(2)] == [303, 303]
    body = {
        "eventTypeId": quick_chat.id,
        "attendee": {"name": "A", "email": "ada@example.com", "timeZone": "UTC"},
    }
    made = [rick_api.post("/v2/bookings", body | {"start": quarter(number)}) for number in range(2, 5)]
    assert [answer.status_code for answer in made] == [201] * 3
    uid = made[0].get_json()["data"]["uid"]
    for number in range(5, 8):
        assert rick_api.post(f"/v2/bookings/{uid}/reschedule", {"start": quarter(number)}).status_code == 201
    assert session.scalar(select(func.count(VisitorAct.id))) == 0
    assert send(client, 8).status_code == 303  # nor does it take the place of the visitor's own


def test_v1_the_key_of_another_host_is_a_visitors(client, bob, with_key, quick_chat, limited) -> None:
    limited(recipients_per_hour=1)
    api = with_key(bob)
    body = {
        "eventTypeId": quick_chat.id,
        "attendee": {"name": "A", "email": "ada@example.com", "timeZone": "UTC"},
    }
    answers = [api.post("/v2/bookings", body | {"start": quarter(number)}).status_code for number in range(2)]
    assert answers == [201, 429]


def test_v1_beyond_a_day_of_a_host_the_booking_stands_and_emails_wait(
    client, rick_client, quick_chat, session, limited
) -> None:
    limited(recipients_per_day_per_host=2)
    answers = [send(client, number, address=f"192.0.2.{number}") for number in range(3)]
    assert [answer.status_code for answer in answers] == [303] * 3
    assert len(told(session)) == 2
    to_host = session.scalars(
        select(Email).where(Email.recipient == "rick@example.com").order_by(Email.id)
    ).all()
    assert sorted("are waiting" in mail.body for mail in to_host) == [False, False, True]
    page = rick_client.get("/bookings/upcoming").text
    assert "1 email to visitors or guests is waiting about 1 booking" in page
    assert page.count("Emails waiting") == 1
    assert "on the way" in rick_client.post("/bookings/emails/send", follow_redirects=True).text
    assert len(told(session)) == 3
    assert "is waiting" not in rick_client.get("/bookings/upcoming").text


def test_v1_waiting_emails_are_sent_and_discarded_where_they_are_shown(
    client, rick_client, quick_chat, session, limited
) -> None:
    limited(recipients_per_day_per_host=1)
    paths = [send(client, number, address=f"192.0.2.{number}").location for number in range(3)]
    uid = paths[1].rpartition("/")[2]
    for page, act, words, data in (
        (f"/bookings/{uid}", "discard", "1 email discarded.", {"booking": uid}),
        ("/bookings/upcoming?person=a", "send", "1 email on the way.", {}),
    ):
        asked = {"HX-Request": "true", "HX-Current-URL": f"http://127.0.0.1:5000{page}"}
        answer = rick_client.post(f"/bookings/emails/{act}", data=data, headers=asked)
        assert (answer.status_code, answer.headers["HX-Retarget"]) == (200, "#content")
        assert words in answer.headers["HX-Trigger"]
        assert "waiting, because" not in answer.text
    assert 'value="a"' in answer.text  # the filter stands


def test_v1_waiting_emails_are_discarded_for_one_booking_or_all(
    client, rick_client, bob_client, quick_chat, session, limited
) -> None:
    limited(recipients_per_day_per_host=1)
    paths = [send(client, number, address=f"192.0.2.{number}").location for number in range(3)]
    uid = paths[1].rpartition("/")[2]
    assert bob_client.post("/bookings/emails/discard", data={"booking": uid}).status_code == 404
    bob_client.post("/bookings/emails/send")
    rick_client.post("/bookings/emails/discard", data={"booking": uid})
    page = rick_client.get(f"/bookings/{uid}").text
    assert "Not sent: Discarded manually." in page
    assert "1 email to visitors or guests is waiting" in rick_client.get("/bookings/past").text
    assert "1 email discarded." in rick_client.post("/bookings/emails/discard", follow_redirects=True).text
    assert len(told(session)) == 3  # the two that were discarded are rows still
    assert session.scalars(select(Email.due_at).where(Email.due_at.is_not(None))).all() == []


def test_v1_a_later_email_takes_the_place_of_one_that_waits(
    client, rick_client, quick_chat, session, limited
) -> None:
    limited(recipients_per_day_per_host=1)
    paths = [send(client, number, address=f"192.0.2.{number}").location for number in range(2)]
    rick_client.post(f"/bookings/{paths[1].rpartition('/')[2]}/cancel", data={"reason": "No"})
    assert "is waiting" not in rick_client.get("/bookings/upcoming").text
    subjects = session.scalars(select(Email.subject).where(Email.error.is_not(None))).all()
    assert subjects == ["Booked: Quick chat with Rick"]
    assert len(told(session)) == 3  # the row of the superseded one included


def test_v1_limits_by_time_can_be_switched_off(client, quick_chat, limited) -> None:
    limited(rate_limits="off", recipients_per_hour=1, recipients_per_day_per_host=1, moves_per_hour=1)
    answers = [send(client, number, guests=GUESTS) for number in range(4)]
    assert [answer.status_code for answer in answers] == [303] * 4


def test_v1_guests_are_told_nothing_that_the_visitor_typed_but_a_name(client, quick_chat, session) -> None:
    path = send(client, name="Buy Pills", notes="PAYLOAD", guests="eve@example.com").location
    send(client, 1, path=f"{path}/reschedule", reason="PAYLOAD")
    newest = send(client, 2, path=f"{path}/reschedule", reason="PAYLOAD").location
    client.post(f"{newest}/cancel", data={"reason": "PAYLOAD"})
    write_emails()
    mails = session.scalars(select(Email)).all()
    to_guest = [mail for mail in mails if mail.recipient == "eve@example.com"]
    assert len(to_guest) == 4
    assert not any("PAYLOAD" in mail.body + mail.calendar for mail in to_guest)
    assert not any("Pills" in mail.subject for mail in mails if mail.recipient != "rick@example.com")
    assert not any("SUMMARY:Quick chat between" in mail.calendar for mail in to_guest)


def test_v1_one_mailbox_is_one_guest_and_the_host_is_none(client, quick_chat, session) -> None:
    guests = "Eve@example.com, eve+1@example.com, EVE+2@EXAMPLE.com, RICK@example.com, ada+me@example.com"
    send(client, guests=guests)
    people = session.scalars(select(Booking)).one().attendees
    assert [person.email.lower() for person in people] == ["ada@example.com", "eve@example.com"]


def test_v1_the_same_form_twice_counts_once(client, quick_chat, session, monday) -> None:
    page = client.get(f"/rick/quick-chat?slot={quarter(0)}").text
    token = page.split('name="attempt" value="')[1].split('"')[0]
    monday.shift(5)
    for _ in range(3):
        assert send(client, attempt=token).status_code == 303
    assert session.scalars(select(VisitorAct.recipients)).all() == [1]


@pytest.mark.parametrize("vary", ["address", "email"])
def test_v15_a_visitor_has_five_open_bookings_with_a_host(client, quick_chat, limited, vary, monday) -> None:
    limited(open_bookings_per_address=5, open_bookings_per_email=5)
    emails = ["ada@example.com", "ADA@example.com", "ada+1@example.com", "ada+2@Example.com"]

    def book(number: int):
        if vary == "address":
            return send(client, number, address=f"192.0.2.{number}", email=emails[number % 4])
        return send(client, number, email=f"ada{number}@example.com")

    assert [book(number).status_code for number in range(6)] == [303] * 5 + [429]
    answer = book(6)
    assert "There are already 5 upcoming bookings with Rick" in answer.text
    assert 'value="Ada"' in answer.text  # the form is kept
    monday.move_to(TUESDAY_TEN + timedelta(minutes=1))  # the first is not to come any more
    assert book(9).status_code == 303


def test_v15_the_limit_holds_for_the_api_and_ends_with_a_cancellation(client, quick_chat, limited) -> None:
    limited(open_bookings_per_address=1)
    uid = by_api(client, quick_chat).get_json()["data"]["uid"]
    answer = by_api(client, quick_chat, 1)
    assert answer.status_code == 429
    assert "There is already 1 upcoming booking with Rick" in answer.get_json()["error"]["message"]
    assert client.post(f"/v2/bookings/{uid}/reschedule", json={"start": quarter(2)}).status_code == 201
    assert by_api(client, quick_chat, 1).status_code == 429  # it moved, and is open still
    assert client.post(f"/v2/bookings/{uid}/cancel", json={}).status_code == 200
    assert by_api(client, quick_chat, 1).status_code == 201


def test_v15_the_last_places_go_to_as_many_as_there_are(app, quick_chat, limited, session) -> None:
    limited(rate_limits="off", open_bookings_per_address=3)
    ready = Barrier(6)

    def post(number: int) -> int:
        ready.wait(10)
        return send(app.test_client(), number).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(post, range(6))) == [303] * 3 + [429] * 3
    assert session.scalar(select(func.count(Booking.id))) == 3


def test_v1_people_of_an_address_are_counted_over_all_hosts_at_once(
    app, rick, bob, quick_chat, saved, limited, session
) -> None:
    limited(recipients_per_hour=2)
    saved(EventType(user_id=bob.id, title="Chat", slug="chat", length=15))
    saved(WeeklyHours(user_id=bob.id, weekday=1, start_minute=540, end_minute=1020))
    paths, ready = ["/rick/quick-chat", "/bob/chat"] * 2, Barrier(4)

    def post(number: int) -> int:
        ready.wait(10)
        return send(app.test_client(), number, path=paths[number]).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(post, range(4))) == [303, 303, 429, 429]


def test_v15_erasing_a_visitor_erases_where_the_visitor_came_from(client, quick_chat, session) -> None:
    send(client)
    with transaction() as writing:
        erase_visitor(writing, "ada@example.com")
    booking = session.scalars(select(Booking)).one()
    assert (booking.address_key, booking.email_key) == (None, None)
    assert session.scalars(select(VisitorAct.address_key)).all() == [None]


def test_v1_the_api_names_the_name_that_has_a_web_address(client, quick_chat) -> None:
    evil = {"name": "Visit evil.example/x", "email": "ada@example.com", "timeZone": "UTC"}
    answer = by_api(client, quick_chat, attendee=evil)
    assert answer.status_code == 400
    assert "without a web address" in answer.get_json()["error"]["details"]["attendee.name"]


def test_v15_a_host_cancels_all_of_a_visitor(client, rick_client, quick_chat, session, triggers) -> None:
    first = send(client, 0).location.rpartition("/")[2]
    send(client, 1, email="ada+2@example.com", address="198.51.100.1")
    send(client, 2, email="eve@example.com")  # from the same internet address
    other = send(client, 3, email="grace@example.com", address="198.51.100.2").location
    page = rick_client.get(f"/bookings/{first}").text
    assert "Cancel all bookings of this visitor" in page
    question = rick_client.get(f"/bookings/{first}/cancel-all").text
    assert "3 upcoming bookings" in question
    assert "eve@example.com" in question
    answer = rick_client.post(f"/bookings/{first}/cancel-all", data={"reason": "Spam"}, follow_redirects=True)
    assert "3 bookings cancelled." in answer.text
    assert triggers().count("BOOKING_CANCELLED") == 3
    active = session.scalars(select(Booking.uid).where(Booking.status == "accepted")).all()
    assert active == [other.rpartition("/")[2]]
    again = rick_client.post(f"/bookings/{first}/cancel-all", follow_redirects=True)
    assert "0 bookings cancelled." in again.text


def test_v15_a_host_may_leave_out_who_only_shares_the_address(
    client, rick_client, quick_chat, session
) -> None:
    first = send(client, 0).location.rpartition("/")[2]
    send(client, 1, email="eve@example.com")
    rick_client.post(f"/bookings/{first}/cancel-all", data={"by_email_only": "1"})
    left = session.scalars(select(Booking).where(Booking.status == "accepted")).one()
    assert left.visitor.email == "eve@example.com"


def test_v15_many_bookings_are_cancelled_in_steps(book, rick_client, session, monkeypatch) -> None:
    monkeypatch.setattr(changes, "CANCEL_STEP", 3)
    bookings = [book(TUESDAY_TEN + timedelta(minutes=15 * number)) for number in range(8)]
    answer = rick_client.post(f"/bookings/{bookings[0].uid}/cancel-all", follow_redirects=True)
    assert "8 bookings cancelled." in answer.text


def test_v15_an_address_is_forgotten_when_the_booking_is_over(client, quick_chat, session, monday) -> None:
    send(client)
    booking = session.scalars(select(Booking)).one()
    assert re.fullmatch("[0-9a-f]{32}", booking.address_key)
    for moment, kept in ((TUESDAY_TEN, True), (TUESDAY_TEN + timedelta(minutes=15), False)):
        monday.move_to(moment)
        with transaction() as writing:
            visitors.forget_addresses(writing)
        session.refresh(booking)
        assert (booking.address_key is not None) is kept
        assert (booking.email_key is not None) is kept
    assert MONDAY + timedelta(days=1) < TUESDAY_TEN
    assert session.scalar(select(func.count(VisitorAct.id))) == 0


def test_v1_emails_that_wait_are_let_lie_when_the_meeting_is_over(
    client, quick_chat, session, limited, monday
) -> None:
    limited(recipients_per_day_per_host=1)
    for number in range(2):
        send(client, number, address=f"192.0.2.{number}")
    monday.move_to(TUESDAY_TEN + timedelta(hours=1))
    with transaction() as writing:
        visitors.forget_addresses(writing)
    session.rollback()
    assert session.scalar(select(Email).where(Email.parked_at.is_not(None))) is None
    assert session.scalars(select(Email.error).where(Email.error.is_not(None))).one() == visitors.OVER
