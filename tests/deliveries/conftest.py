"""A receiver on loopback, a webhook that points to it, and the engine of a worker process."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.accounts.service import lock_user
from calapp.config import Settings
from calapp.db import transaction
from calapp.deliveries import outbox
from calapp.deliveries.client import Sender
from calapp.deliveries.engine import Engine
from calapp.deliveries.models import Event
from calapp.event_types.models import EventType
from calapp.webhooks.models import OF_BOOKINGS, Webhook
from tests.api.conftest import anyone, bob_api, rick_api, with_key
from tests.deliveries.requests_made import LOOPBACK, PATIENCE
from tests.receiver import Receiver, answer

__all__ = ["anyone", "bob_api", "rick_api", "with_key"]  # fixtures


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """A deadline longer than any test takes, and the schedule that a test names."""
    schedule = getattr(request, "param", (5, 300, 1800))
    return replace(settings, webhook_timeout=PATIENCE, webhook_retry_schedule=schedule)


@pytest.fixture
def sender() -> Iterator[Sender]:
    """A sender that gives a receiver longer than any test takes."""
    sender = Sender(slots=50, timeout=PATIENCE, guard=LOOPBACK)
    yield sender
    sender.close()


@pytest.fixture
def hasty() -> Iterator[Sender]:
    """A sender that gives a receiver a second."""
    sender = Sender(slots=50, timeout=1.0, guard=LOOPBACK)
    yield sender
    sender.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def subscribed(user: User, url: str, **values: object) -> Webhook:
    """Return a webhook with every trigger on."""
    triggers = [str(trigger) for trigger in OF_BOOKINGS]
    return Webhook(user_id=user.id, subscriber_url=url, triggers=triggers, **values)


@pytest.fixture
def webhook(rick: User, receiver: Receiver, saved: Callable[..., None]) -> Webhook:
    webhook = subscribed(rick, receiver.url(), secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    saved(webhook)
    return webhook


@pytest.fixture
def happen(rick: User, quick_chat: EventType) -> Callable[..., Event]:
    """Return a function that records an event of a chain, as a booking does."""

    def record(chain: str = "chain", sequence: int = 1, trigger: str = "BOOKING_CREATED", **more) -> Event:
        with transaction() as session:
            recorded = outbox.record(
                session,
                user=lock_user(session, rick.id),
                trigger=trigger,
                payload={"uid": chain, "sequence": sequence, "metadata": {"user_id": "123"}},
                chain=chain,
                sequence=sequence,
                subject=chain,
                event_type_id=quick_chat.id,
                **more,
            )
            return session.get_one(Event, recorded.id)

    return record


@pytest.fixture
def engine(app: Flask, settings: Settings) -> Iterator[Engine]:
    engine = Engine(settings)
    yield engine
    engine.sender.close()


@pytest.fixture
def at_work(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AbstractContextManager[Engine]]:
    """Return a function that has an engine deliver in a thread while a block runs, and stops it then.

    It delivers what is due when the block begins, and for as long as something is in flight what comes
    meanwhile.
    """

    @contextmanager
    def run(engine: Engine) -> Iterator[Engine]:
        over = threading.Event()

        def work() -> None:
            with app.app_context():
                engine.deliver()

        with monkeypatch.context() as patched:
            patched.setattr(engine, "stopping", over.is_set)
            thread = threading.Thread(target=work)
            thread.start()
            try:
                yield engine
            finally:
                over.set()
                thread.join()

    return run


@pytest.fixture
def deliver(engine: Engine, session: Session) -> Callable[[], None]:
    """Return a function that delivers everything that is due, as the RQ job does."""

    def run() -> None:
        engine.deliver()
        session.rollback()

    return run


EVENT_ID = re.compile(rb"evt_[0-9a-f]+")


def by_body(answers: dict[bytes, bytes]) -> Callable[[Receiver, object], None]:
    """Return a behaviour that answers by a word in the body, and otherwise 200; the event's id is random."""

    def behave(receiver: Receiver, connection) -> None:
        while (request := receiver.read(connection)) is not None:
            body = EVENT_ID.sub(b"", request.body)
            found = [one for word, one in answers.items() if word in body]
            connection.sendall(found[0] if found else answer())

    return behave
