"""Who may do what: every address and method against signed-out people, strangers and keys that ended."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from calapp.accounts.models import ApiKey, User
from calapp.accounts.service import create_api_key, revoke_api_key
from calapp.availability.models import Schedule, TimeOff
from calapp.bookings.models import Booking
from calapp.calendars.models import CalendarAccount, CalendarKind, ExternalCalendar
from calapp.config import Settings
from calapp.db import transaction
from calapp.deliveries.models import Delivery, Notice
from calapp.event_types.models import EventType
from calapp.integrations.models import Inspector, InspectorRequest
from calapp.monitoring import service
from calapp.webhooks.models import OF_BOOKINGS, Webhook
from tests.bookings.conftest import book, monday  # noqa: F401 (fixtures)
from tests.conftest import signed_in
from tests.monitoring.rows import deliveries
from tests.privacy.traces import dump

# all: everybody. link: whoever knows the address, whose secret part is unknown to others. host: who is signed
# in, about oneself. own: the host whose row it is. key: who has an API key. own-key: the owner's API key.
WHO = """
GET     /                                                                    all
GET     /<user>                                                              all
GET     /<user>/<slug>                                                       all
POST    /<user>/<slug>                                                       all
GET     /<user>/<slug>/embed                                                 all
POST    /<user>/<slug>/embed                                                 all
GET     /<user>/embed                                                        all
GET     /availability                                                        host
POST    /availability                                                        host
GET     /availability/<int:schedule_id>                                      own
POST    /availability/<int:schedule_id>                                      own
POST    /availability/<int:schedule_id>/default                              own
GET     /availability/<int:schedule_id>/delete                               own
POST    /availability/<int:schedule_id>/delete                               own
POST    /availability/<int:schedule_id>/overrides                            own
POST    /availability/<int:schedule_id>/overrides/<date>/delete              own
GET     /availability/new                                                    host
POST    /availability/new                                                    host
POST    /availability/time-off                                               host
POST    /availability/time-off/<int:time_off_id>/delete                      host
POST    /availability/overrides                                              host
POST    /availability/overrides/<date>/delete                                host
GET     /booking/<uid>                                                       link
GET     /booking/<uid>.ics                                                   link
GET     /booking/<uid>/cancel                                                link
POST    /booking/<uid>/cancel                                                link
GET     /booking/<uid>/cancel/embed                                          link
POST    /booking/<uid>/cancel/embed                                          link
GET     /booking/<uid>/embed                                                 link
GET     /booking/<uid>/reschedule                                            link
POST    /booking/<uid>/reschedule                                            link
GET     /booking/<uid>/reschedule/embed                                      link
POST    /booking/<uid>/reschedule/embed                                      link
GET     /bookings/<uid>                                                      own
GET     /bookings/<uid>/cancel                                               own
POST    /bookings/<uid>/cancel                                               own
GET     /bookings/<uid>/cancel-all                                           own
POST    /bookings/<uid>/cancel-all                                           own
POST    /bookings/<uid>/confirm                                              own
POST    /bookings/<uid>/no-show                                              own
GET     /bookings/<uid>/reject                                               own
POST    /bookings/<uid>/reject                                               own
GET     /bookings/<uid>/edit                                                 own
POST    /bookings/<uid>/edit                                                 own
GET     /bookings/cancelled                                                  host
GET     /bookings/cancelled.csv                                              host
POST    /bookings/emails/discard                                             host
POST    /bookings/emails/send                                                host
GET     /bookings/past                                                       host
GET     /bookings/past.csv                                                   host
GET     /bookings/unconfirmed                                                host
GET     /bookings/unconfirmed.csv                                            host
GET     /bookings/upcoming                                                   host
GET     /bookings/upcoming.csv                                               host
GET     /calendar/<token>.ics                                                link
GET     /embed/embed.js                                                      all
GET     /event-types                                                         host
GET     /event-types/<int:event_type_id>                                     own
POST    /event-types/<int:event_type_id>                                     own
GET     /event-types/<int:event_type_id>/delete                              own
POST    /event-types/<int:event_type_id>/delete                              own
POST    /event-types/<int:event_type_id>/hide                                own
GET     /event-types/<int:event_type_id>/link                                own
POST    /event-types/<int:event_type_id>/link                                own
POST    /event-types/<int:event_type_id>/move                                own
GET     /event-types/new                                                     host
POST    /event-types/new                                                     host
GET     /forgot-password                                                     all
POST    /forgot-password                                                     all
GET     /healthz                                                             all
POST    /hooks/in/<token>                                                    link
GET     /integrations                                                        host
GET     /integrations/api-keys/<int:key_id>/revoke                           host
POST    /integrations/api-keys/<int:key_id>/revoke                           own
GET     /integrations/api-keys/new                                           host
POST    /integrations/api-keys/new                                           host
GET     /integrations/calendar/renew                                         host
POST    /integrations/calendar/renew                                         host
GET     /integrations/calendars                                              host
GET     /integrations/calendars/<int:calendar_id>/edit                       own
POST    /integrations/calendars/<int:calendar_id>/edit                       own
POST    /integrations/calendars/<int:calendar_id>/dismiss                    own
POST    /integrations/calendars/<int:calendar_id>/read                       own
GET     /integrations/calendars/<int:calendar_id>/remove                     own
POST    /integrations/calendars/<int:calendar_id>/remove                     own
GET     /integrations/calendars/accounts/<int:account_id>/calendars          own
POST    /integrations/calendars/accounts/<int:account_id>/calendars          own
GET     /integrations/calendars/accounts/<int:account_id>/password           own
POST    /integrations/calendars/accounts/<int:account_id>/password           own
GET     /integrations/calendars/accounts/<int:account_id>/remove             own
POST    /integrations/calendars/accounts/<int:account_id>/remove             own
GET     /integrations/calendars/accounts/new                                 host
POST    /integrations/calendars/accounts/new                                 host
GET     /integrations/calendars/new                                          host
POST    /integrations/calendars/new                                          host
GET     /integrations/first-steps                                            host
POST    /integrations/checklist                                              host
GET     /integrations/deliveries                                             host
GET     /integrations/embed                                                  host
GET     /integrations/events/<event_uid>                                     own
GET     /integrations/guide                                                  host
GET     /integrations/inspector                                              host
POST    /integrations/inspector                                              host
POST    /integrations/inspector/clear                                        host
GET     /integrations/inspector/requests                                     host
GET     /integrations/inspector/requests/<int:request_id>                    own
GET     /integrations/link-keys/<int:key_id>/end                             host
POST    /integrations/link-keys/<int:key_id>/end                             own
GET     /integrations/link-keys/new                                          host
POST    /integrations/link-keys/new                                          host
POST    /integrations/notices/<int:notice_id>/dismiss                        own
GET     /integrations/webhooks/<int:webhook_id>/delete                       own
POST    /integrations/webhooks/<int:webhook_id>/delete                       own
GET     /integrations/webhooks/<int:webhook_id>/deliveries                   own
GET     /integrations/webhooks/<int:webhook_id>/deliveries/<int:delivery_id> own
POST    /integrations/webhooks/<int:webhook_id>/deliveries/<int:delivery_id>/resend own
GET     /integrations/webhooks/<int:webhook_id>/deliveries/replay            own
POST    /integrations/webhooks/<int:webhook_id>/deliveries/replay            own
POST    /integrations/webhooks/<int:webhook_id>/deliveries/replay/stop       own
GET     /integrations/webhooks/<int:webhook_id>/edit                         own
POST    /integrations/webhooks/<int:webhook_id>/edit                         own
GET     /integrations/webhooks/<int:webhook_id>/parked                       own
POST    /integrations/webhooks/<int:webhook_id>/parked                       own
POST    /integrations/webhooks/<int:webhook_id>/ping                         own
GET     /integrations/webhooks/<int:webhook_id>/toggle                       own
POST    /integrations/webhooks/<int:webhook_id>/toggle                       own
GET     /integrations/webhooks/failing                                       host
GET     /integrations/webhooks/health                                        host
POST    /integrations/webhooks/inspector                                     host
GET     /integrations/webhooks/new                                           host
POST    /integrations/webhooks/new                                           host
POST    /integrations/webhooks/offer                                         host
POST    /integrations/webhooks/ping                                          host
POST    /integrations/webhooks/preview                                       host
GET     /login                                                               all
POST    /login                                                               all
GET     /login/unsaved                                                       host
POST    /login/unsaved                                                       host
POST    /login/unsaved/discard                                               host
POST    /logout                                                              all
GET     /metrics                                                             all
GET     /reset-password/<token>                                              all
POST    /reset-password/<token>                                              all
GET     /settings                                                            host
POST    /settings                                                            host
POST    /settings/delete                                                     host
POST    /settings/email/keep                                                 host
POST    /settings/email/send                                                 host
GET     /settings/email/<token>                                              all
POST    /settings/email/<token>                                              all
POST    /settings/password                                                   host
POST    /settings/sessions/<int:session_id>/end                              host
POST    /settings/sign-out-everywhere                                        host
GET     /signup                                                              all
POST    /signup                                                              all
GET     /static/<path:filename>                                              all
DELETE  /v1/<path:_rest>                                                     all
GET     /v1/<path:_rest>                                                     all
PATCH   /v1/<path:_rest>                                                     all
POST    /v1/<path:_rest>                                                     all
GET     /v2/bookings                                                         key
POST    /v2/bookings                                                         all
GET     /v2/bookings/<uid>                                                   link
PATCH   /v2/bookings/<uid>                                                   own-key
PATCH   /v2/bookings/<uid>/location                                          own-key
POST    /v2/bookings/<uid>/guests                                            own-key
GET     /v2/bookings/<uid>/attendees                                         own-key
POST    /v2/bookings/<uid>/attendees                                         own-key
GET     /v2/bookings/<uid>/attendees/<int:attendee_id>                       own-key
DELETE  /v2/bookings/<uid>/attendees/<int:attendee_id>                       own-key
GET     /v2/bookings/<uid>/calendar-links                                    link
POST    /v2/bookings/<uid>/cancel                                            link
POST    /v2/bookings/<uid>/confirm                                           own-key
POST    /v2/bookings/<uid>/decline                                           own-key
POST    /v2/bookings/<uid>/mark-absent                                       own-key
POST    /v2/bookings/<uid>/request-reschedule                                own-key
POST    /v2/bookings/<uid>/reschedule                                        link
GET     /v2/calendars                                                        key
DELETE  /v2/calendars/<int:calendar_id>                                      own-key
GET     /v2/calendars/busy-times                                             key
GET     /v2/calendars/ics-feed/check                                         key
POST    /v2/calendars/ics-feed/save                                          key
GET     /v2/deliveries/<int:delivery_id>                                     own-key
POST    /v2/deliveries/<int:delivery_id>/resend                              own-key
GET     /v2/docs                                                             all
GET     /v2/event-types                                                      key
POST    /v2/event-types                                                      key
GET     /v2/event-types/<int:event_type_id>                                  own-key
PATCH   /v2/event-types/<int:event_type_id>                                  own-key
DELETE  /v2/event-types/<int:event_type_id>                                  own-key
GET     /v2/event-types/<int:event_type_id>/webhooks                         own-key
POST    /v2/event-types/<int:event_type_id>/webhooks                         own-key
DELETE  /v2/event-types/<int:event_type_id>/webhooks                         own-key
GET     /v2/event-types/<int:event_type_id>/webhooks/<webhook_id>            own-key
PATCH   /v2/event-types/<int:event_type_id>/webhooks/<webhook_id>            own-key
DELETE  /v2/event-types/<int:event_type_id>/webhooks/<webhook_id>            own-key
GET     /v2/events                                                           key
POST    /v2/links                                                            own-key
GET     /v2/me                                                               key
PATCH   /v2/me                                                               key
GET     /v2/openapi.json                                                     all
GET     /v2/schedules                                                        key
POST    /v2/schedules                                                        key
GET     /v2/schedules/<int:schedule_id>                                      own-key
PATCH   /v2/schedules/<int:schedule_id>                                      own-key
DELETE  /v2/schedules/<int:schedule_id>                                      own-key
GET     /v2/schedules/default                                                key
GET     /v2/slots                                                            all
GET     /v2/slots/available                                                  all
POST    /v2/slots/reservations                                               all
GET     /v2/slots/reservations/<uid>                                         link
PATCH   /v2/slots/reservations/<uid>                                         link
DELETE  /v2/slots/reservations/<uid>                                         link
GET     /v2/timezones                                                        all
GET     /v2/webhooks                                                         key
POST    /v2/webhooks                                                         key
GET     /v2/webhooks/<webhook_id>                                            own-key
PATCH   /v2/webhooks/<webhook_id>                                            own-key
DELETE  /v2/webhooks/<webhook_id>                                            own-key
GET     /v2/webhooks/<webhook_id>/deliveries                                 own-key
POST    /v2/webhooks/<webhook_id>/ping                                       own-key
POST    /v2/webhooks/<webhook_id>/replay                                     own-key
GET     /v2/webhooks/<webhook_id>/replay                                     own-key
DELETE  /v2/webhooks/<webhook_id>/replay                                     own-key
GET     /v2/webhooks/<webhook_id>/parked                                     own-key
POST    /v2/webhooks/<webhook_id>/parked/release                             own-key
POST    /v2/webhooks/<webhook_id>/parked/discard                             own-key
"""
# What a request needs to get as far as the row that it is about.
JSON_BODIES = {
    ("PATCH", "/v2/event-types/<int:event_type_id>"): {"title": "Taken over"},
    ("PATCH", "/v2/schedules/<int:schedule_id>"): {"name": "Taken over"},
    ("POST", "/v2/event-types/<int:event_type_id>/webhooks"): {
        "subscriberUrl": "https://hooks.example/mine",
        "triggers": ["BOOKING_CREATED"],
    },
    ("PATCH", "/v2/event-types/<int:event_type_id>/webhooks/<webhook_id>"): {"active": False},
    ("PATCH", "/v2/webhooks/<webhook_id>"): {"active": False},
    ("POST", "/v2/links"): {"eventTypeId": 1},
    ("POST", "/v2/bookings/<uid>/reschedule"): {"start": "2027-01-05T11:00:00Z"},
    ("PATCH", "/v2/bookings/<uid>/location"): {"location": {"type": "address", "address": "Room 5"}},
    ("POST", "/v2/bookings/<uid>/guests"): {"guests": [{"email": "eve@example.com"}]},
    ("POST", "/v2/bookings/<uid>/attendees"): {
        "name": "Eve",
        "email": "eve@example.com",
        "timeZone": "Europe/Paris",
    },
    ("POST", "/v2/bookings/<uid>/mark-absent"): {"attendees": [{"email": "ada@example.com", "absent": True}]},
    ("POST", "/v2/webhooks/<webhook_id>/replay"): {
        "from": "2027-01-01T00:00:00Z",
        "to": "2027-01-09T00:00:00Z",
    },
}


@dataclass(frozen=True)
class Entry:
    """A line of the table."""

    method: str
    rule: str
    who: str


TABLE = [Entry(*line.split()) for line in WHO.strip().split("\n")]


def of(*who: str) -> list[Entry]:
    return [entry for entry in TABLE if entry.who in who]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, rate_limits="off")


@dataclass
class World:
    """Everything of Rick's that a stranger could reach for, and how it is reached."""

    app: Flask
    rick: User
    bob: User
    values: dict[str, object]

    def path(self, entry: Entry, **other: object) -> str:
        values = self.values | other
        if entry.rule.startswith("/v2"):
            values["webhook_id"] = values["webhook_uid"]
        text = entry.rule.replace("<int:", "<").replace("<path:", "<")
        for name, value in values.items():
            text = text.replace(f"<{name}>", str(value))
        return text

    def send(self, browser: FlaskClient, entry: Entry, key: str = "", **other: object) -> TestResponse:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        body = JSON_BODIES.get((entry.method, entry.rule), {})
        json = {"json": body} if entry.rule.startswith("/v2") and entry.method != "GET" else {}
        with browser.open(self.path(entry, **other), method=entry.method, headers=headers, **json) as answer:
            answer.get_data()
            check_headers(answer)
            assert answer.status_code < 500 or entry.rule == "/hooks/in/<token>", entry
            return answer

    def key(self, user: User, *scopes: str, revoked: bool = False) -> str:
        with transaction() as session:
            key, plain = create_api_key(session, user, "test", scopes or ("read", "write", "read_secrets"))
            if revoked:
                revoke_api_key(session, user.id, key.id)
        return plain


