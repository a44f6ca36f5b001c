"""Every act happens once: however often it is clicked, and when two do it at the same moment."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.bookings.emails import write_emails
from calapp.bookings.maintenance import record_meetings
from calapp.bookings.models import Booking
from calapp.clock import iso_seconds
from calapp.config import Settings
from calapp.deliveries.models import Event
from calapp.mail import Email
from tests.bookings.conftest import TUESDAY_TEN
from tests.conftest import on_both_databases, signed_in

pytestmark = on_both_databases

NOON = TUESDAY_TEN + timedelta(hours=2)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, rate_limits="off")


@pytest.fixture
def at_once(app: Flask, rick) -> Callable[..., list[int]]:
    """Return a function that sends each form at the same moment, each from a browser of its own."""

    def send(*requests: tuple[str, dict[str, str]], host: bool) -> list[int]:
        ready = Barrier(len(requests))
        browsers = [signed_in(app, rick) if host else app.test_client() for _ in requests]

        def post(browser, path: str, form: dict[str, str]) -> int:
            ready.wait(10)
            return browser.post(path, data=form).status_code

        with ThreadPoolExecutor(len(requests)) as pool:
            calls = [
                pool.submit(post, browser, *one) for browser, one in zip(browsers, requests, strict=True)
            ]
            return sorted(call.result(30) for call in calls)

    return send


@pytest.fixture
def asking(quick_chat, change):
    change(quick_chat, requires_confirmation=True)
    return quick_chat


def move_to(start: datetime, **more: str) -> dict[str, str]:
    return {"start": iso_seconds(start), "reason": "Train is late", **more}


def test_two_confirmations_at_once_tell_it_once(asking, book, at_once, triggers) -> None:
    path = f"/bookings/{book().uid}/confirm"
    assert at_once((path, {}), (path, {}), (path, {}), host=True) == [303, 409, 409]
    assert triggers() == ["BOOKING_REQUESTED", "BOOKING_CREATED"]


def test_a_confirmation_and_a_rejection_at_once_have_one_winner(asking, book, at_once, triggers) -> None:
    path = f"/bookings/{book().uid}"
    assert at_once((f"{path}/confirm", {}), (f"{path}/reject", {}), host=True) == [303, 409]
    assert triggers()[1:] in (["BOOKING_CREATED"], ["BOOKING_REJECTED"])


def test_two_rejections_at_once_tell_it_once(asking, book, at_once, triggers) -> None:
    path = f"/bookings/{book().uid}/reject"
    assert at_once((path, {}), (path, {}), host=True) == [303, 409]
    assert triggers() == ["BOOKING_REQUESTED", "BOOKING_REJECTED"]


def test_two_visitors_cancel_at_once_and_it_is_told_once(book, at_once, triggers) -> None:
    path = f"/booking/{book().uid}/cancel"
    assert at_once((path, {}), (path, {}), (path, {}), host=False) == [303] * 3
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_two_cancellations_of_the_host_at_once_tell_it_once(book, at_once, triggers) -> None:
    path = f"/bookings/{book().uid}/cancel"
    assert at_once((path, {}), (path, {}), host=True) == [303, 409]
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CANCELLED"]


def test_two_moves_at_once_to_different_times_leave_one_meeting(book, at_once, session, triggers) -> None:
    path = f"/booking/{book().uid}/reschedule"
    forms = [move_to(NOON + timedelta(hours=hour)) for hour in range(2)]
    answers = at_once(*((path, form) for form in forms), host=False)
    assert answers in ([303, 303], [303, 409])  # the second may find the moved one, and move it again
    assert triggers()[1:] == ["BOOKING_RESCHEDULED"] * answers.count(303)
    assert len(session.scalars(select(Booking).where(Booking.status == "accepted")).all()) == 1


def test_a_move_and_a_cancellation_at_once_lose_nothing(book, at_once, session, triggers) -> None:
    path = f"/booking/{book().uid}"
    answers = at_once((f"{path}/reschedule", move_to(NOON)), (f"{path}/cancel", {}), host=False)
    told, active = triggers()[1:], session.scalars(select(Booking).where(Booking.status == "accepted")).all()
    assert told in (
        ["BOOKING_CANCELLED"],
        ["BOOKING_RESCHEDULED"],
        ["BOOKING_RESCHEDULED", "BOOKING_CANCELLED"],
    )
    assert len(active) == (told[-1] == "BOOKING_RESCHEDULED")
    assert answers.count(303) == len(told)


def test_two_bookings_move_into_each_others_time(book, at_once, session, triggers) -> None:
    first, second = book(), book(NOON)
    paths = [f"/booking/{one.uid}/reschedule" for one in (first, second)]
    answers = at_once((paths[0], move_to(NOON)), (paths[1], move_to(TUESDAY_TEN)), host=False)
    assert answers == [409, 409]
    assert triggers() == ["BOOKING_CREATED", "BOOKING_CREATED"]


def test_a_double_click_moves_once(client, book, monday, triggers) -> None:
    path = f"/booking/{book().uid}/reschedule"
    page = client.get(f"{path}?slot={iso_seconds(NOON)}").text
    attempt = page.split('name="attempt" value="')[1].split('"')[0]
    monday.shift(5)
    answers = [client.post(path, data=move_to(NOON, attempt=attempt)) for _ in range(2)]
    assert answers[0].location == answers[1].location
    assert triggers() == ["BOOKING_CREATED", "BOOKING_RESCHEDULED"]


def test_v9_a_move_form_sent_again_with_another_time_moves_again(client, book, monday, session) -> None:
    path = f"/booking/{book().uid}/reschedule"
    page = client.get(f"{path}?slot={iso_seconds(NOON)}").text
    attempt = page.split('name="attempt" value="')[1].split('"')[0]
    monday.shift(5)
    wanted = [NOON, NOON + timedelta(hours=1), NOON]
    answers = [client.post(path, data=move_to(start, attempt=attempt)) for start in wanted]
    assert [answer.status_code for answer in answers] == [303] * 3
    assert len({answer.location for answer in answers}) == 3
    active = session.scalars(select(Booking).where(Booking.status == "accepted")).one()
    assert active.starts_at == NOON


def test_the_same_form_at_once_books_once(quick_chat, client, at_once, monday, session: Session) -> None:
    page = client.get("/rick/quick-chat?slot=2027-01-05T10:00:00Z").text
    form = {
        "attempt": page.split('name="attempt" value="')[1].split('"')[0],
        "start": iso_seconds(TUESDAY_TEN),
        "name": "Ada",
        "email": "ada@example.com",
        "time_zone": "UTC",
    }
    monday.shift(5)
    assert at_once(*[("/rick/quick-chat", form)] * 3, host=False) == [303, 303, 303]
    assert len(session.scalars(select(Booking)).all()) == len(session.scalars(select(Event)).all()) == 1
    write_emails()
    assert len(session.scalars(select(Email)).all()) == 2


def test_a_no_show_marked_twice_at_once_is_told_once(book, at_once, monday, triggers) -> None:
    path = f"/bookings/{book().uid}/no-show"
    monday.move_to(NOON)
    form = {"attendee": "ada@example.com", "no_show": "1"}
    assert at_once((path, form), (path, form), (path, form), host=True) == [303] * 3
    assert triggers() == ["BOOKING_CREATED", "BOOKING_NO_SHOW_UPDATED"]


def test_two_workers_tell_a_start_once(app: Flask, book, monday, triggers) -> None:
    book()
    monday.move_to(TUESDAY_TEN)

    def sweep(_number: int) -> None:
        with app.app_context():
            record_meetings()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sweep, range(4)))
    assert triggers() == ["BOOKING_CREATED", "MEETING_STARTED"]
