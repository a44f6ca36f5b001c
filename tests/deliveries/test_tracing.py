"""One trace from the request that books to the receiver, as W3C Trace Context (level 1) wants it."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from calapp import tracing
from calapp.accounts.models import User
from calapp.deliveries import resend
from calapp.deliveries.engine import Engine
from calapp.deliveries.models import Delivery, Event
from calapp.event_types.models import EventType
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases
from tests.receiver import Receiver, answer

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"{PARENT},{PARENT}",
    ],
)
def test_a_traceparent_that_is_not_valid_names_no_trace(value: str) -> None:
    assert tracing.read(value, "vendor=1") is None


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (PARENT, PARENT),
        (f" {PARENT}\t", PARENT),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-ff", PARENT),
        (f"cc-{TRACE}-{SPAN}-01-of-a-later-version", PARENT),
    ],
)
def test_a_valid_traceparent_is_passed_on_in_this_version(value: str, sent: str) -> None:
    assert tracing.read(value).traceparent == sent


MANY = [f"k{number}=v" for number in range(33)]
LONG = "long=" + "x" * 200
ENTRIES = [f"k{number}=" + "y" * 60 for number in range(10)]


@pytest.mark.parametrize(
    ("value", "passed_on"),
    [
        ("", ""),
        ("a=1,b=2", "a=1,b=2"),
        (" a=1 ,\t, b=x y,", "a=1,b=x y"),
        ("1tenant@vendor=1,a*b/c_d-e=2", "1tenant@vendor=1,a*b/c_d-e=2"),
        (",".join(MANY[:32]), ",".join(MANY[:32])),
        (",".join(MANY), ""),
        ("a=1,a=2", ""),
        ("a=1,B=2", ""),
        ("1a=1", ""),
        ("a=1,b", ""),
        ("a=", ""),
        ("a=b=c", ""),
        ("a=é", ""),
        ("a=" + "x" * 256, "a=" + "x" * 256),
        ("a=" + "x" * 257, ""),
        (",".join([LONG, *ENTRIES[:7]]), ",".join(ENTRIES[:7])),
        (",".join(ENTRIES), ",".join(ENTRIES[:8])),
    ],
)
def test_what_of_a_tracestate_is_passed_on(value: str, passed_on: str) -> None:
    assert tracing.read(PARENT, value).state == passed_on


@pytest.fixture
def book(client: FlaskClient, webhook: Webhook, quick_chat: EventType) -> Callable[..., None]:
    """Return a function that books on the page, with headers."""

    def post(**headers: str) -> None:
        page = client.get("/rick/quick-chat").text
        slot = page.split('name="slot" value="')[1].split('"')[0]
        form = {"start": slot, "name": "Ada", "email": "ada@example.com", "time_zone": "UTC"}
        assert client.post("/rick/quick-chat", data=form, headers=headers).status_code == 303

    return post


@on_both_databases
def test_the_trace_of_a_booking_reaches_the_receiver(
    book: Callable[..., None], engine: Engine, receiver: Receiver, session: Session
) -> None:
    book(traceparent=PARENT, tracestate="vendor=1")
    engine.deliver()
    sent = receiver.requests[0].headers
    assert sent["traceparent"].startswith(f"00-{TRACE}-")
    assert SPAN not in sent["traceparent"]
    assert sent["tracestate"] == "vendor=1"
    stored = tracing.read(session.scalars(select(Event.trace)).one())
    assert (stored.trace_id, stored.sampled) == (TRACE, True)
    assert stored.span_id != SPAN  # it is that of our request


@on_both_databases
def test_erasing_a_person_erases_what_their_browser_said_of_its_trace(
    book: Callable[..., None], app: Flask, session: Session
) -> None:
    book(traceparent=PARENT, tracestate="vendor=1")
    assert app.test_cli_runner().invoke(args=["erase-visitor", "ada@example.com"]).exit_code == 0
    assert session.execute(select(Event.trace, Event.trace_state)).all() == [(None, None)]


@on_both_databases
def test_without_a_valid_traceparent_a_trace_begins_and_tracestate_is_dropped(
    book: Callable[..., None], engine: Engine, receiver: Receiver
) -> None:
    book(traceparent="00-0-0-0", tracestate="vendor=1")
    engine.deliver()
    sent = receiver.requests[0].headers
    assert tracing.read(sent["traceparent"]).sampled
    assert "tracestate" not in sent


@on_both_databases
def test_attempts_and_resends_keep_the_trace_and_have_spans_of_their_own(
    happen: Callable[..., Event], webhook: Webhook, engine: Engine, receiver: Receiver, session: Session
) -> None:
    happen()
    engine.deliver()
    for _ in range(2):
        resend.resend(session, session.scalars(select(Delivery).order_by(Delivery.id.desc())).first())
        session.commit()
        engine.deliver()
    traces = [tracing.read(one.headers["traceparent"]) for one in receiver.requests]
    assert len(traces) == 3
    assert len({one.trace_id for one in traces}) == 1
    assert len({one.span_id for one in traces}) == 3


@on_both_databases
def test_an_event_of_the_version_before_has_one_trace_for_all_attempts(
    happen: Callable[..., Event], webhook: Webhook, engine: Engine, receiver: Receiver, session: Session
) -> None:
    happen()
    session.execute(update(Event).values(trace=None))
    session.commit()
    engine.deliver()
    resend.resend(session, session.scalars(select(Delivery)).one())
    session.commit()
    engine.deliver()
    first, second = (tracing.read(one.headers["traceparent"]) for one in receiver.requests)
    assert first.trace_id == second.trace_id


def test_ours_wins_over_a_custom_header_from_before_the_name_was_reserved(
    happen: Callable[..., Event],
    rick: User,
    webhook: Webhook,
    change: Callable[..., None],
    engine: Engine,
    receiver: Receiver,
) -> None:
    change(webhook, headers=[["Traceparent", "mine"], ["X-Mine", "kept"]])
    happen()
    engine.deliver()
    sent = receiver.requests[0].headers
    assert (tracing.read(sent["traceparent"]) is not None, sent["x-mine"]) == (True, "kept")


def test_the_page_and_the_api_of_a_delivery_show_its_trace_and_the_span_of_each_attempt(
    book: Callable[..., None],
    webhook: Webhook,
    engine: Engine,
    receiver: Receiver,
    rick_client: FlaskClient,
    rick_api: object,
    session: Session,
) -> None:
    receiver.behave = answer("500 No")
    book(traceparent=PARENT)
    engine.deliver()
    delivery_id = session.scalars(select(Delivery.id)).one()
    page = rick_client.get(f"/integrations/webhooks/{webhook.id}/deliveries/{delivery_id}").text
    span = tracing.read(receiver.requests[0].headers["traceparent"]).span_id
    assert f"<dt>Trace</dt><dd><code>{TRACE}</code></dd>" in page
    assert f"Span <code>{span}</code>" in page
    assert rick_api.get(f"/v2/deliveries/{delivery_id}").json["data"]["traceId"] == TRACE