def check_headers(answer: TestResponse) -> None:
    """Every answer, whatever it is, says what the browser may do with it."""
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'; ")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Referrer-Policy" in answer.headers


@pytest.fixture
def world(
    app: Flask,
    rick: User,
    bob: User,
    quick_chat: EventType,
    saved: Callable[..., None],
    book: Callable[..., Booking],
) -> World:
    triggers = [str(one) for one in OF_BOOKINGS]
    hook = Webhook(user_id=rick.id, subscriber_url="https://hooks.example/in", triggers=triggers)
    saved(hook)
    booking, inspector = book(), Inspector(user_id=rick.id)
    notice = Notice(user_id=rick.id, webhook_id=hook.id, kind="warning", text="Look")
    schedule = Schedule(user_id=rick.id, name="Evenings", own_time_zone="Europe/Berlin")
    day = date(2027, 2, 1)
    off = TimeOff(user_id=rick.id, first_day=day, last_day=day)
    saved(inspector, notice, schedule, off)
    seen = InspectorRequest(user_id=rick.id, headers=[], body="", signature="none", status=200)
    saved(seen)
    calendar = ExternalCalendar(
        user_id=rick.id, kind=CalendarKind.ICS, name="Work", place="calendar.example", address_hash="1"
    )
    calendar.address = "https://calendar.example/secret.ics"
    account = CalendarAccount(user_id=rick.id, address="https://dav.example/", username="rick")
    account.set_password("app password")
    saved(calendar, account)
    (delivery_id,) = deliveries("delivered")
    with transaction() as session:
        key, _ = create_api_key(session, rick, "Rick's own", ["read"])
        event_uid = session.get_one(Delivery, delivery_id).event.uid
    values = {
        "user": rick.username,
        "slug": quick_chat.slug,
        "uid": booking.uid,
        "token": "unknown",
        "event_type_id": quick_chat.id,
        "webhook_id": hook.id,
        "attendee_id": booking.visitor.id,
        "webhook_uid": hook.uid,
        "delivery_id": delivery_id,
        "event_uid": event_uid,
        "key_id": key.id,
        "session_id": 1,
        "notice_id": notice.id,
        "request_id": seen.id,
        "calendar_id": calendar.id,
        "account_id": account.id,
        "date": "2027-01-05",
        "schedule_id": schedule.id,
        "time_off_id": off.id,
        "filename": "app.css",
        "_rest": "bookings",
    }
    return World(app, rick, bob, values)


