"""What hosts, visitors and receivers had with the first release goes on after an upgrade."""

import hashlib
import hmac
import json
import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from standardwebhooks import Webhook as Verifier

from calapp import maintenance
from calapp.bookings.models import Booking
from calapp.db import db
from calapp.deliveries.models import Delivery, State
from calapp.webhooks.models import Webhook
from tests.receiver import Receiver, Request
from tests.upgrade.first_release import API_KEY, MOVED_UID, SECRET, UIDS

HOOK, TEMPLATE, OFF = 2, 3, 4  # the webhooks by their ids
CREATED, CANCELLED = "BOOKING_CREATED", "BOOKING_CANCELLED"
PAGES = (
    "/bookings/upcoming",
    "/bookings/unconfirmed",
    "/bookings/past",
    "/bookings/cancelled",
    f"/bookings/{UIDS['ada']}",
    "/event-types",
    "/event-types/1",
    "/availability",
    "/settings",
    "/integrations",
    "/integrations/inspector",
    *(f"/integrations/webhooks/{number}/edit" for number in (HOOK, TEMPLATE, OFF)),
    *(f"/integrations/webhooks/{number}/deliveries" for number in (HOOK, TEMPLATE, OFF)),
    *(f"/integrations/webhooks/{HOOK}/deliveries/{number}" for number in (1, 4, 7, 15)),
    f"/integrations/webhooks/{OFF}/deliveries/3",
)


@pytest.fixture
def session(app: Flask) -> Session:
    return db.session()


