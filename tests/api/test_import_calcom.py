"""Moving from Cal.com: schedules, event types, webhooks and upcoming bookings come over its API."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.availability.models import Schedule, WeeklyHours
from calapp.bookings.models import Booking, BusySlot
from calapp.calcom_api import CalcomApi, CalcomUnavailable
from calapp.deliveries.models import Delivery, Event
from calapp.event_types.models import EventType, LocationKind
from calapp.mail import Email
from calapp.webhooks.models import Webhook
from tests.api.conftest import Client
from tests.conftest import on_both_databases

pytestmark = [on_both_databases, pytest.mark.usefixtures("database", "monday")]

KEY = "cal_live_of-rick"
WEEK = [{"days": ["Monday", "Tuesday"], "startTime": "08:00", "endTime": "12:00"}]
SCHEDULE = {
    "id": 7, "name": "Mornings", "timeZone": "Europe/Rome", "isDefault": True, "availability": WEEK,
    "overrides": [{"date": "2027-03-01", "startTime": "10:00", "endTime": "11:00"}],
}  # fmt: skip
TALK = {
    "id": 31,
    "ownerId": 5,
    "title": "Talk",
    "slug": "talk",
    "lengthInMinutes": 30,
    "lengthInMinutesOptions": [15, 30],
    "description": "About anything",
    "locations": [{"type": "integration", "integration": "cal-video"}],
    "bookingFields": [
        {"type": "name", "slug": "name", "isDefault": True, "required": True},
        {"type": "email", "slug": "email", "isDefault": True, "required": True},
        {"type": "multiemail", "slug": "guests", "isDefault": True, "hidden": True},
        {"type": "text", "slug": "topic", "label": "Topic?", "required": True},
        {"type": "url", "slug": "site", "label": "Site?", "required": False},
    ],
    "recurrence": {"interval": 1, "occurrences": 4, "frequency": "weekly"},
    "disableGuests": False,
    "slotInterval": None,
    "minimumBookingNotice": 60,
    "beforeEventBuffer": 0,
    "afterEventBuffer": 15,
    "scheduleId": 7,
    "bookingWindow": {"type": "businessDays", "value": 30, "rolling": True},
    "bookingLimitsCount": {"day": 3, "week": 9},
    "confirmationPolicy": {"disabled": True},
    "hidden": False,
    "color": {"lightThemeHex": "#fafafa", "darkThemeHex": "#000000"},
    "metadata": {},
}
ODD = {**TALK, "id": 32, "slug": "odd", "title": "Odd", "lengthInMinutes": 7, "lengthInMinutesOptions": []}
HOOK = {
    "id": "c0ffee",
    "subscriberUrl": "http://127.0.0.1:4000/in",
    "triggers": ["BOOKING_CREATED"],
    "active": True,
}
BOOKING = {
    "id": 900,
    "uid": "bfWmsC4iKZb7kYdV1aZNYx",
    "title": "Talk between Rick and Ada",
    "status": "accepted",
    "start": "2027-01-12T09:00:00.000Z",
    "end": "2027-01-12T09:30:00.000Z",
    "eventTypeId": 31,
    "hosts": [{"id": 5, "name": "Rick"}],
    "attendees": [{"name": "Ada", "email": "ada@example.com", "timeZone": "Asia/Tokyo", "language": "de"}],
    "guests": ["grace@example.com"],
    "location": "https://meet.example.com/x",
    "metadata": {"user_id": "123"},
    "bookingFieldsResponses": {
        "name": "Ada",
        "email": "ada@example.com",
        "topic": "Engines",
        "notes": "Hello",
    },
}


class Calcom:
    """A server that responds in Cal.com's shapes; `replies` has for a path what to respond first."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {
            "/v2/me": {"id": 5, "username": "rick", "name": "Rick\x1b[2J"},
            "/v2/schedules": [SCHEDULE],
            "/v2/event-types": [TALK],
            "/v2/webhooks": [HOOK],
            "/v2/bookings": [BOOKING],
        }
        self.replies: dict[str, list[tuple[int, dict[str, str], str]]] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        calcom = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, text = calcom.respond(self.path, dict(self.headers.items()))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def respond(self, target: str, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        self.seen.append((target, headers))
        if replies := self.replies.get(path):
            return replies.pop(0)
        if headers.get("Authorization") != f"Bearer {KEY}":
            return 401, {}, '{"status": "error"}'
        data = self.data.get(path, [])
        if query.get("status") == ["unconfirmed"]:
            data = []
        if isinstance(data, list) and "skip" in query:
            first, count = int(query["skip"][0]), int(query["take"][0])
            data = data[first : first + count]
        return 200, {}, json.dumps({"status": "success", "data": data})


@pytest.fixture
def calcom() -> Iterator[Calcom]:
    made = Calcom()
    yield made
    made.server.shutdown()
    made.server.server_close()


def imported(app: Flask, calcom: Calcom, *more: str, key: str = KEY, code: int = 0) -> str:
    words = ["import-calcom", "--server", calcom.address, "--key", key, *more]
    result = app.test_cli_runner().invoke(args=words)
    assert result.exit_code == code, result.output
    return result.output


def count(session: Session, model: type) -> int:
    session.rollback()
    return session.scalar(select(func.count()).select_from(model)) or 0


def test_a_host_moves_with_hours_event_types_webhooks_and_bookings(
    app: Flask, calcom: Calcom, rick: User, session: Session, rick_api: Client
) -> None:
    said = imported(app, calcom)
    session.expire_all()
    schedule = session.scalar(select(Schedule).where(Schedule.name == "Mornings"))
    assert (schedule.is_default, rick.time_zone) == (True, "Europe/Rome")
    hours = session.scalars(select(WeeklyHours).where(WeeklyHours.schedule_id == schedule.id)).all()
    assert [(one.weekday, one.start_minute, one.end_minute) for one in hours] == [
        (0, 480, 720),
        (1, 480, 720),
    ]
    talk = session.scalar(select(EventType).where(EventType.slug == "talk"))
    assert (talk.length, talk.offered_lengths, talk.schedule_id) == (30, [15, 30], schedule.id)
    assert (talk.notice, talk.buffer_after, talk.max_per_day, talk.asks_guests) == (60, 15, 3, False)
    assert [one["label"] for one in talk.questions] == ["Topic?"]
    hook = session.scalar(select(Webhook))
    assert (hook.subscriber_url, hook.triggers, hook.secret) == (
        HOOK["subscriberUrl"],
        HOOK["triggers"],
        None,
    )
    shown = rick_api.get(f"/v2/bookings/{BOOKING['uid']}").json["data"]
    assert shown["start"] == "2027-01-12T09:00:00.000Z"
    assert (shown["status"], shown["metadata"]) == ("accepted", {"user_id": "123"})
    assert shown["attendees"][0]["timeZone"] == "Asia/Tokyo"
    assert shown["bookingFieldsResponses"]["topic"] == "Engines"
    assert shown["location"] == "https://meet.example.com/x"
    assert "4 created" in said
    assert "\x1b" not in said
    versions = {urlsplit(target).path: headers.get("cal-api-version") for target, headers in calcom.seen}
    assert versions["/v2/schedules"] == "2024-06-11"
    assert versions["/v2/event-types"] == "2024-06-14"
    assert versions["/v2/bookings"] == "2024-08-13"


def test_nobody_hears_of_it_and_the_time_is_taken(
    app: Flask, calcom: Calcom, rick: User, session: Session, client: FlaskClient
) -> None:
    imported(app, calcom)
    assert [count(session, model) for model in (Event, Delivery, Email)] == [0, 0, 0]
    page = client.get("/rick/talk?tz=UTC&month=2027-01&date=2027-01-12").text
    assert "2027-01-12T09:30" not in page  # its buffer
    assert "2027-01-12T08:00" in page
    assert "2027-01-12T09:00" not in page


def test_it_can_be_run_again_without_doubles(
    app: Flask, calcom: Calcom, rick: User, session: Session
) -> None:
    imported(app, calcom)
    models = (Schedule, EventType, Webhook, Booking, BusySlot)
    before = [count(session, model) for model in models]
    calcom.data["/v2/event-types"] = [{**TALK, "title": "Long talk"}]
    said = imported(app, calcom)
    assert [count(session, model) for model in models] == before
    assert session.scalar(select(EventType.title).where(EventType.slug == "talk")) == "Long talk"
    assert "2 already here, 2 updated" in said


def test_a_dry_run_says_the_same_and_saves_nothing(
    app: Flask, calcom: Calcom, rick: User, session: Session
) -> None:
    models = (Schedule, EventType, Webhook, Booking)
    before = [count(session, model) for model in models]
    said = imported(app, calcom, "--dry-run")
    assert "4 created" in said
    assert said.endswith("Dry run: nothing was saved.\n")
    assert [count(session, model) for model in models] == before


def test_what_it_could_not_take_is_named(app: Flask, calcom: Calcom, rick: User, session: Session) -> None:
    calcom.data["/v2/event-types"] = [TALK, ODD]
    calcom.data["/v2/event-types/31/webhooks"] = [{**HOOK, "subscriberUrl": "ftp://example.com"}]
    said = imported(app, calcom)
    for words in (
        "locations: cal-video was left out.",
        "bookingFields: “Site?” was left out. Please choose a type:",
        "recurrence was left out: not supported.",
        "color was left out: not supported.",
        "bookingWindow: businessDays was left out, 60 days are offered.",
        "bookingLimitsCount: week was left out.",
        "Event type /rick/odd: left out",
        "Please enter a number of minutes from 5 to 1,440, a multiple of 5.",
        "Webhook ftp://example.com: left out",
        "Secrets cannot be read.",
        "2 left out",
    ):
        assert words in said
    session.rollback()
    talk = session.scalar(select(EventType).where(EventType.slug == "talk"))
    assert (talk.location_kind, talk.max_days) == (LocationKind.NONE, 60)


def test_bookings_that_do_not_fit_are_left_out_with_the_reason(
    app: Flask, calcom: Calcom, rick: User, session: Session
) -> None:
    calcom.data["/v2/bookings"] = [
        {**BOOKING, "start": "2027-01-12T09:07:00Z", "end": "2027-01-12T09:38:00Z"},
        {**BOOKING, "uid": "the-same-time", "start": "2027-01-12T09:35:00Z", "end": "2027-01-12T10:00:00Z"},
        {**BOOKING, "uid": "of-somebody-else", "hosts": [{"id": 6}]},
        {**BOOKING, "uid": "of-nothing-known", "eventTypeId": 99},
        {**BOOKING, "uid": "already-over", "start": "2026-01-12T09:00:00Z", "end": "2026-01-12T09:30:00Z"},
        {**BOOKING, "uid": "no-attendees", "attendees": []},
        {**BOOKING, "uid": "../../etc/passwd"},
        {**BOOKING, "uid": "long-location", "location": "x" * 501},
        {**BOOKING, "uid": "long-phone", "attendees": [{**BOOKING["attendees"][0], "phoneNumber": "1" * 41}]},
        {**BOOKING, "uid": "of-another-state", "status": "rejected"},
        "nonsense",
    ]
    said = imported(app, calcom)
    assert "9 left out" in said
    assert "It is rejected." in said
    assert "Somebody else is its host." in said
    session.rollback()
    [booking] = session.scalars(select(Booking))
    assert (booking.uid, booking.minutes) == (BOOKING["uid"], 31)


def test_a_booking_of_an_answer_that_is_not_allowed_comes_without_it(
    app: Flask, calcom: Calcom, rick: User, session: Session
) -> None:
    calcom.data["/v2/bookings"] = [{**BOOKING, "bookingFieldsResponses": {"notes": "Hello"}}]
    assert "The answer to topic was left out." in imported(app, calcom)
    session.rollback()
    assert session.scalar(select(Booking.notes)) == "Hello"


def test_a_call_of_calcoms_own_is_not_shown_as_a_place(
    app: Flask, calcom: Calcom, rick: User, session: Session
) -> None:
    calcom.data["/v2/bookings"] = [{**BOOKING, "location": "integrations:daily"}]
    assert "location: integrations:daily was left out." in imported(app, calcom)
    session.rollback()
    assert session.scalar(select(Booking.location)) == ""


def test_what_a_server_sends_in_place_of_ids_ends_nothing(
    app: Flask, calcom: Calcom, rick: User, session: Session
) -> None:
    calcom.data["/v2/schedules"] = [{**SCHEDULE, "id": [7]}]
    calcom.data["/v2/event-types"] = [{**TALK, "id": {"a": 1}, "scheduleId": []}]
    assert "3 created, 1 left out" in imported(app, calcom)  # the booking has no event type then
    session.rollback()
    assert session.scalar(select(Booking.id)) is None


def test_more_than_a_page_is_read(app: Flask, calcom: Calcom, rick: User, session: Session) -> None:
    hooks = [{**HOOK, "subscriberUrl": f"http://127.0.0.1:4000/{number}"} for number in range(30)]
    calcom.data["/v2/webhooks"] = hooks * 7  # in three pages, each URL several times
    imported(app, calcom)
    assert count(session, Webhook) == 30


@pytest.mark.parametrize(
    ("replies", "words"),
    [
        ([(401, {}, "{}")], "The server does not accept this key for /me: 401."),
        ([(404, {}, "<html>")], "There is no Cal.com API at"),
        ([(302, {"Location": "http://127.0.0.1:1/"}, "")], "There is no Cal.com API at"),
        ([(200, {}, "[1]")], "There is no Cal.com API at"),
    ],
)
def test_a_server_that_says_no_is_quoted_and_nothing_is_saved(
    app: Flask, calcom: Calcom, rick: User, session: Session, replies: list[Any], words: str
) -> None:
    calcom.replies["/v2/me"] = list(replies)
    assert words in imported(app, calcom, code=1)
    assert count(session, EventType) == 0
    assert len(calcom.seen) == 1


def test_it_waits_as_long_as_the_server_asks_and_gives_up_after_five_times(calcom: Calcom) -> None:
    pauses: list[float] = []
    api = CalcomApi(calcom.address, KEY, sleep=pauses.append)
    calcom.replies["/v2/me"] = [(429, {"Retry-After": "17"}, ""), (503, {}, "")]
    assert api.read("/me")["data"]["id"] == 5
    assert pauses == [0.0, 17.0, 2.0]
    calcom.replies["/v2/me"] = [(500, {"Retry-After": "99999"}, "")] * 5
    with pytest.raises(CalcomUnavailable, match="/v2/me responded with 500 5 times"):
        api.read("/me")
    assert max(pauses) == 120.0


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(CalcomUnavailable, match="does not respond"):
        CalcomApi("http://127.0.0.1:1", KEY, sleep=lambda _: None).read("/me")


def test_the_host_has_to_be_named_when_there_are_several(
    app: Flask, calcom: Calcom, rick: User, bob: User, session: Session
) -> None:
    assert "Please say for whom: --user NAME" in imported(app, calcom, code=1)
    assert "There is no user nobody." in imported(app, calcom, "--user", "nobody", code=1)
    assert "to bob:" in imported(app, calcom, "--user", "bob")
    assert session.scalar(select(EventType.user_id)) == bob.id


def test_an_account_of_another_calapp_is_taken_whole(
    app: Flask,
    calcom: Calcom,
    rick: User,
    bob: User,
    quick_chat: EventType,
    rick_api: Client,
    session: Session,
) -> None:
    changes = {"locations": [{"type": "link", "link": "https://meet.example.com/{uid}"}], "reminders": [60]}
    changes |= {"bookingFields": [{"type": "radio", "label": "Which?", "options": ["a", "b"]}]}
    changed = rick_api.patch(f"/v2/event-types/{quick_chat.id}", changes)
    assert changed.status_code == 200
    for path in ("/v2/me", "/v2/schedules", "/v2/event-types"):
        calcom.data[path] = rick_api.get(path).json["data"]
    calcom.data["/v2/webhooks"] = calcom.data["/v2/bookings"] = []
    said = imported(app, calcom, "--user", "bob")
    assert "was left out" not in said
    session.rollback()
    taken = session.scalar(select(EventType).where(EventType.user_id == bob.id))
    session.refresh(quick_chat)
    for name in ("title", "slug", "length", "location", "questions", "reminders", "notice", "max_days"):
        assert getattr(taken, name) == getattr(quick_chat, name)
