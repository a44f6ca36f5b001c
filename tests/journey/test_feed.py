"""A reader follows the feed while twenty processes book at once: every event comes exactly once, in order."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.accounts.service import create_api_key
from calapp.config import Settings
from calapp.db import transaction
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from tests.conftest import on_both_databases
from tests.journey.rivals import race
from tests.journey.test_double_bookings import monday_in_berlin, wish

pytestmark = on_both_databases

RIVALS, EACH = 20, 2


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, rate_limits="off", open_bookings_per_address=0, open_bookings_per_email=0)


class Reader:
    """A reader of the feed in a thread of its own, who remembers every event it was given."""

    def __init__(self, app: Flask, key: str) -> None:
        self.browser = app.test_client()
        self.headers = {"Authorization": f"Bearer {key}"}
        self.ids: list[str] = []
        self.pages = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._follow)
        self.thread.start()

    def _follow(self) -> None:
        after, more = "0", True
        while more or not self.over.is_set():
            query = {"after": after, "take": "7", "wait": "1"}
            answer = self.browser.get("/v2/events", query_string=query, headers=self.headers)
            if answer.status_code == 503:  # the database was busy for too long: asked again
                continue
            made = answer.get_json()
            after, more = made["pagination"]["next"], made["pagination"]["hasMore"] or bool(made["data"])
            self.ids += [event["id"] for event in made["data"]]
            self.pages += bool(made["data"])

    def all(self) -> list[str]:
        """Read to the end and return the ids in the order in which they came."""
        self.over.set()
        self.thread.join(60)
        return self.ids


def test_a_reader_gets_every_event_exactly_once(
    app: Flask, settings: Settings, rick: User, saved: Callable[..., None], session: Session
) -> None:
    saved(EventType(user_id=rick.id, title="15 min", slug="15min", length=15))
    with transaction() as writing:
        _, key = create_api_key(writing, rick, "reader", ["read"])
    slots = [
        wish(15, monday_in_berlin(9) + timedelta(days=day, minutes=15 * number))
        for day in range(2)
        for number in range(32)
    ]
    reader = Reader(app, key)
    answers = race(settings, [slots[EACH * number : EACH * (number + 1)] for number in range(RIVALS)])
    read = reader.all()
    # On a slow machine SQLite's writer may be busy for too long: that is 503, and nothing happened.
    won = [status for own in answers for status, _ in own].count(303)
    assert read == session.scalars(select(Event.uid).order_by(Event.number)).all()
    assert len(read) == won > RIVALS / 4
    assert reader.pages > won / 7  # it was reading while they booked