@pytest.fixture
def unchanged(world: World, session: Session) -> Iterator[None]:
    """Whatever the test does, no value of any table may change by it."""
    before = dump(session)
    yield
    assert dump(session) == before


def wrong(entries: list[Entry], answers: Callable[[Entry], TestResponse], *expected: int) -> list[str]:
    """Return the entries that answer with another status than one that is expected."""
    found = []
    for entry in entries:
        answer = answers(entry)
        if answer.status_code not in expected:
            found.append(f"{entry.method} {entry.rule}: {answer.status_code}")
    return found


def test_every_address_and_method_has_a_line_in_the_table(app: Flask) -> None:
    routes = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    lines = [f"{entry.method} {entry.rule}" for entry in TABLE]
    assert sorted(routes) == sorted(lines)


@pytest.mark.usefixtures("unchanged")
def test_who_is_signed_out_is_led_to_the_sign_in(world: World, client: FlaskClient) -> None:
    def send(entry: Entry) -> TestResponse:
        answer = world.send(client, entry)
        assert answer.headers.get("Location", "").startswith("/login"), entry
        return answer

    assert wrong(of("host", "own"), send, 302, 303) == []


@pytest.mark.usefixtures("unchanged")
def test_htmx_of_who_is_signed_out_is_led_to_the_sign_in(world: World, client: FlaskClient) -> None:
    client.environ_base["HTTP_HX_REQUEST"] = "true"
    assert wrong(of("host", "own"), lambda entry: world.send(client, entry), 401) == []


