"""When what failed was changed, everything that waits comes due at once."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from calapp.clock import now
from calapp.db import transaction
from calapp.deliveries import engine as jobs
from calapp.deliveries.models import Delivery
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import OffReason, Webhook
from calapp.webhooks.schemas import WebhookPatch
from tests.conftest import on_both_databases
from tests.receiver import Receiver, answer

pytestmark = on_both_databases

AWAY = answer("503 Service Unavailable")


@pytest.fixture
def stuck(webhook, receiver, happen, deliver, change) -> Webhook:
    """A webhook with five deliveries that are due in 14 hours, in backoff and under Retry-After."""
    receiver.behave = AWAY
    for number in range(5):
        happen(f"chain {number}")
    deliver()
    later = now() + timedelta(hours=14)
    change(webhook, backoff_until=later, retry_after_until=later)
    with transaction() as writing:
        writing.execute(update(Delivery).values(due_at=later, attempts_on_schedule=3))
    receiver.requests.clear()
    receiver.behave = answer()
    return webhook


def changed(webhook: Webhook, **values: object) -> None:
    with transaction() as session:
        found = session.get_one(Webhook, webhook.id)
        webhooks.update(
            session, found, WebhookPatch.model_validate(values, by_name=True), found.event_type_id
        )


def go_on(deliver: Callable[[], None]) -> None:
    jobs.continue_releases()
    deliver()


@pytest.mark.parametrize(
    "values",
    [
        {"subscriber_url": "/other"},
        {"secret": "another secret of mine"},
        {"headers": [{"name": "Authorization", "value": "Bearer 1"}]},
        {"payload_template": '{"a": "{{title}}"}'},
    ],
)
def test_d2_what_waits_goes_at_once_when_it_was_mended(values, stuck, receiver, deliver, session) -> None:
    if "subscriber_url" in values:
        values = {"subscriber_url": receiver.url(values["subscriber_url"])}
    changed(stuck, **values)
    go_on(deliver)
    session.refresh(stuck)
    assert len(receiver.requests) == 5
    assert (stuck.backoff_until, stuck.retry_after_until, stuck.releasing) == (None, None, False)


def test_d2_what_waits_goes_at_once_after_off_and_on(stuck, receiver, deliver) -> None:
    with transaction() as session:
        found = session.get_one(Webhook, stuck.id)
        webhooks.switch_off(found, OffReason.HOST)
        webhooks.switch_on(found)
    go_on(deliver)
    assert len(receiver.requests) == 5


@pytest.mark.parametrize("values", [{}, {"triggers": ["BOOKING_CREATED"]}])
def test_d2_a_save_that_mends_nothing_changes_nothing(values, stuck, receiver, deliver) -> None:
    changed(stuck, **values)
    go_on(deliver)
    assert receiver.requests == []


def test_d2_failures_of_the_former_address_count_no_more(
    webhook, receiver, happen, engine, deliver, session
) -> None:
    for number in range(4):
        happen(f"chain {number}")
    receiver.behave = AWAY
    requests = engine.claim()
    with Receiver() as other:
        changed(webhook, subscriber_url=other.url())
        engine.sender.start(requests)  # to the previous one
        deliver()
        session.refresh(webhook)
        assert webhook.failures == 0
        assert (len(receiver.requests), len(other.requests)) == (4, 4)


def test_d2_a_410_of_the_former_address_does_not_switch_it_off(
    webhook, receiver, happen, engine, deliver, session
) -> None:
    happen()
    receiver.behave = answer("410 Gone")
    requests = engine.claim()
    with Receiver() as other:
        changed(webhook, subscriber_url=other.url())
        engine.sender.start(requests)
        deliver()
        session.refresh(webhook)
        assert (webhook.active, len(other.requests)) == (True, 1)


def test_d2_ending_the_overlap_of_secrets_mends_too(stuck, change, receiver, deliver) -> None:
    change(stuck, old_secret="the old one", old_secret_until=now() + timedelta(hours=9))
    with transaction() as session:
        webhooks.use_only_new_secret(session.get_one(Webhook, stuck.id))
    go_on(deliver)
    assert len(receiver.requests) == 5


def test_d2_order_within_a_booking_stays(webhook, receiver, happen, deliver, session) -> None:
    receiver.behave = AWAY
    happen(sequence=1)
    deliver()
    happen(sequence=2)
    changed(webhook, subscriber_url=receiver.url("/other"))
    jobs.continue_releases()
    due = session.scalars(select(Delivery.due_at).order_by(Delivery.id)).all()
    assert (due[0] <= now(), due[1]) == (True, None)
