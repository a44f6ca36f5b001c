"""Who comes next when there are more endpoints than slots, and how soon."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from calapp.config import Settings
from calapp.deliveries.claims import last_attempts
from calapp.deliveries.engine import Engine, patience
from calapp.deliveries.models import Attempt, Delivery
from calapp.deliveries.policy import ConcurrencyLimits, Ready
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases
from tests.deliveries.conftest import subscribed
from tests.deliveries.requests_made import PATIENCE
from tests.receiver import Receiver, answer, silent
from tests.running import wait_until

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SLOTS = 64


def due(*webhook_ids: int, failures: int = 0) -> list[Ready]:
    """Return endpoints that have something due, the first named for longest."""
    return [Ready(one, failures, NOON + timedelta(seconds=place)) for place, one in enumerate(webhook_ids)]


@pytest.fixture
def limits() -> ConcurrencyLimits:
    return ConcurrencyLimits(slots=SLOTS, most=16)


def test_those_that_have_not_answered_leave_a_quarter_free(limits) -> None:
    quotas = limits.quotas(due(*range(400)), {}, SLOTS)
    assert sum(quotas.values()) == 48


def test_one_whose_last_try_succeeded_finds_a_place_in_a_fresh_process(limits) -> None:
    hanging = {number: [0.5] for number in range(48)}
    limits.learn({**dict.fromkeys(hanging), 100: True})
    assert limits.quotas(due(50, 51, 100), hanging, 16) == {100: 4}


def test_those_whose_last_try_failed_get_half_in_a_fresh_process(limits) -> None:
    limits.learn(dict.fromkeys(range(100), False))
    quotas = limits.quotas(due(*range(100)), {}, SLOTS)
    assert sum(quotas.values()) == SLOTS // 2


def test_failing_endpoints_leave_a_place_to_one_that_is_new(limits) -> None:
    failing = {number: [0.5] for number in range(32)}
    limits.learn(dict.fromkeys(range(100), False))
    assert limits.quotas(due(*range(50, 100), 200), failing, 32).keys() == {200}


def test_one_that_succeeded_and_now_hangs_counts_as_slow_after_a_second(limits) -> None:
    hanging = {number: [1.1] for number in range(32)}
    limits.learn(dict.fromkeys(hanging, True))
    assert limits.quotas(due(*hanging), hanging, 32) == {}


def test_all_that_hang_at_once_hold_the_others_up_for_a_second_only(limits) -> None:
    young, old = ({number: [age] for number in range(SLOTS)} for age in (0.9, 1.1))
    assert (limits.free(young), limits.free(old)) == (0, SLOTS // 2)


def test_never_are_more_than_twice_the_slots_out(limits) -> None:
    assert limits.free({number: [1.1] for number in range(2 * SLOTS - 1)}) == 1


def test_what_the_database_says_does_not_replace_what_was_seen(limits) -> None:
    limits.seen(1, success=False, seconds=0.1)
    limits.learn({1: True})
    assert limits.endpoints[1].failures == 1


def test_only_endpoints_that_are_not_known_are_looked_up(limits) -> None:
    limits.learn({1: True, 2: False, 3: None})
    assert limits.unknown(due(1, 2, 3, 4)) == [4]


def test_work_is_looked_for_often_but_no_oftener_than_can_be_afforded() -> None:
    assert [patience(worked) for worked in (0.001, 0.005, 1.0)] == [0.01, 0.02, 0.05]


@on_both_databases
def test_the_newest_try_of_each_endpoint_is_read(rick, webhook, saved, happen, session) -> None:
    failing, never = (subscribed(rick, f"http://hooks.example.com/{name}") for name in ("failing", "never"))
    saved(failing, never)
    happen()
    saved(*tries(session, webhook, "No response", None), *tries(session, failing, None, "No response"))
    wanted = {webhook.id: True, failing.id: False, never.id: None}
    assert last_attempts(session, list(wanted)) == wanted


def tries(session, webhook: Webhook, *failures: str | None) -> list[Attempt]:
    """Return tries of a webhook's delivery, the oldest first; None is a success."""
    delivery = session.scalars(select(Delivery).where(Delivery.webhook_id == webhook.id)).one()
    return [
        Attempt(
            delivery_id=delivery.id,
            webhook_id=webhook.id,
            number=number,
            at=NOON + timedelta(seconds=number),
            failure=failure,
        )
        for number, failure in enumerate(failures, 1)
    ]


@on_both_databases
def test_a_fresh_process_finds_what_works_behind_many_that_hang(
    rick, webhook, receiver, saved, change, happen, settings, at_work
) -> None:
    change(webhook, triggers=["BOOKING_CREATED"])
    happen("before")
    with worker(settings) as first:
        first.deliver()
    with Receiver(silent) as hanging, worker(settings) as fresh:
        enemies = [subscribed(rick, hanging.url(f"/{number}")) for number in range(20)]
        for enemy in enemies:
            enemy.triggers = ["BOOKING_CANCELLED"]
        saved(*enemies)
        happen("before", sequence=2, trigger="BOOKING_CANCELLED")
        with at_work(fresh):
            wait_until(lambda: len(hanging.requests) == 6)  # all that there is for those without a response
            happen("after")
            wait_until(lambda: len(receiver.requests) == 2, PATIENCE / 2)
            hanging.ended.set()
    assert len(receiver.requests) == 2


@contextmanager
def worker(settings: Settings, slots: int = 8) -> Iterator[Engine]:
    """Give the engine of a process that has just started, with few slots."""
    engine = Engine(replace(settings, webhook_concurrency=slots))
    yield engine
    engine.sender.close()


def test_o5_a_slow_success_opens_the_limit(limits) -> None:
    for _ in range(4):
        limits.seen(1, success=True, seconds=14.0)
    assert limits.quotas(due(1), {}, SLOTS) == {1: 16}


def test_o5_slow_endpoints_together_hold_half_of_the_slots(limits) -> None:
    for one in range(20):
        for _ in range(4):
            limits.seen(one, success=True, seconds=1.1)
    limits.seen(100, success=True, seconds=0.1)
    quotas = limits.quotas(due(*range(20), 100), {}, SLOTS)
    assert sum(quotas.values()) - quotas[100] == SLOTS // 2
    assert quotas[100] == 8


def test_o5_a_refusal_neither_opens_nor_shuts_the_limit(limits) -> None:
    limits.learn({1: True})
    for _ in range(10):
        limits.refused(1, seconds=0.1)
    assert limits.quotas(due(1), {}, SLOTS) == {1: 4}


def late(receiver: Receiver, connection: socket.socket) -> None:
    """Answer 200 after 1.1 s."""
    while receiver.read(connection) is not None:
        receiver.ended.wait(1.1)
        connection.sendall(answer())


def test_o5_twelve_events_a_second_reach_a_receiver_that_takes_a_second(
    rick, saved, happen, settings, at_work
) -> None:
    with Receiver(late) as receiver, worker(settings, slots=64) as engine:
        saved(subscribed(rick, receiver.url()))
        happen("first")
        with at_work(engine):
            began = time.monotonic()
            for number in range(59):
                time.sleep(max(0.0, began + number / 12 - time.monotonic()))
                happen(f"chain {number}")
            wait_until(lambda: len(receiver.requests) == 60)
            took = time.monotonic() - began
    assert took < 5 + 10  # at four at a time it takes 16.5 s