@pytest.mark.usefixtures("unchanged")
def test_another_host_finds_nothing_of_mine(world: World) -> None:
    browser = signed_in(world.app, world.bob)
    assert wrong(of("own"), lambda entry: world.send(browser, entry), 404) == []


@pytest.mark.usefixtures("unchanged")
def test_the_api_wants_a_key_and_a_session_is_none(world: World) -> None:
    browser = signed_in(world.app, world.rick)
    assert wrong(of("key", "own-key"), lambda entry: world.send(browser, entry), 401) == []


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("key", ["cal_unknown", "cal_", "x" * 500, "cal_é", "' OR 1=1 --"])
def test_an_unknown_key_opens_nothing(world: World, client: FlaskClient, key: str) -> None:
    assert wrong(of("key", "own-key"), lambda entry: world.send(client, entry, key), 401) == []


def test_a_revoked_key_opens_nothing(world: World, client: FlaskClient, session: Session) -> None:
    key = world.key(world.rick, revoked=True)
    before = dump(session)
    assert wrong(of("key", "own-key"), lambda entry: world.send(client, entry, key), 401) == []
    assert dump(session) == before


def rows(session: Session) -> str:
    """Return everything but when a key was last used."""
    session.rollback()
    session.execute(ApiKey.__table__.update().values(last_used_at=None))
    session.commit()
    return dump(session)


