"""Claims that PostgreSQL answers in one round trip: what they take, and what they leave to the others."""

from datetime import timedelta

import pytest
from sqlalchemy import select, text

from calapp.clock import now
from calapp.db import db
from calapp.deliveries.claims import Claim, claim_at_once
from calapp.deliveries.models import Delivery
from calapp.direct import Direct
from calapp.webhooks.models import Webhook
from tests.deliveries.conftest import subscribed

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

LEASE = timedelta(seconds=30)
MANY = 100


def claimed(*webhook_ids: int) -> Claim | None:
    """Claim as an engine of another process would: on a connection of its own."""
    return claim_at_once(Direct(db.engine), dict.fromkeys(webhook_ids, MANY), LEASE)


def test_what_is_due_is_claimed_under_a_lease_with_what_it_takes_to_send_it(
    webhook: Webhook, happen, session
) -> None:
    happen("one")
    found = claimed(webhook.id)
    assert found is not None
    row, target = found.rows[0], found.webhooks[webhook.id]
    delivery = session.scalars(select(Delivery)).one()
    assert (row.id, row.event_uid, row.event_body) == (delivery.id, delivery.event.uid, delivery.event.body)
    assert (delivery.claim, delivery.due_at, delivery.attempts) == (found.token, found.at + LEASE, 1)
    assert (target.subscriber_url, target.secret, target.headers) == (
        webhook.subscriber_url,
        webhook.secret,
        webhook.headers,
    )


def test_two_processes_never_claim_the_same(webhook: Webhook, happen) -> None:
    happen("one")
    with db.engine.connect() as other, other.begin():  # in the midst of a claim of its own
        other.execute(text("SELECT id FROM delivery FOR UPDATE"))
        assert claimed(webhook.id) is None
    found = claimed(webhook.id)
    assert found is not None
    assert len(found.rows) == 1
    assert claimed(webhook.id) is None


@pytest.mark.parametrize(
    "other",
    [
        {"max_per_second": 1},
        {"failures": 5},
        {"backoff_until": now() + timedelta(days=1)},
        {"retry_after_until": now() + timedelta(days=1)},
        {"active": False},
        {"deleted_at": now()},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_webhook_of_which_more_has_to_be_known_is_left_to_the_others(
    rick, webhook: Webhook, happen, saved, change, receiver, session, other
) -> None:
    one = subscribed(rick, receiver.url("/other"))
    saved(one)
    happen("one")
    change(one, **other)
    found = claimed(webhook.id, one.id)
    assert found is not None
    assert [row.webhook_id for row in found.rows] == [webhook.id]
    query = select(Delivery.claim, Delivery.attempts).where(Delivery.webhook_id == one.id)
    assert session.execute(query).all() == [(None, 0)]


@pytest.mark.parametrize(
    "gone", [{"expires_at": now() - timedelta(days=1)}, {"due_at": now() + timedelta(days=1)}]
)
def test_what_has_expired_or_is_not_due_is_left(webhook: Webhook, happen, change, session, gone) -> None:
    happen("one")
    change(session.scalars(select(Delivery)).one(), **gone)
    assert claimed(webhook.id) is None


def test_a_webhook_with_a_limit_gets_its_events_beside_one_without(
    rick, webhook: Webhook, happen, saved, change, receiver, deliver, session
) -> None:
    one = subscribed(rick, receiver.url("/other"))
    saved(one)
    change(one, max_per_second=100)
    for number in range(3):
        happen(f"chain {number}")
    deliver()
    paths = [request.path for request in receiver.requests]
    assert (len(paths), paths.count("/other")) == (6, 3)


def test_what_a_claim_in_one_round_trip_leaves_is_not_forgotten(
    rick, webhook: Webhook, happen, saved, change, receiver, engine
) -> None:
    limited = subscribed(rick, receiver.url("/other"))
    saved(limited)
    change(limited, max_per_second=100)
    happen("one")
    assert len(engine.claim()) == 1
    assert limited.id in engine.known
    assert len(engine.claim()) == 1
