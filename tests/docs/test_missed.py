"""The guide's script against a receiver that loses one of a thousand deliveries."""

import json
import random
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest
import time_machine
from flask.testing import FlaskClient

from calapp.accounts.models import User
from calapp.accounts.service import create_api_key, lock_user
from calapp.clock import now
from calapp.db import transaction
from calapp.deliveries import outbox
from tests.deliveries.conftest import subscribed
from tests.receiver import Receiver

EVENTS = 1000
TRIGGERS = ("BOOKING_CREATED", "BOOKING_CANCELLED")


def happen(user: User) -> None:
    with transaction() as session:
        locked = lock_user(session, user.id)
        for number in range(EVENTS):
            outbox.record(
                session,
                user=locked,
                trigger=TRIGGERS[number % 2],
                payload={"eventTypeId": 1 + number % 3},
                chain=f"chain {number}",
                sequence=1,
                subject=f"chain {number}",
                event_type_id=1 + number % 3,
            )


@pytest.fixture
def script(
    module: Callable[[str], ModuleType], client: FlaskClient, rick: User, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """The script, whose requests go to the app of the test."""
    with transaction() as session:
        _, key = create_api_key(session, rick, "script", ["read", "write"])
    found = module("find_missed.py")

    def call(method: str, path: str, body: bytes | None = None) -> object:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        answer = client.open(path, method=method, data=body, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json

    monkeypatch.setattr(found, "call", call)
    return found


def test_what_a_receiver_has_lost_is_found_and_sent_again(
    script: ModuleType,
    rick: User,
    receiver: Receiver,
    deliver: Callable[[], None],
    saved: Callable[..., None],
) -> None:
    hook = subscribed(rick, receiver.url())
    saved(hook)
    day = now().astimezone(ZoneInfo(rick.time_zone)).date()
    happen(rick)
    deliver()
    ids = [json.loads(request.body)["id"] for request in receiver.requests]
    assert len(ids) == EVENTS
    lost = random.Random(now().timestamp()).choice(ids)
    with time_machine.travel(now() + timedelta(days=2), tick=True):
        assert script.missed(day, set(ids), TRIGGERS) == []
        assert script.missed(day, {*ids} - {lost}, TRIGGERS) == [lost]
        script.send_again(hook.uid, [lost])
        deliver()
    again = [json.loads(request.body)["id"] for request in receiver.requests[EVENTS:]]
    assert again == [lost]
