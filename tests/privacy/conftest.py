"""A story about Ada that leaves traces everywhere."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import time_machine
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.bookings import service
from calapp.bookings.metadata import Metadata
from calapp.bookings.models import Booking
from calapp.config import Settings
from calapp.db import transaction
from calapp.deliveries.models import Attempt, Delivery, Event
from calapp.event_types.models import EventType
from calapp.integrations.models import InspectorRequest
from calapp.webhooks.models import OF_BOOKINGS, Webhook
from tests.booking_requests import move_request
from tests.privacy.traces import ADA, MONDAY, request


@pytest.fixture(autouse=True)
def monday() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(MONDAY, tick=False) as clock:
        yield clock


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, booking_retention_days=30)


@pytest.fixture
def story(
    rick: User, quick_chat: EventType, saved: Callable[..., None], change: Callable[..., None]
) -> Booking:
    """Ada books, moves and cancels; everything is delivered, echoed, mailed; a friend names her."""
    change(quick_chat, questions=[{"name": "topic", "label": "Topic", "type": "text", "required": False}])
    triggers = [str(one) for one in OF_BOOKINGS]
    template = '{"who": "{{attendees.0.name}}", "mail": "{{attendees.0.email}}"}'
    url = "https://hooks.example/in"
    saved(Webhook(user_id=rick.id, subscriber_url=url, triggers=triggers, payload_template=template))
    with transaction() as session:
        booking = service.book(
            session, quick_chat, request(10), link=Metadata(left_out=("ada[]: not a key",))
        )
        start = datetime(2027, 1, 5, 12, tzinfo=UTC)
        moved = service.reschedule(session, booking, move_request(start, "reason-why I"), by=ADA)
        service.cancel(session, moved, by=ADA, reason="reason-why II")
        friend = {"name": "Grace", "email": "grace@example.com", "metadata": {"by": ADA.upper()}}
        service.book(session, quick_chat, request(14, notes=f"From {ADA}", guests=(ADA.lower(),), **friend))
    answered()
    return booking


def answered() -> None:
    """Let every delivery be tried, with a receiver and an inspector that keep what came."""
    with transaction() as session:
        for row in session.scalars(select(Delivery)):
            session.add(
                Attempt(
                    delivery_id=row.id,
                    webhook_id=row.webhook_id,
                    number=1,
                    at=MONDAY,
                    failure=f"It redirects to https://x.example/{ADA}",
                    failure_code="redirect",
                    response_headers=f"location: https://x.example/{ADA}",
                    response_body="echoed-back Ada Byron",
                )
            )
            row.reason = f"It redirects to https://x.example/{ADA}"
            session.add(_inspected(session, row))


def _inspected(session: Session, row: Delivery) -> InspectorRequest:
    event = session.get_one(Event, row.event_id)
    return InspectorRequest(
        user_id=event.user_id,
        headers=[["webhook-id", event.uid]],
        body='{"who": "Ada Byron"}',
        trigger=event.trigger,
        signature="none",
        status=200,
    )
