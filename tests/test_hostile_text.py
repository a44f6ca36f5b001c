"""Whatever people write, strict readers read what comes out: calendars, emails, payloads, logs, exports."""

import email
import email.policy
import itertools
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import ics
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from icalendar import Calendar
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from calapp import logs
from calapp.accounts.models import User
from calapp.bookings.emails import write_emails
from calapp.bookings.models import Attendee, Booking
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from calapp.mail import ClaimedEmail, Email, written
from calapp.privacy.service import export
from calapp.text import clean, line
from tests.bookings.conftest import book, monday  # noqa: F401 (fixtures)
from tests.conftest import signed_in

# Every kind of character, the ones that formats stumble over more often than chance would have it.
ODD = st.sampled_from(
    "\0\x07\x0b\x0c\x1b\r\n\t\x85\u2028\u2029\ufeff\ufffe\uffff\u202e\u2066\ud83d\\\";:,^=?%<>&'"
)
ANYTHING = st.text(st.one_of(ODD, st.characters()), max_size=200)
VALID = st.text(st.one_of(ODD.filter(lambda one: one != "\ud83d"), st.characters(exclude_categories=["Cs"])))
LONG = st.builds(lambda text, count: text * count, st.text(min_size=1, max_size=3), st.integers(1, 1500))
TEXTS = st.one_of(VALID, LONG.filter(str.isprintable))
DIRTY = "a\x0b\x07b\x85c\u2028d\r\ne\x1b[31m\u202ef"
# One app serves all examples: what earlier ones left behind is in nobody's way.
few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_calendar(text: str) -> Any:
    """Return the events of a calendar that two strict readers can read, with lines as RFC 5545 has them."""
    rows = text.split("\r\n")
    assert rows == [*text.splitlines(), ""]
    assert max(len(row.encode()) for row in rows) <= 75
    found = Calendar.from_ical(text).walk("VEVENT")
    assert [one.errors for one in found if one.errors] == []
    assert len(ics.Calendar(text).events) == len({one["uid"] for one in found})
    return found


def read_email(mail: Email) -> email.message.EmailMessage:
    """Return an email as it is read at the other end, without a defect."""
    letter = ClaimedEmail(**{name: getattr(mail, name) for name in ClaimedEmail.__dataclass_fields__})
    sent = written(letter).as_bytes(policy=email.policy.SMTP)
    assert max(map(len, sent.split(b"\r\n"))) <= 998
    read = email.message_from_bytes(sent, policy=email.policy.default)
    for part in read.walk():
        assert part.defects == []
        assert [value.defects for value in part.values() if value.defects] == []
    calendar = next(read.iter_attachments())
    read_calendar(calendar.get_content().replace("\r\n", "\n").replace("\n", "\r\n"))
    return read


