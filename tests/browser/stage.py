"""Three hosts in a running Calapp: Ada with everything, Zoe with nothing, Max with 200 webhooks."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask
from sqlalchemy.orm import Session

from app import create_app
from calapp import config
from calapp.accounts.links import LIFETIMES, PATHS
from calapp.accounts.models import AccountLink, ApiKey, LinkPurpose, User
from calapp.availability.models import DateOverride, Schedule, TimeOff, WeeklyHours
from calapp.availability.service import default_schedule
from calapp.bookings.models import Attendee, Booking, Status
from calapp.calendars import service as calendars
from calapp.calendars.models import CalendarAccount, CalendarKind, ExternalBusy, ExternalCalendar
from calapp.calendars.schemas import CalendarInput
from calapp.clock import now
from calapp.db import db, transaction
from calapp.deliveries import outbox, signing
from calapp.deliveries.models import Attempt, Delivery, Event, Notice, Replay, State
from calapp.encryption import hashed
from calapp.event_types.models import EventType
from calapp.integrations.models import Inspector, InspectorRequest
from calapp.integrations.samples import sample_envelope
from calapp.mail import Email
from calapp.webhooks.models import DEFAULT, OF_BOOKINGS, OffReason, Webhook, WebhookChange
from tests.conftest import make_user

ALL = [str(trigger) for trigger in OF_BOOKINGS]
THREE = [str(trigger) for trigger in DEFAULT]
LONG = "https://very-long-name.hooks.customers.example.com/v1/tenants/7f3c2e1a-9f0e-4a64/calendar?token=abcdefghijklmnopqrstuvwxyz0123456789"
REFUSED = "The connection was refused by 203.0.113.9: nothing listens on port 443."
HEADERS = "content-type: application/json\nserver: nginx\ndate: Mon, 04 Jan 2027 09:30:00 GMT"


@dataclass
class Stage:
    """The addresses of what was set up, and the sessions of its hosts."""

    cookies: dict[str, str] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Host:
    """A host of one test, and the session cookie of a browser in which they are signed in."""

    id: int
    username: str
    cookie: str

    def user(self, session: Session) -> User:
        """Return the host's row."""
        return session.get_one(User, self.id)


@cache
def app_on(data_dir: Path) -> Flask:
    """Make an app on the database of a running Calapp, once."""
    return create_app(config.prepare({}, data_dir=data_dir))


@contextmanager
def connected(data_dir: Path) -> Iterator[Flask]:
    """Enter an app on the database of a running Calapp."""
    app = app_on(data_dir)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def set_up(data_dir: Path) -> Stage:
    """Put the three hosts into the database of a running Calapp."""
    stage = Stage()
    with connected(data_dir) as app, transaction() as session:
        for name, build in (("ada", build_ada), ("zoe", build_nothing), ("max", build_max)):
            user = make_user(name)
            session.add(user)
            session.flush()
            build(session, user, stage)
            stage.cookies[name] = cookie_of(app, user)
    return stage


def cookie_of(app: Flask, user: User) -> str:
    """Return the session cookie of a browser in which this host is signed in."""
    serializer = app.session_interface.get_signing_serializer(app)
    return serializer.dumps({"_user_id": user.get_id(), "_fresh": True})


def new_host(app: Flask, session: Session, name: str) -> Host:
    """Make a host who is free at every hour of tomorrow and later, and offers a quick chat.

    So that a day has many times whatever the time is, and none of them passes while a test looks at it.
    """
    here = now().astimezone(ZoneInfo("Europe/Berlin"))
    notice = 24 * 60 - here.hour * 60 - here.minute + 7
    user = make_user(name)
    user.checklist_done_at = now()
    session.add(user)
    session.flush()
    session.add_all(
        WeeklyHours(user_id=user.id, weekday=day, start_minute=0, end_minute=1440) for day in range(7)
    )
    session.add(EventType(user_id=user.id, title="Quick chat", slug="quick-chat", length=15, notice=notice))
    return Host(user.id, name, cookie_of(app, user))


def build_nothing(session: Session, user: User, stage: Stage) -> None:
    """Leave a host as a sign-up does."""


def build_max(session: Session, user: User, stage: Stage) -> None:
    """Give a host 200 webhooks, each with tries of the last day."""
    at = now()
    for number in range(200):
        webhook = add_webhook(
            session, user, f"https://hooks.example.com/customers/{number:03}", active=number % 20 != 0
        )
        for hour in range(2):
            delivery = add_delivery(session, user, webhook, State.DELIVERED, at - timedelta(hours=hour))
            session.add(attempt_of(delivery, 500 if (number + hour) % 9 == 0 else 200))