@pytest.fixture
def visitor(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def sent(receiver: Receiver, deliver: Callable[[], None]) -> Callable[..., list[Request]]:
    """Return a function that lets a worker do all it has to do, and gives what arrived at a path."""

    def run(path: str = "/hook") -> list[Request]:
        maintenance.look_after_webhooks()
        maintenance.clean_up()
        maintenance.continue_parked()
        deliver()
        return [request for request in receiver.requests if request.path == path]

    return run


def events(requests: list[Request], name: str) -> list[str]:
    """Return the triggers of what arrived about a visitor's bookings, in its order."""
    bodies = [json.loads(request.body) for request in requests]
    return [one["triggerEvent"] for one in bodies if one["payload"]["metadata"] == {"user_id": name}]


def test_the_password_still_signs_in_and_another_does_not(visitor: FlaskClient) -> None:
    wrong = visitor.post("/login", data={"username": "rick", "password": "demO"})
    assert wrong.status_code == 422
    right = visitor.post("/login", data={"username": "rick", "password": "demo"})
    assert (right.status_code, right.location) == (303, "/bookings/upcoming")


def test_every_page_of_the_host_opens(host: FlaskClient) -> None:
    assert {path: host.get(path).status_code for path in PAGES} == dict.fromkeys(PAGES, 200)


def test_the_api_key_still_works(visitor: FlaskClient) -> None:
    found = visitor.get("/v2/webhooks", headers={"Authorization": f"Bearer {API_KEY}"}).get_json()["data"]
    assert [one["subscriberUrl"].rpartition("/")[2] for one in found] == ["hook", "off"]  # of all event types


def test_the_hours_that_there_were_are_the_default_schedule(visitor: FlaskClient) -> None:
    key = {"Authorization": f"Bearer {API_KEY}"}
    (schedule,) = visitor.get("/v2/schedules", headers=key).get_json()["data"]
    assert schedule == visitor.get("/v2/schedules/default", headers=key).get_json()["data"]
    assert visitor.get("/v2/me", headers=key).get_json()["data"]["defaultScheduleId"] == schedule["id"]
    assert [len(one["days"]) for one in schedule["availability"]] == [5]


def test_the_calendar_feed_has_its_address_still(host: FlaskClient, visitor: FlaskClient) -> None:
    path = re.search(r"/calendar/[\w-]+\.ics", host.get("/integrations").text)[0]
    assert b"Ada Byron" in visitor.get(path).data


def test_bookings_are_shown_to_host_and_visitor(host: FlaskClient, visitor: FlaskClient) -> None:
    upcoming = host.get("/bookings/upcoming").text
    assert [name for name in ("Ada", "Bob", "Cyd", "Eve") if f"{name} Byron" not in upcoming] == []
    assert "Dan Byron" in host.get("/bookings/unconfirmed").text
    assert "Fay Byron" in host.get("/bookings/cancelled").text
    assert "Tuesday, 5 January 2027, 10:00" in visitor.get(f"/booking/{UIDS['ada']}").text
    assert visitor.get(f"/booking/{UIDS['eve']}").location.rstrip("?") == f"/booking/{MOVED_UID}"


def test_a_time_that_was_booked_is_not_free(visitor: FlaskClient) -> None:
    form = {"name": "Gil", "email": "gil@example.com", "time_zone": "UTC", "start": "2027-01-05T10:00:00Z"}
    assert visitor.post("/rick/quick-chat", data=form).status_code == 409


def test_a_booking_is_moved_and_its_metadata_goes_with_it(visitor: FlaskClient, sent, session) -> None:
    path = f"/booking/{UIDS['cyd']}/reschedule"
    moved = visitor.post(path, data={"start": "2027-01-06T12:00:00Z", "time_zone": "Europe/London"})
    assert moved.status_code == 303
    assert events(sent(), "cyd") == [CREATED, "BOOKING_RESCHEDULED"]


def test_a_booking_is_cancelled(visitor: FlaskClient, sent) -> None:
    assert visitor.post(f"/booking/{UIDS['cyd']}/cancel", data={"reason": "Ill"}).status_code == 303
    assert events(sent(), "cyd") == [CREATED, CANCELLED]


def test_a_request_is_confirmed(host: FlaskClient, sent, session: Session) -> None:
    host.post(f"/bookings/{UIDS['dan']}/confirm")
    assert session.scalars(select(Booking.status).where(Booking.uid == UIDS["dan"])).one() == "accepted"
    assert events(sent(), "dan") == ["BOOKING_REQUESTED", CREATED]


def test_what_waited_is_sent_once_in_order_and_signed_as_before(sent, session: Session) -> None:
    requests = sent()
    triggers = {name: events(requests, name) for name in ("ada", "bob", "cyd", "dan", "eve", "fay")}
    assert triggers == {
        "ada": [],  # the first release delivered it
        "bob": [CREATED],  # a retry
        "cyd": [CREATED],
        "dan": ["BOOKING_REQUESTED"],
        "eve": [CREATED, "BOOKING_RESCHEDULED"],
        "fay": [CREATED, CANCELLED],
    }
    for request in requests:
        assert Verifier(SECRET).verify(request.body, request.headers)
        digest = hmac.new(SECRET.encode(), request.body, hashlib.sha256).hexdigest()
        assert request.headers["x-cal-signature-256"] == digest
        assert request.headers["x-team"] == "blue"
    waiting = select(Delivery.id).where(Delivery.state == State.WAITING)
    assert session.scalars(waiting).all() == []


def test_what_waited_with_a_template_has_the_body_that_was_stored(sent) -> None:
    bodies = [json.loads(request.body)["user"] for request in sent("/template")]
    assert sorted(bodies) == ["bob", "cyd", "eve", "eve", "fay", "fay"]


def test_parked_events_are_released_in_order(host: FlaskClient, sent) -> None:
    host.post(f"/integrations/webhooks/{OFF}/toggle", data={"active": "1"})
    host.post(f"/integrations/webhooks/{OFF}/parked", data={"parked": "send"})
    requests = sent("/off")
    assert len(requests) == 8
    assert events(requests, "fay") == [CREATED, CANCELLED]


def test_parked_events_are_discarded(host: FlaskClient, sent, session: Session) -> None:
    host.post(f"/integrations/webhooks/{OFF}/toggle", data={"active": "1"})
    host.post(f"/integrations/webhooks/{OFF}/parked", data={"parked": "drop"})
    assert sent("/off") == []
    states = session.scalars(select(Delivery.state).where(Delivery.webhook_id == OFF))
    assert set(states) == {State.EXPIRED}


def test_a_webhook_is_edited_and_keeps_its_secret(host: FlaskClient, receiver: Receiver, sent) -> None:
    page = host.get(f"/integrations/webhooks/{HOOK}/edit").text
    assert SECRET not in page
    edited = host.post(
        f"/integrations/webhooks/{HOOK}/edit",
        data={
            "subscriber_url": receiver.url("/edited"),
            "triggers": [CREATED],
            "active": ["0", "1"],
            "secret": "",
            "event_type_id": "",
            "header_name": "X-Team",
            "header_value": "",
            "payload": "default",
            "payload_template": "",
        },
    )
    assert edited.status_code == 303
    requests = sent("/edited")
    assert len(requests) == 7
    assert {request.headers["x-team"] for request in requests} == {"blue"}
    assert all(Verifier(SECRET).verify(request.body, request.headers) for request in requests)


def test_a_webhook_is_deleted(host: FlaskClient, sent, session: Session) -> None:
    assert host.post(f"/integrations/webhooks/{HOOK}/delete").status_code == 303
    assert sent() == []
    assert session.get_one(Webhook, HOOK).deleted_at is not None


def test_a_delivery_is_sent_again(host: FlaskClient, sent) -> None:
    host.post(f"/integrations/webhooks/{HOOK}/deliveries/1/resend")
    assert events(sent(), "ada") == [CREATED]
