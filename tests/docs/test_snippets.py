"""The guide's snippets, run against requests that the engine sent."""

import base64
import json
import random
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType

import pytest
import standardwebhooks
import time_machine

from calapp.accounts.models import User
from calapp.bookings import service
from calapp.bookings.models import Booking
from calapp.clock import now
from calapp.db import transaction
from tests.booking_requests import move_request
from tests.deliveries.conftest import subscribed
from tests.docs.conftest import OTHER_SECRET, SECRET, start_at
from tests.receiver import Receiver, Request

Load = Callable[[str], ModuleType]
Send = Callable[..., Request]


@pytest.mark.parametrize("secret", [SECRET, "words of my own"])
def test_a_check_by_hand_takes_what_was_sent(module: Load, sent: Send, secret: str) -> None:
    request, by_hand = sent(secret), module("by_hand.py")
    assert by_hand.is_signed(secret, request.headers, request.body)
    assert by_hand.is_signed_as_by_cal_com(secret, request.headers, request.body)


def test_a_check_by_hand_refuses_a_changed_body(module: Load, sent: Send) -> None:
    request, by_hand = sent(), module("by_hand.py")
    changed = request.body.replace(b"123", b"124")
    assert not by_hand.is_signed(SECRET, request.headers, changed)
    assert not by_hand.is_signed_as_by_cal_com(SECRET, request.headers, changed)


def test_a_check_by_hand_refuses_an_old_request(module: Load, sent: Send) -> None:
    request, by_hand = sent(), module("by_hand.py")
    with time_machine.travel(now() + timedelta(minutes=6)):
        assert not by_hand.is_signed(SECRET, request.headers, request.body)


def test_a_check_by_hand_refuses_a_request_without_signature(module: Load, sent: Send) -> None:
    request, by_hand = sent(None), module("by_hand.py")
    assert not by_hand.is_signed(SECRET, request.headers, request.body)
    assert not by_hand.is_signed_as_by_cal_com(SECRET, request.headers, request.body)


def test_both_secrets_are_good_while_they_overlap(module: Load, sent: Send) -> None:
    overlap = {"old_secret": SECRET, "old_secret_until": now() + timedelta(hours=1)}
    request, by_hand = sent(OTHER_SECRET, **overlap), module("by_hand.py")
    for secret in (SECRET, OTHER_SECRET):
        assert by_hand.is_signed(secret, request.headers, request.body)
    assert by_hand.is_signed_as_by_cal_com(SECRET, request.headers, request.body)


def test_a_secret_in_own_words_suits_the_package_as_the_guide_says(sent: Send) -> None:
    request = sent("words of my own")
    webhook = standardwebhooks.Webhook(base64.b64encode(b"words of my own").decode())
    assert webhook.verify(request.body, request.headers)["triggerEvent"] == "BOOKING_CREATED"


def _life(book: Callable[..., Booking]) -> None:
    booking = book()
    with transaction() as session:
        moved = service.reschedule(session, booking, move_request(start_at(12)), by="ada@example.com")
    with transaction() as session:
        service.cancel(session, moved, by="ada@example.com", reason="Ill")


def test_doubles_and_crossings_leave_the_last_word(
    module: Load, rick: User, receiver: Receiver, deliver: Callable, book: Callable, saved: Callable
) -> None:
    saved(subscribed(rick, receiver.url(), secret=SECRET))
    _life(book)
    deliver()
    events = [json.loads(request.body) for request in receiver.requests] * 3
    random.Random(1).shuffle(events)
    once, database = module("once.py"), sqlite3.connect(":memory:")
    database.executescript(once.TABLES)
    for event in events:
        once.handle(database, event)
    rows = database.execute("SELECT sequence, trigger, user_id FROM meeting").fetchall()
    database.close()
    assert rows == [(3, "BOOKING_CANCELLED", "123")]
