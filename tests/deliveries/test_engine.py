"""From a recorded event to the receiver and the log."""

import time
from datetime import timedelta

from sqlalchemy import delete, select, update
from standardwebhooks import Webhook as Verifier

from calapp.clock import now
from calapp.db import transaction
from calapp.deliveries.maintenance import anything_due
from calapp.deliveries.models import Attempt, Delivery, State
from calapp.webhooks.models import OffReason
from tests.conftest import on_both_databases
from tests.deliveries.conftest import subscribed
from tests.receiver import Receiver, answer, silent
from tests.running import wait_until

pytestmark = on_both_databases

ERROR = answer("500 Internal Server Error")
AWAY = answer("503 Service Unavailable")


def states(session) -> list[str]:
    return list(session.scalars(select(Delivery.state).order_by(Delivery.id)))


def test_an_event_arrives_signed_at_the_receiver(webhook, receiver, happen, deliver) -> None:
    event = happen()
    deliver()
    request = receiver.requests[0]
    Verifier(webhook.secret).verify(request.body, request.headers)
    assert request.headers["webhook-id"] == event.uid
    assert request.headers["x-calapp-attempt"] == "1"


def test_a_delivery_and_its_attempt_are_written_down(webhook, receiver, happen, deliver, session) -> None:
    happen()
    deliver()
    attempt = session.scalars(select(Attempt)).one()
    assert states(session) == ["delivered"]
    assert (attempt.status, attempt.response_body, attempt.failure) == (200, "ok", None)
    assert attempt.total_ms >= attempt.first_byte_ms > 0


def test_a_failed_try_comes_due_by_the_schedule(webhook, receiver, happen, deliver, session, clock) -> None:
    receiver.behave = ERROR
    happen()
    deliver()
    delivery = session.scalars(select(Delivery)).one()
    assert timedelta(seconds=3) < delivery.due_at - now() < timedelta(seconds=7)
    assert "500 Internal Server Error" in delivery.reason
    receiver.behave = answer()
    clock.shift(7)
    deliver()
    assert [request.headers["x-calapp-attempt"] for request in receiver.requests] == ["1", "2"]
    assert states(session) == ["delivered"]


def test_after_the_last_try_the_delivery_is_failed(
    webhook, receiver, happen, deliver, session, clock
) -> None:
    receiver.behave = ERROR
    happen()
    for _ in range(6):
        deliver()
        clock.shift(86400)
    assert len(receiver.requests) == 4
    assert states(session) == ["failed"]


def test_a_webhook_without_a_secret_says_so(rick, receiver, saved, happen, deliver) -> None:
    saved(subscribed(rick, receiver.url()))
    happen()
    deliver()
    assert receiver.requests[0].headers["x-cal-signature-256"] == "no-secret-provided"
    assert "webhook-signature" not in receiver.requests[0].headers


def test_during_the_overlap_both_secrets_sign(webhook, receiver, happen, deliver, change) -> None:
    old = webhook.secret
    change(webhook, secret="new secret", old_secret=old, old_secret_until=now() + timedelta(hours=1))
    happen()
    deliver()
    request = receiver.requests[0]
    for secret in (old, b"new secret"):
        payload = Verifier(secret).verify(request.body, request.headers)
        assert payload["triggerEvent"] == "BOOKING_CREATED"


def test_a_later_event_of_a_booking_waits_behind_the_earlier(
    webhook, receiver, happen, deliver, session, clock
) -> None:
    receiver.behave = ERROR
    happen(sequence=1)
    deliver()
    happen(sequence=2, trigger="BOOKING_CANCELLED")
    receiver.behave = answer()
    deliver()
    assert states(session) == ["waiting", "waiting"]
    clock.shift(10)
    deliver()
    triggers = [b"CANCELLED" in request.body for request in receiver.requests]
    assert triggers == [False, False, True]


def test_the_first_success_makes_waiting_retries_due(
    webhook, receiver, happen, deliver, session, clock
) -> None:
    receiver.behave = AWAY
    happen()
    deliver()
    receiver.behave = answer()
    happen(chain="other")
    deliver()
    assert states(session) == ["delivered", "delivered"]


def test_410_switches_the_webhook_off_and_parks(webhook, receiver, happen, deliver, session) -> None:
    receiver.behave = answer("410 Gone")
    happen()
    deliver()
    happen(sequence=2)
    session.refresh(webhook)
    assert (webhook.active, webhook.off_reason) == (False, OffReason.GONE)
    assert states(session) == ["parked", "parked"]


def test_retry_after_holds_the_whole_webhook(webhook, receiver, happen, deliver, session, clock) -> None:
    receiver.behave = answer("503 Service Unavailable", b"", "Retry-After: 7")
    happen()
    deliver()
    happen(chain="other")
    receiver.behave = answer()
    deliver()
    assert len(receiver.requests) == 1
    clock.shift(8)
    deliver()
    assert states(session) == ["delivered", "delivered"]


def test_after_five_failures_one_delivery_at_a_time_is_tried(
    webhook, receiver, happen, deliver, session, clock
) -> None:
    receiver.behave = AWAY
    for number in range(30):
        happen(chain=f"chain {number}")
    deliver()
    tried = len(receiver.requests)
    clock.shift(6.5)
    deliver()
    session.refresh(webhook)
    assert tried <= 12
    assert len(receiver.requests) == tried + 1
    assert webhook.backoff_until > now()


