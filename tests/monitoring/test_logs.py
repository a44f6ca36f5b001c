"""Lines of the log: ids that tie booking, event and delivery together, and nothing that is a secret."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from app import create_app
from calapp import logs
from calapp.accounts.models import User
from calapp.config import Settings
from calapp.db import db, transaction
from calapp.deliveries.engine import Engine
from calapp.event_types.models import EventType
from calapp.webhooks.models import OF_BOOKINGS, Webhook
from tests.receiver import Receiver, answer

Lines = Callable[[], list[dict[str, object]]]
SECRETS = ("whsec_", "ada@", "Ada", "4711", "Look at my", "hook-path", "said by the receiver")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Return a function that gives the lines that were logged."""
    caplog.set_level(logging.INFO, "calapp")
    return lambda: [json.loads(logs.JsonLines("web").format(record)) for record in caplog.records]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(answer("500 No", b"said by the receiver")) as receiver:
        yield receiver


@pytest.fixture
def story(
    app: Flask,
    client: FlaskClient,
    rick: User,
    quick_chat: EventType,
    receiver: Receiver,
    saved: Callable[..., None],
    settings: Settings,
    lines: Lines,
) -> list[dict[str, object]]:
    """A booking by a visitor and its delivery, told by the log."""
    url = receiver.url("/hook-path")
    triggers = [str(one) for one in OF_BOOKINGS]
    saved(Webhook(user_id=rick.id, subscriber_url=url, triggers=triggers, secret="whsec_c2VjcmV0"))
    page = client.get("/rick/quick-chat?metadata[user_id]=4711&name=Ada").text
    slot = page.split('name="slot" value="')[1].split('"')[0]
    form = {"start": slot, "name": "Ada", "email": "ada@example.com", "notes": "Look at my papers"}
    booked = client.post("/rick/quick-chat?metadata[user_id]=4711", data={**form, "time_zone": "UTC"})
    assert booked.status_code == 303, booked.text
    client.get(booked.headers["Location"])
    engine = Engine(replace(settings, webhook_timeout=2.0))
    engine.deliver()
    engine.sender.close()
    return lines()


def one(story: list[dict[str, object]], message: str) -> dict[str, object]:
    return next(line for line in story if line["message"] == message)


def test_request_event_and_delivery_are_tied_by_their_ids(story: list[dict[str, object]]) -> None:
    event, delivery = one(story, "event"), one(story, "delivery")
    post = next(line for line in story if line.get("method") == "POST")
    page = next(line for line in story if line.get("route") == "/booking/<uid>")
    assert event["request"] == post["request"]
    assert (delivery["event"], delivery["booking"]) == (event["event"], event["booking"])
    assert page["booking"] == event["booking"]
    assert post["trace_id"] == event["trace_id"] == delivery["trace_id"] != page["trace_id"]


def test_a_delivery_is_one_line_with_what_came_of_it(story: list[dict[str, object]]) -> None:
    delivery = one(story, "delivery")
    told = {name: delivery[name] for name in ("trigger", "state", "status", "failure", "attempt")}
    assert told == {
        "trigger": "BOOKING_CREATED",
        "state": "waiting",
        "status": 500,
        "failure": "status",
        "attempt": 1,
    }


def test_no_line_has_a_secret_an_answer_or_a_value_of_the_query(story: list[dict[str, object]]) -> None:
    written = json.dumps(story)
    assert [secret for secret in SECRETS if secret in written] == []


@pytest.mark.parametrize(
    "address",
    [
        "/calendar/t0k3n.ics",
        "/calendar/t0k3n",
        "/hooks/in/t0k3n",
        "/booking/t0k3n-of-a-booking",
        "/login?next=/t0k3n",
        "/nothing/at/t0k3n",
        "/t0k3n",
    ],
)
def test_no_line_has_a_token_of_an_address(client: FlaskClient, lines: Lines, address: str) -> None:
    client.get(address)
    assert "t0k3n" not in json.dumps(lines())
    assert one(lines(), "request")["method"] == "GET"


def test_a_fault_of_ours_is_logged_without_the_address(app: Flask, lines: Lines) -> None:
    app.config.update(PROPAGATE_EXCEPTIONS=False, TESTING=False)
    app.add_url_rule("/made/<token>", view_func=lambda token: 1 / 0, endpoint="made")
    assert app.test_client().get("/made/t0k3n").status_code == 500
    fault = next(line for line in lines() if line["level"] == "error")
    assert fault["message"] == "A request failed: GET /made/<token>"
    assert "t0k3n" not in json.dumps(fault)


def test_a_statement_that_fails_is_logged_without_its_values(app: Flask, rick: User, lines: Lines) -> None:
    value = "t0" + "k3n"
    try:
        with transaction() as session:
            session.execute(text("INSERT INTO event (uid) VALUES (:uid)"), {"uid": value})
    except IntegrityError:
        logging.getLogger("calapp.test").exception("It failed")
    assert "IntegrityError" in json.dumps(lines())
    assert "t0k3n" not in json.dumps(lines())


def test_postgresqls_copy_of_a_row_is_left_out() -> None:
    error = ValueError("null value\nDETAIL:  Failing row contains (1, ada@example.com).")
    record = logging.LogRecord("x", logging.ERROR, "", 1, "It failed", (), (ValueError, error, None))
    assert "ada@" not in logs.Lines("web").format(record)


def test_text_lines_quote_what_has_spaces() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "request", (), None)
    record.said = {"route": "/a b", "status": 200, "host": None}
    assert logs.Lines("web").format(record).endswith('web info: request route="/a b" status=200')


def test_only_a_trusted_proxy_names_a_request(settings: Settings, app: Flask) -> None:
    headers = {"X-Request-ID": "0123456789abcdef-proxy"}
    assert app.test_client().get("/login", headers=headers).headers["X-Request-ID"] != headers["X-Request-ID"]
    behind = create_app(replace(settings, trusted_proxies=1)).test_client()
    assert behind.get("/login", headers=headers).headers["X-Request-ID"] == headers["X-Request-ID"]


def test_a_trusted_proxy_says_who_asks_and_how(settings: Settings, app: Flask, lines: Lines) -> None:
    behind = create_app(replace(settings, trusted_proxies=1, base_url="https://cal.example.com"))
    said = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https"}
    said["Host"] = "cal.example.com"
    behind.test_client().get("/login", headers=said)
    assert one(lines(), "request")["client"] == "198.51.100.7"


def test_without_trusted_proxies_nobody_names_himself(client: FlaskClient, lines: Lines) -> None:
    client.get("/login", headers={"X-Forwarded-For": "203.0.113.9"})
    assert one(lines(), "request")["client"] == "127.0.0.1"
    assert db.session() is not None
