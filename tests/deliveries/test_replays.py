"""Replays: what was sent in a window is sent once more, with its ids, at the pace of the engine."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from calapp.clock import now
from calapp.db import transaction
from calapp.deliveries import jobs, replays
from calapp.deliveries.models import Replay, ReplayState
from calapp.deliveries.replays import Window
from calapp.errors import Conflict, Invalid
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases
from tests.receiver import Receiver

pytestmark = on_both_databases


def start(webhook: Webhook, *, only_failed: bool = False) -> Replay:
    window = Window(
        from_at=now() - timedelta(hours=1), to_at=now() + timedelta(hours=1), only_failed=only_failed
    )
    with transaction() as session:
        return replays.start(session, session.merge(webhook), window)


def ids(receiver: Receiver) -> list[str]:
    return [request.headers["webhook-id"] for request in receiver.requests]


def test_a_replay_sends_the_same_ids_in_order(
    webhook: Webhook, receiver: Receiver, happen: Callable, deliver: Callable[[], None]
) -> None:
    for sequence in range(1, 4):
        happen(sequence=sequence)
    deliver()
    start(webhook)
    jobs.continue_replays()
    deliver()
    assert ids(receiver)[3:] == ids(receiver)[:3]


def test_a_finished_replay_sends_nothing_more(
    webhook: Webhook, receiver: Receiver, happen: Callable, deliver: Callable[[], None], session: Session
) -> None:
    happen()
    deliver()
    replay = start(webhook)
    for _ in range(3):
        jobs.continue_replays()
        deliver()
    session.refresh(replay)
    assert (len(receiver.requests), replay.state, replay.done) == (2, ReplayState.DONE, 1)


def test_a_replay_goes_on_where_it_was(
    webhook: Webhook,
    receiver: Receiver,
    happen: Callable,
    deliver: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(5):
        happen(f"chain {number}")
    deliver()
    monkeypatch.setattr(replays, "MOST_WAITING", 2)
    start(webhook)
    for _ in range(4):  # each as if by another worker: what it needs is in the database
        jobs.continue_replays()
        deliver()
    assert sorted(ids(receiver)[5:]) == sorted(ids(receiver)[:5])


def test_a_stopped_replay_sends_no_more(
    webhook: Webhook, receiver: Receiver, happen: Callable, deliver: Callable[[], None]
) -> None:
    happen()
    deliver()
    start(webhook)
    with transaction() as session:
        replays.stop(session, webhook.id)
    jobs.continue_replays()
    deliver()
    assert len(receiver.requests) == 1


def test_only_one_replay_runs_for_a_webhook(webhook: Webhook, happen: Callable, deliver: Callable) -> None:
    happen()
    deliver()
    start(webhook)
    with pytest.raises(Conflict, match="running already"):
        start(webhook)


def test_a_window_without_events_is_refused(webhook: Webhook) -> None:
    with pytest.raises(Invalid, match="nothing to send"):
        start(webhook)


def test_a_replay_of_failed_ones_leaves_the_delivered(
    webhook: Webhook, happen: Callable, deliver: Callable[[], None]
) -> None:
    happen()
    deliver()
    with pytest.raises(Invalid, match="nothing to send"):
        start(webhook, only_failed=True)