def build_ada(session: Session, user: User, stage: Stage) -> None:
    """Give a host everything, in every state."""
    user.checklist_done_at = now()
    session.add_all(
        WeeklyHours(user_id=user.id, weekday=day, start_minute=540, end_minute=1020) for day in range(5)
    )
    session.add(DateOverride(user_id=user.id, date=(now() + timedelta(days=9)).date()))
    default_schedule(session, user)
    session.add(Schedule(user_id=user.id, name="Evenings in another zone", own_time_zone="America/New_York"))
    day = (now() + timedelta(days=12)).date()
    session.add(TimeOff(user_id=user.id, first_day=day, last_day=day + timedelta(days=2), note="Skiing"))
    chat = add_event_types(session, user)
    stage.pages["event type"] = f"/event-types/{chat.id}"
    add_keys(session, user)
    add_bookings(session, user, chat, stage)
    add_inspector(session, user)
    add_webhooks(session, user, chat, stage)
    add_account(session, user, stage)
    add_calendar(session, user, stage)
    for page, purpose in (("reset password", LinkPurpose.PASSWORD), ("confirm email", LinkPurpose.EMAIL)):
        stage.pages[page] = add_link(session, user, purpose)


def add_link(session: Session, user: User, purpose: LinkPurpose) -> str:
    """Add a link as it is sent by email, and return its path."""
    token = secrets.token_urlsafe(32)
    link = AccountLink(user_id=user.id, purpose=purpose, email=user.email, token_hash=hashed(token))
    link.expires_at = now() + LIFETIMES[purpose]
    session.add(link)
    return f"/{PATHS[purpose]}/{token}"


def add_event_types(session: Session, user: User) -> EventType:
    chat = EventType(
        user_id=user.id,
        title="30 minute meeting",
        slug="30min",
        length=30,
        description="A quick chat about anything. Bring questions.",
        location_kind="link",
        location="https://meet.example.com/ada",
        questions=[
            {"name": "company", "label": "Company", "type": "text", "required": True, "options": []},
            {
                "name": "size",
                "label": "How many are you?",
                "type": "select",
                "required": False,
                "options": ["1–10", "more"],
            },
        ],
    )
    asks = EventType(
        user_id=user.id,
        title="Interview",
        slug="interview",
        length=60,
        requires_confirmation=True,
        position=1,
    )
    hidden = EventType(
        user_id=user.id,
        title="A" * 60 + " " + "long title " * 3,
        slug="hidden",
        length=15,
        hidden=True,
        position=2,
    )
    session.add_all((chat, asks, hidden))
    session.flush()
    return chat


def add_calendar(session: Session, user: User, stage: Stage) -> None:
    """Add a calendar that has blocked times and cannot be read any more."""
    at = now()
    calendar = ExternalCalendar(user_id=user.id, kind=CalendarKind.ICS, left_out=2)
    calendars.apply(calendar, CalendarInput(address="https://calendar.example.com/a.ics", name="Home"))
    calendar.last_read_at, calendar.due_at = at - timedelta(hours=3), at + timedelta(days=30)
    calendar.error_code, calendar.error = "status_404", "There is no calendar at this address (404)."
    calendar.error_since = calendar.told_at = calendar.changed_at = at - timedelta(hours=2)
    session.add(calendar)
    session.flush()
    session.add_all(
        ExternalBusy(
            calendar_id=calendar.id,
            starts_at=at + timedelta(hours=9 * number),
            ends_at=at + timedelta(hours=9 * number + 1 + number % 4),
        )
        for number in range(18)
    )
    for page in ("edit", "remove"):
        stage.pages[f"calendar {page}"] = f"/integrations/calendars/{calendar.id}/{page}"


def add_account(session: Session, user: User, stage: Stage) -> None:
    """Add a CalDAV account with a calendar that bookings are written to."""
    url = "https://dav.example.com/ada/work/"
    one = {"url": url, "name": "Work", "color": "", "writable": True}
    account = CalendarAccount(
        user_id=user.id, address="https://dav.example.com/", username="ada", found=[one]
    )
    account.set_password("app password")
    calendar = ExternalCalendar(user_id=user.id, kind=CalendarKind.CALDAV, account=account, writes=True)
    calendars.apply(calendar, CalendarInput(address=url, name="Work", blocks=False))
    session.add(calendar)
    session.flush()
    for page in ("calendars", "password", "remove"):
        stage.pages[f"account {page}"] = f"/integrations/calendars/accounts/{account.id}/{page}"


def add_keys(session: Session, user: User) -> None:
    for name, scopes in (("Reporting", ["read"]), ("Everything", ["read", "write", "read_secrets"])):
        key = ApiKey(
            user_id=user.id, name=name, key_hash=secrets.token_hex(32), hint="cal_9f3a2b", scopes=scopes
        )
        key.last_used_at = now() if name == "Everything" else None
        session.add(key)


