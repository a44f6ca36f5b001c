"""The feed: every event in order, whether or not a webhook was told; an old cursor is told so."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import delete, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from calapp import shutdown
from calapp.accounts import service as accounts
from calapp.accounts.models import ApiKey, User
from calapp.clock import now
from calapp.config import Settings
from calapp.db import db, transaction
from calapp.deliveries import feed, maintenance
from calapp.deliveries.models import Event
from calapp.integrations import ping
from tests.api.conftest import Client, KeyMaker, details
from tests.conftest import on_both_databases

Happen = Callable[..., Event]


def page(client: Client, query: str = "") -> tuple[list[Any], Any]:
    """Return the events and the pagination of a page."""
    answer = client.get(f"/v2/events?{query}")
    assert answer.status_code == 200, answer.text
    return answer.get_json()["data"], answer.get_json()["pagination"]


def happened_days_ago(*events: Event, days: float) -> None:
    with transaction() as session:
        ids = [event.id for event in events]
        values = {"created_at": now() - timedelta(days=days)}
        session.execute(update(Event).where(Event.id.in_(ids)).values(values))


def test_an_event_nobody_subscribed_to_is_in_the_feed(rick_api: Client, happen: Happen) -> None:
    event = happen()
    [shown], pagination = page(rick_api)
    assert (shown["id"], shown["triggerEvent"], shown["body"]) == (event.uid, "BOOKING_CREATED", event.body)
    assert pagination == {"next": shown["cursor"], "hasMore": False}


def test_pages_give_every_event_once_and_in_order(rick_api: Client, happen: Happen) -> None:
    made = [happen(f"chain {number}").uid for number in range(7)]
    read, after, more = [], "0", True
    while more:
        events, pagination = page(rick_api, f"after={after}&take=3")
        read += [event["id"] for event in events]
        after, more = pagination["next"], pagination["hasMore"]
    assert read == made


def test_an_empty_page_says_where_to_go_on(rick_api: Client, happen: Happen) -> None:
    happen()
    _, first = page(rick_api)
    assert page(rick_api, f"after={first['next']}") == ([], {"next": first["next"], "hasMore": False})


def test_a_host_without_events_has_a_cursor(rick_api: Client, happen: Happen) -> None:
    _, empty = page(rick_api)
    event = happen()
    [shown], _ = page(rick_api, f"after={empty['next']}")
    assert shown["id"] == event.uid


def test_latest_leaves_out_what_has_happened(rick_api: Client, happen: Happen) -> None:
    happen()
    events, pagination = page(rick_api, "after=latest")
    later = happen("later")
    assert events == []
    assert [one["id"] for one in page(rick_api, f"after={pagination['next']}")[0]] == [later.uid]


def test_another_hosts_events_are_not_shown(bob_api: Client, happen: Happen) -> None:
    happen()
    assert page(bob_api) == ([], {"next": "0", "hasMore": False})


@pytest.mark.parametrize("after", ["2-00000000", "1-00000000", "99", "-1", "x", "1-", "9" * 40, "\u0661"])
def test_a_cursor_of_no_event_of_ours_is_refused(rick_api: Client, happen: Happen, after: str) -> None:
    happen()
    answer = rick_api.get("/v2/events", query_string={"after": after})
    assert answer.status_code == 400
    assert "after" in details(answer)


@pytest.mark.parametrize("query", ["take=0", "take=251", "take=x", "wait=-1", "wait=21", "wait=1.5"])
def test_numbers_out_of_range_are_refused(rick_api: Client, query: str) -> None:
    answer = rick_api.get(f"/v2/events?{query}")
    assert (answer.status_code, list(details(answer))) == (400, [query.partition("=")[0]])


@pytest.mark.parametrize("scopes", [("write",), ("read_secrets",)])
def test_a_key_that_may_not_read_sees_no_events(with_key: KeyMaker, rick: User, scopes: tuple) -> None:
    assert with_key(rick, *scopes).get("/v2/events").status_code == 403


def test_an_old_cursor_is_gone_and_told_where_to_go_on(rick_api: Client, happen: Happen) -> None:
    old = [happen(f"old {number}") for number in range(3)]
    kept = happen("kept")
    happened_days_ago(*old, days=31)
    answer = rick_api.get("/v2/events?after=1")
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (410, "cursor_expired")
    [shown], _ = page(rick_api, f"after={details(answer)['oldest']}")
    assert shown["id"] == kept.uid


def test_a_cursor_of_the_last_old_event_misses_nothing(rick_api: Client, happen: Happen) -> None:
    happened_days_ago(happen("old"), days=300)
    kept = happen("kept")
    assert [one["id"] for one in page(rick_api, "after=1")[0]] == [kept.uid]


def test_a_reader_that_was_away_until_events_were_removed_is_told_so(
    rick_api: Client, happen: Happen, session: Session
) -> None:
    events = [happen(f"old {number}") for number in range(3)]
    happened_days_ago(*events, days=400)
    cursor = details(rick_api.get("/v2/events?after=1"))["oldest"]
    kept = happen("kept")
    before = feed.cursor(1, events[0].uid)
    with transaction() as writing:
        writing.execute(delete(Event).where(Event.id.in_([one.id for one in events])))
    for place in (before, "1", "0"):
        assert rick_api.get(f"/v2/events?after={place}").status_code == 410
    assert [one["id"] for one in page(rick_api, f"after={cursor}")[0]] == [kept.uid]
    assert [one["id"] for one in page(rick_api)[0]] == [kept.uid]


def test_a_reader_that_was_away_while_nothing_happened_goes_on(rick_api: Client, happen: Happen) -> None:
    happened_days_ago(happen("old"), days=300)
    assert page(rick_api, "after=1")[0] == []


def test_without_a_cursor_the_oldest_kept_event_comes_first(rick_api: Client, happen: Happen) -> None:
    happened_days_ago(*(happen(f"old {number}") for number in range(9)), days=31)
    kept = [happen(f"kept {number}").uid for number in range(4)]
    assert [one["id"] for one in page(rick_api)[0]] == kept


def test_the_feed_reaches_back_as_far_as_bodies_are_kept(
    app: Flask, settings: Settings, rick_api: Client, happen: Happen, session: Session
) -> None:
    happened_days_ago(happen("old"), days=3)
    stopping_at = replace(settings, retention_days=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("calapp.config._Process.settings", stopping_at)
        with transaction() as writing:
            maintenance.prune(writing)
        assert rick_api.get("/v2/events?after=0").status_code == 410
        assert page(rick_api) == ([], {"next": page(rick_api)[1]["next"], "hasMore": False})


def test_an_erased_event_keeps_its_place_without_a_body(
    rick_api: Client, happen: Happen, change: Callable[..., None]
) -> None:
    change(happen("erased"), body=None)
    later = happen("later")
    shown, _ = page(rick_api)
    assert [(one["id"] == later.uid, one["body"]) for one in shown] == [(False, None), (True, later.body)]


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> feed.Places:
    places = feed.Places(3, 2, "long polls")
    monkeypatch.setattr(feed, "places", places)
    return places


class Poll:
    """A request that waits, in a thread of its own."""

    def __init__(self, client: Client, query: str) -> None:
        self.answers: list[tuple[TestResponse, float]] = []
        self.thread = threading.Thread(target=self._ask, args=(client, query))
        self.thread.start()

    def _ask(self, client: Client, query: str) -> None:
        begun = time.monotonic()
        answer = client.browser.get(f"/v2/events?{query}", headers={"Authorization": f"Bearer {client.key}"})
        self.answers.append((answer, time.monotonic() - begun))

    def answer(self) -> tuple[TestResponse, float]:
        """Return the answer and after how many seconds it came."""
        self.thread.join(25)
        return self.answers[0]


@pytest.fixture
def poll(app: Flask) -> Iterator[Callable[[Client, str], Poll]]:
    polls: list[Poll] = []

    def start(client: Client, query: str) -> Poll:
        polls.append(Poll(client, query))
        return polls[-1]

    yield start
    for one in polls:
        one.thread.join(25)


def wait_for_taken(places: feed.Places, count: int) -> None:
    until = time.monotonic() + 20
    while places._taken.total() < count and time.monotonic() < until:
        time.sleep(0.01)
    assert places._taken.total() == count


@on_both_databases
def test_who_waits_is_answered_when_something_happens(
    rick_api: Client, happen: Happen, places: feed.Places, poll: Callable
) -> None:
    waits = poll(rick_api, "after=0&wait=20")
    wait_for_taken(places, 1)
    event = happen()
    answer, seconds = waits.answer()
    assert [one["id"] for one in answer.get_json()["data"]] == [event.uid]
    assert seconds < 15


@on_both_databases
def test_who_waits_holds_no_connection(
    app: Flask, rick_api: Client, places: feed.Places, poll: Callable, session: Session
) -> None:
    session.rollback()
    polls = [poll(rick_api, "after=0&wait=1") for _ in range(2)]
    wait_for_taken(places, 2)
    held = []
    for _ in range(50):
        held.append(db.engine.pool.checkedout())
        time.sleep(0.01)
    assert held.count(0) > 30  # all but the moments in which they look
    assert all(one.answer()[0].get_json()["data"] == [] for one in polls)


def test_nothing_in_time_is_an_empty_page(rick_api: Client) -> None:
    begun = time.monotonic()
    assert page(rick_api, "wait=1") == ([], {"next": "0", "hasMore": False})
    assert 1 <= time.monotonic() - begun < 10


def test_d9_a_third_request_of_a_host_does_not_wait(rick_api: Client, places: feed.Places) -> None:
    number = db.session().query(ApiKey.user_id).scalar()
    with places.taken(number), places.taken(number):
        begun = time.monotonic()
        assert page(rick_api, "wait=20")[0] == []
        assert time.monotonic() - begun < 10
    assert places._taken.total() == 0


def test_all_keys_together_hold_few_threads(rick_api: Client, places: feed.Places) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(places.taken(key)) for key in (901, 902, 903, 904)]
        begun = time.monotonic()
        assert page(rick_api, "wait=20")[0] == []
        assert time.monotonic() - begun < 10
    assert held == [True, True, True, False]


def test_a_key_revoked_meanwhile_is_told_nothing(
    rick_api: Client, rick: User, happen: Happen, places: feed.Places, poll: Callable
) -> None:
    waits = poll(rick_api, "after=0&wait=20")
    wait_for_taken(places, 1)
    with transaction() as session:
        accounts.revoke_api_key(session, rick.id, session.query(ApiKey.id).scalar())
    happen()
    assert waits.answer()[0].status_code == 401


def test_a_server_that_stops_answers_who_waits(
    rick_api: Client, places: feed.Places, poll: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = poll(rick_api, "after=0&wait=20")
    wait_for_taken(places, 1)
    monkeypatch.setattr(shutdown._Stop, "asked_at", 1.0)
    answer, seconds = waits.answer()
    assert (answer.status_code, answer.get_json()["data"]) == (200, [])
    assert seconds < 15


def test_d9_hanging_pings_of_one_host_leave_places_for_another() -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(ping.places.taken(host)) for host in (1, 1, 1, 1, 2)]
    assert held == [True, True, False, False, True]