def test_a_receiver_that_comes_back_gets_everything_at_once(
    webhook, receiver, happen, deliver, session, clock
) -> None:
    receiver.behave = AWAY
    for number in range(30):
        happen(chain=f"chain {number}")
    deliver()
    receiver.behave = answer()
    clock.shift(3600)
    deliver()
    assert set(states(session)) == {"delivered"}


def test_a_lost_lease_comes_due_again_by_itself(webhook, receiver, happen, engine, deliver, clock) -> None:
    happen()
    engine.claim()  # and the process dies here
    deliver()
    assert receiver.requests == []
    clock.shift(40)
    deliver()
    assert len(receiver.requests) == 1


def test_a_late_answer_of_a_lost_lease_counts_when_good(webhook, receiver, happen, engine, session, clock):
    happen()
    first = engine.claim()
    clock.shift(40)
    engine.claim()
    engine.sender.start(first)
    engine.deliver()
    session.rollback()
    assert states(session) == ["delivered"]


def test_a_meeting_that_has_passed_is_expired_not_sent(webhook, receiver, happen, deliver, session) -> None:
    happen(expires_at=now() - timedelta(seconds=1), trigger="MEETING_STARTED")
    deliver()
    delivery = session.scalars(select(Delivery)).one()
    assert receiver.requests == []
    assert delivery.state == State.EXPIRED
    assert "expired before" in delivery.reason


def test_what_has_expired_does_not_hold_up_what_is_due_behind_it(
    webhook, receiver, happen, engine, session
) -> None:
    for number in range(12):  # more than there are places for an endpoint that is new
        happen(chain=f"{number}", expires_at=now() - timedelta(seconds=1), trigger="MEETING_STARTED")
    happen(chain="last")
    engine.deliver()  # ends when nothing is due any more
    session.rollback()
    assert len(receiver.requests) == 1
    assert sorted(states(session)) == ["delivered", *["expired"] * 12]


def test_a_late_response_does_not_end_another_delivery_that_got_its_id(
    webhook, receiver, happen, engine, session, clock
) -> None:
    happen(chain="first")
    first = engine.claim()
    with transaction():
        session.execute(delete(Delivery))  # as with its webhook
    happen(chain="second")
    with transaction():
        session.execute(update(Delivery).values(id=first[0].delivery_id))  # as SQLite does
    engine.sender.start(first)
    engine.deliver()
    clock.shift(60)  # it may have been claimed while the other was out
    engine.deliver()
    session.rollback()
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 2
    assert states(session) == ["delivered"]


def test_a_deleted_webhook_receives_nothing_more(webhook, receiver, happen, deliver, change, session) -> None:
    happen()
    change(webhook, deleted_at=now(), active=False)
    deliver()
    assert receiver.requests == []
    assert not anything_due(session)


def test_a_hanging_endpoint_does_not_hold_up_another(
    rick, webhook, receiver, saved, happen, engine, at_work
) -> None:
    with Receiver(silent) as hanging:
        saved(*(subscribed(rick, hanging.url(f"/{number}")) for number in range(10)))
        for number in range(5):
            happen(chain=f"chain {number}")
        with at_work(engine):
            # Before any of the others has timed out; on a slow machine one of these may, and is sent again.
            wait_until(lambda: len({request.headers["webhook-id"] for request in receiver.requests}) == 5, 10)
            wait_until(lambda: len({request.path for request in hanging.requests}) == 10)
            hanging.ended.set()
    assert {request.path for request in hanging.requests} == {f"/{number}" for number in range(10)}


def test_an_address_that_is_closed_is_never_connected_to(
    rick, receiver, saved, happen, settings, engine, deliver, session
) -> None:
    saved(subscribed(rick, f"http://169.254.169.254:{receiver.port}/hook"))
    happen()
    deliver()
    attempt = session.scalars(select(Attempt)).one()
    assert attempt.failure_code == "blocked_address"
    assert receiver.connections == 0


def test_of_two_webhooks_with_one_url_one_is_told(
    rick, webhook, receiver, quick_chat, saved, happen, deliver
) -> None:
    saved(subscribed(rick, receiver.url(), event_type_id=quick_chat.id))
    happen()
    deliver()
    assert len(receiver.requests) == 1
    assert receiver.requests[0].headers["x-cal-signature-256"] == "no-secret-provided"


def test_a_template_shapes_the_body_of_its_webhook(rick, receiver, saved, happen, deliver) -> None:
    template = '{"who": "{{metadata.user_id}}", "all": "{{metadata}}", "n": {{sequence}}}'
    saved(subscribed(rick, receiver.url(), payload_template=template))
    happen()
    deliver()
    assert receiver.requests[0].body == b'{"who": "123", "all": {"user_id": "123"}, "n": 1}'


def test_new_work_goes_out_beside_a_receiver_that_hangs(
    rick, webhook, receiver, change, happen, engine, saved, at_work, session
) -> None:
    with Receiver(silent) as hanging:
        change(webhook, triggers=["BOOKING_CANCELLED"])
        enemy = subscribed(rick, hanging.url())
        enemy.triggers = ["BOOKING_CREATED"]
        saved(enemy)
        happen()
        with at_work(engine):
            wait_until(lambda: hanging.requests)
            began = time.monotonic()
            happen("other", trigger="BOOKING_CANCELLED")
            engine.sender.wake()
            wait_until(lambda: receiver.requests)
            wait_until(lambda: session.rollback() or states(session) == ["waiting", "delivered"])
            took = time.monotonic() - began
            hanging.ended.set()
    assert took < 10  # the one that hangs has twenty seconds, and holds up neither the request nor its record