def add_bookings(session: Session, user: User, chat: EventType, stage: Stage) -> None:
    """Add 60 bookings: coming, waiting, over, cancelled."""
    monday = (now() + timedelta(days=7)).replace(hour=9, minute=0, second=0, microsecond=0)
    for number in range(60):
        status = (
            Status.ACCEPTED,
            Status.ACCEPTED,
            Status.ACCEPTED,
            Status.PENDING,
            Status.CANCELLED,
            Status.REJECTED,
        )[number % 6]
        starts_at = (
            monday + timedelta(days=number) if number % 6 != 1 else monday - timedelta(days=10 + number)
        )
        booking = booking_of(user, chat, status, starts_at, number)
        session.add(booking)
        session.flush()
        stage.pages.setdefault(f"booking {status}", f"/booking/{booking.uid}")
        stage.pages.setdefault("embedded booking", f"/booking/{booking.uid}/embed")
        stage.pages.setdefault(f"host's booking {status}", f"/bookings/{booking.uid}")
        stage.pages.setdefault("all of a visitor", f"/bookings/{booking.uid}/cancel-all")
    waiting = Email(
        user_id=user.id, about=booking.uid, recipient="ada@example.com", subject="Booked", body=""
    )
    waiting.parked_at = now()
    session.add(waiting)


def booking_of(user: User, chat: EventType, status: Status, starts_at: datetime, number: int) -> Booking:
    uid = secrets.token_hex(10)
    metadata = (
        {"user_id": "123", "plan": "gold"} if number % 2 == 0 else {f"key{at}": "v" * 60 for at in range(6)}
    )
    booking = Booking(
        uid=uid,
        chain=uid,
        host_id=user.id,
        event_type_id=chat.id,
        status=status,
        title=f"30 minute meeting between Ada and Bob {number}",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=30),
        started_at=starts_at,
        ended_at=starts_at,
        time_zone="America/New_York",
        location="https://meet.example.com/ada",
        notes="Please bring the contract.\nAnd cake.",
        link_metadata=metadata,
        metadata_left_out=["metadata[a][b]: the key may have letters, digits, _ . -"]
        if number % 4 == 0
        else [],
        cancellation_reason="I am ill." if status == Status.CANCELLED else None,
        cancelled_by="bob@example.com" if status == Status.CANCELLED else None,
        rejection_reason="No time." if status == Status.REJECTED else None,
    )
    people = [("Bob Builder", "bob@example.com"), ("Eve", "eve.with.a.rather.long.address@mail.example.com")]
    booking.attendees = [
        Attendee(position=at, name=name, email=email, time_zone="America/New_York")
        for at, (name, email) in enumerate(people)
    ]
    return booking


def add_inspector(session: Session, user: User) -> None:
    inspector = Inspector(user_id=user.id, fail_next=2)
    session.add(inspector)
    session.flush()
    text = outbox.encoded(sample_envelope(user, "http://127.0.0.1:5000", "BOOKING_CREATED"))
    headers = [
        ["Content-Type", "application/json"],
        ["X-Cal-Signature-256", "f" * 64],
        ["webhook-id", "evt_1"],
    ]
    for signature, status in (("good", 200), ("bad", 200), ("none", 500)):
        session.add(
            InspectorRequest(
                user_id=user.id,
                headers=headers,
                body=text if signature != "none" else "hello",
                trigger="BOOKING_CREATED" if signature != "none" else None,
                signature=signature,
                status=status,
            )
        )


def add_webhook(session: Session, user: User, url: str, **more: Any) -> Webhook:
    webhook = Webhook(user_id=user.id, subscriber_url=url, **{"triggers": THREE, **more})
    session.add(webhook)
    session.flush()
    return webhook


def add_webhooks(session: Session, user: User, chat: EventType, stage: Stage) -> None:
    """Add a webhook in each state: well, failing, off, gone, parked, long, chatty."""
    at = now()
    well = add_webhook(
        session,
        user,
        "https://hooks.example.com/calapp",
        triggers=ALL,
        secret=signing.new_secret(),
        headers=[["Authorization", "Bearer hush-hush"]],
    )
    for hour in range(120):
        delivery = add_delivery(
            session, user, well, State.DELIVERED, at - timedelta(minutes=10 * (120 - hour))
        )
        session.add(attempt_of(delivery, 200, slow=hour % 13 == 0))
    stage.pages["log"] = f"/integrations/webhooks/{well.id}/deliveries"
    stage.pages["delivered"] = f"{stage.pages['log']}/{delivery.id}"
    stage.pages["box"] = f"/integrations/webhooks/{well.id}/edit"
    add_failing(session, user, stage)
    off = add_webhook(
        session, user, LONG, active=False, off_reason=OffReason.FAILING, off_at=at, event_type_id=chat.id
    )
    for _ in range(3):
        add_delivery(session, user, off, State.PARKED, at, reason="The webhook was off.")
    stage.pages["parked"] = f"/integrations/webhooks/{off.id}/parked"
    add_webhook(
        session, user, "https://gone.example.com/", active=False, off_reason=OffReason.GONE, off_at=at
    )
    discord = '{\n  "content": "{{triggerEvent}}: {{title}}, {{startTime}} {{nobody.knows}}"\n}'
    custom = add_webhook(session, user, "https://discord.com/api/webhooks/1/abc", payload_template=discord)
    stage.pages["custom box"] = f"/integrations/webhooks/{custom.id}/edit"
    words = "Every try has failed for 60 hours. It is switched off on 9 January unless one succeeds."
    session.add(Notice(user_id=user.id, webhook_id=off.id, kind="warning", text=words, details={"url": LONG}))