def test_a_strangers_key_finds_nothing_of_mine(world: World, client: FlaskClient, session: Session) -> None:
    key = world.key(world.bob)
    before = rows(session)
    assert wrong(of("own-key"), lambda entry: world.send(client, entry, key), 404) == []
    assert rows(session) == before


def test_a_key_for_reading_changes_nothing(world: World, client: FlaskClient, session: Session) -> None:
    key = world.key(world.rick, "read")
    before = rows(session)
    writing = [entry for entry in of("key", "own-key") if entry.method != "GET"]
    assert wrong(writing, lambda entry: world.send(client, entry, key), 403) == []
    assert rows(session) == before


@pytest.mark.usefixtures("unchanged")
def test_a_secret_address_is_not_guessed(world: World, client: FlaskClient) -> None:
    answers = wrong(of("link"), lambda entry: world.send(client, entry, uid="unknown"), 404)
    assert answers == []


def test_what_is_for_all_asks_nobody_to_sign_in(world: World, client: FlaskClient) -> None:
    for entry in of("all"):
        answer = world.send(client, entry)
        assert answer.status_code != 401, entry
        if entry.rule not in {"/", "/logout"}:
            assert "/login" not in answer.headers.get("Location", ""), entry


@pytest.mark.usefixtures("unchanged")
def test_every_form_of_a_host_wants_its_token(world: World) -> None:
    world.app.config["WTF_CSRF_ENABLED"] = True
    browser = signed_in(world.app, world.rick)
    forms = [entry for entry in of("host", "own") if entry.method == "POST"]
    assert wrong(forms, lambda entry: world.send(browser, entry), 400) == []


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_no_other_method_does_anything(world: World, method: str) -> None:
    browser = signed_in(world.app, world.rick)
    for rule in {
        entry.rule for entry in of("host", "own", "all", "link") if not entry.rule.startswith(("/v1", "/v2"))
    }:
        answer = world.send(browser, Entry(method, rule, ""))
        assert answer.status_code in ({200} if method == "OPTIONS" else {404, 405}), (
            rule,
            answer.status_code,
        )


@pytest.mark.usefixtures("unchanged")
def test_a_strangers_key_is_told_from_none_by_nothing(world: World) -> None:
    browser = signed_in(world.app, world.bob)
    entry = Entry("GET", "/integrations/api-keys/<int:key_id>/revoke", "host")
    mine, none = world.send(browser, entry), world.send(browser, entry, key_id=999)
    assert (mine.status_code, mine.text) == (none.status_code, none.text)


def test_looking_changes_nothing(world: World, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "write_a_row", lambda: True)  # /healthz writes, to know that one can
    browser, before = signed_in(world.app, world.rick), dump(session)
    for entry in of("host", "own", "link", "all"):
        if entry.method == "GET":
            world.send(browser, entry)
            world.send(browser, replace(entry, method="HEAD"))
    assert dump(session) == before