def read_json(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def starts() -> Iterator[datetime]:
    """The free times of the quick chat: each example takes one."""
    first = datetime(2027, 1, 5, 9, tzinfo=UTC)
    days = (first + timedelta(days=day) for day in range(60) if (first + timedelta(days=day)).weekday() < 5)
    return iter(day + timedelta(minutes=15 * at) for day in days for at in range(20))


@pytest.fixture
def visitors(app: Flask) -> Iterator[FlaskClient]:
    """Browsers, each at an address of its own."""

    def fresh(number: int) -> FlaskClient:
        browser = app.test_client()
        browser.environ_base["REMOTE_ADDR"] = f"198.51.{number // 250}.{number % 250 + 1}"
        return browser

    return map(fresh, itertools.count())


def check_all(app: Flask, session: Session, rick: User, uid: str) -> Booking:
    """Look at a booking from every side."""
    booking = session.scalars(select(Booking).where(Booking.uid == uid)).one()
    visitor, host = app.test_client(), signed_in(app, rick)
    read_calendar(visitor.get(f"/calendar/{rick.calendar_token}.ics").text)
    read_calendar(visitor.get(f"/booking/{uid}.ics").text)
    for browser, path in (
        (visitor, f"/booking/{uid}"),
        (host, f"/bookings/{uid}"),
        (host, "/bookings/upcoming"),
    ):
        assert browser.get(path).status_code == 200
    write_emails()
    for mail in session.scalars(select(Email).where(Email.about == uid)):
        assert read_email(mail)["Subject"] == line(mail.subject)
    body = session.scalars(select(Event.body).where(Event.subject == uid)).one()
    assert read_json(body)["payload"]["metadata"] == booking.link_metadata
    read_json("".join(export(session, rick)))
    return booking


@pytest.mark.usefixtures("monday")
def test_v3_whatever_a_visitor_types_strict_readers_read_what_comes_of_it(
    app: Flask, session: Session, rick: User, quick_chat: EventType, starts: Any, visitors: Any
) -> None:
    @few
    @given(name=VALID, notes=TEXTS, reason=TEXTS, values=st.lists(TEXTS, max_size=3))
    def check(name: str, notes: str, reason: str, values: list[str]) -> None:
        start, visitor = next(starts), next(visitors)
        form = {
            "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
            "name": name,
            "time_zone": "Europe/Berlin",
            "notes": notes,
        }
        form |= {"email": f"v{start:%j%H%M}@example.com"}
        form |= {f"metadata[k{at}]": value for at, value in enumerate(values)}
        answer = visitor.post("/rick/quick-chat", data=form)
        assert answer.status_code in {303, 422}
        if answer.status_code == 422:
            return
        booking = check_all(app, session, rick, answer.location.rpartition("/")[2])
        assert booking.notes == clean(notes).strip()
        assert visitor.post(f"/booking/{booking.uid}/cancel", data={"reason": reason}).status_code in {
            303,
            422,
        }
        write_emails()
        for mail in session.scalars(select(Email).where(Email.about == booking.uid)):
            read_email(mail)

    check()
    assert session.scalar(select(func.count(Booking.id))) > 1


JSON = st.recursive(
    st.one_of(ANYTHING, st.booleans(), st.none(), st.floats(), st.integers(-(10**400), 10**400)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANYTHING, inner, max_size=3),
    max_leaves=10,
)
METADATA = st.dictionaries(st.just("k"), ANYTHING) | st.dictionaries(ANYTHING, JSON, max_size=2)


@pytest.mark.usefixtures("monday")
def test_v3_whatever_a_client_sends_strict_readers_read_what_comes_of_it(
    app: Flask, session: Session, rick: User, quick_chat: EventType, starts: Any, visitors: Any
) -> None:
    @few
    @given(
        name=ANYTHING,
        notes=ANYTHING,
        metadata=st.dictionaries(st.just("k") | ANYTHING, JSON, max_size=2),
        more=st.just({}) | st.dictionaries(ANYTHING, JSON, max_size=2),
    )
    def check(name: str, notes: str, metadata: dict[str, Any], more: dict[str, Any]) -> None:
        start = next(starts)
        attendee = {"name": name, "email": f"c{start:%j%H%M}@example.com", "timeZone": "Europe/Berlin"}
        answers = {"notes": notes, **more}
        body = {"start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "eventTypeId": quick_chat.id, "attendee": attendee}
        body |= {"metadata": metadata, "bookingFieldsResponses": answers}
        answer = next(visitors).post("/v2/bookings", data=json.dumps(body), content_type="application/json")
        assert answer.status_code in {201, 400}
        if answer.status_code == 201:
            check_all(app, session, rick, read_json(answer.text)["data"]["uid"])

    check()
    assert session.scalar(select(func.count(Booking.id))) > 1


def test_v3_whatever_a_host_types_is_clean(
    app: Flask, session: Session, rick: User, rick_client: FlaskClient
) -> None:
    @few
    @given(VALID)
    def check(text: str) -> None:
        form = {"title": text, "slug": "s", "length": "15", "description": text, "location": text}
        form |= {"location_kind": "in_person", "question_label": text}
        assert rick_client.post("/event-types/new", data=form).status_code in {303, 409, 422}
        profile = {"name": text, "email": "rick@example.com", "time_zone": "Europe/Berlin"}
        assert rick_client.post("/settings", data=profile).status_code in {303, 422}
        for made in session.scalars(select(EventType)):
            assert (made.title, made.location) == (line(made.title), line(made.location))
            assert made.description == clean(made.description)
        assert session.scalars(select(User.name)).one() == line(session.scalars(select(User.name)).one())

    check()


@pytest.mark.usefixtures("monday")
def test_v3_what_was_stored_before_comes_out_right(
    app: Flask, session: Session, rick: User, book: Callable[..., Booking]
) -> None:
    uid = book().uid
    with transaction() as writing:
        writing.execute(update(User).values(name=DIRTY))
        writing.execute(update(Booking).values(title=DIRTY, notes=DIRTY, location=DIRTY))
        writing.execute(update(Attendee).values(name=DIRTY))
        writing.execute(update(Email).values(subject=DIRTY, body=DIRTY))
    check_all(app, session, rick, uid)


@pytest.mark.parametrize(
    "path", ["/rick/{}", "/{}", "/booking/{}", "/login?next={}", "/v2/{}", "/hooks/in/{}"]
)
def test_v4_whatever_stands_in_an_address_is_answered(app: Flask, quick_chat: EventType, path: str) -> None:
    @few
    @given(st.binary(max_size=50) | VALID.map(str.encode))
    def check(odd: bytes) -> None:
        answer = app.test_client().get(path.replace("{}", quote(odd)))
        assert answer.status_code in {200, 301, 302, 303, 308, 404, 405}

    check()


@given(ANYTHING)
def test_v3_a_line_of_the_log_is_one_line(text: str) -> None:
    record = logging.LogRecord(
        "x", logging.INFO, "", 1, "It says %s", (text,), (ValueError, ValueError(text), None)
    )
    record.said = {"said": text}
    first, *rest = logs.Lines("web").format(record).split("\n")
    assert first.isprintable()
    assert all(one.startswith("  ") for one in rest)
    read_json(logs.JsonLines("web").format(record))