def add_failing(session: Session, user: User, stage: Stage) -> None:
    """Add a webhook whose tries fail, with a replay that waits for it."""
    at = now()
    failing = add_webhook(
        session,
        user,
        "https://down.example.com/hook",
        name="Warehouse",
        max_per_second=5,
        failures=9,
        failing_since=at - timedelta(hours=60),
        first_failed_at=at - timedelta(hours=60),
        unhealthy_since=at - timedelta(hours=60),
        failing_announced=True,
        backoff_until=at + timedelta(minutes=20),
    )
    for number in range(200):
        delivery = add_delivery(
            session,
            user,
            failing,
            State.WAITING,
            at - timedelta(minutes=300 - number),
            due_at=at + timedelta(hours=3),
            reason=REFUSED,
            attempts=1,
            attempts_on_schedule=1,
        )
        session.add(attempt_of(delivery, (None, 500, 404)[number % 3]))
    delivery = add_delivery(session, user, failing, State.FAILED, at - timedelta(hours=9), reason=REFUSED)
    session.add_all(
        attempt_of(delivery, status, number=number) for number, status in enumerate((500, None, 429), 1)
    )
    add_delivery(
        session, user, failing, State.EXPIRED, at - timedelta(hours=9), reason="The meeting is over."
    )
    session.add(
        Replay(
            webhook_id=failing.id,
            from_at=at - timedelta(days=1),
            to_at=at,
            only_failed=True,
            total=900,
            done=340,
        )
    )
    stage.pages["failing log"] = f"/integrations/webhooks/{failing.id}/deliveries"
    stage.pages["failed"] = f"{stage.pages['failing log']}/{delivery.id}"
    stage.pages["event"] = f"/integrations/events/{delivery.event.uid}"
    failing.payload_template = '{"text": "{{title}}"}'  # since then
    url = "https://before.example.com/hook"
    session.add(WebhookChange(webhook_id=failing.id, at=at, old_url=url, secret=True, headers=True))


def add_delivery(
    session: Session, user: User, webhook: Webhook, state: State, at: datetime, **more: Any
) -> Delivery:
    """Add an event and its delivery."""
    user.last_event_number += 1
    trigger = ALL[user.last_event_number % 4]
    uid = secrets.token_hex(10)
    event = Event(
        uid=outbox.new_event_id(),
        user_id=user.id,
        number=user.last_event_number,
        trigger=trigger,
        chain=uid,
        sequence=1,
        subject=uid,
        search="bob builder bob@example.com user_id 123",
        body=outbox.encoded(sample_envelope(user, "http://127.0.0.1:5000", trigger)),
        created_at=at,
    )
    ended = at if state not in {State.WAITING, State.PARKED} else None
    delivery = Delivery(
        event=event,
        webhook_id=webhook.id,
        chain=uid,
        state=state,
        created_at=at,
        finished_at=ended,
        **{"attempts": 1 if ended else 0, "attempts_on_schedule": 1 if ended else 0, **more},
    )
    session.add(delivery)
    session.flush()
    return delivery


def attempt_of(delivery: Delivery, status: int | None, *, number: int = 1, slow: bool = False) -> Attempt:
    good = status == 200
    failure = None if good else (f"Answered {status}." if status else REFUSED)
    total = 1840.0 if slow else 62.5
    return Attempt(
        delivery_id=delivery.id,
        webhook_id=delivery.webhook_id,
        number=number,
        at=delivery.created_at,
        status=status,
        failure=failure,
        name_ms=4.2,
        connect_ms=11.0,
        tls_ms=23.1 if status else None,
        first_byte_ms=total - 41 if status else None,
        total_ms=total,
        response_headers=HEADERS if status else "",
        response_body='{"ok": true}' if good else "<h1>Bad gateway</h1>",
    )
