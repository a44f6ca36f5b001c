"""A webhook's limit of requests per second: kept by all workers together, and at no other webhook's cost."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.clock import now
from calapp.config import Settings
from calapp.deliveries.engine import Engine
from calapp.deliveries.models import Attempt, Delivery, State
from calapp.webhooks.models import Webhook
from tests.api.conftest import Client, details
from tests.conftest import on_both_databases
from tests.deliveries.conftest import subscribed
from tests.integrations.conftest import HTMX, filled
from tests.receiver import Receiver

pytestmark = on_both_databases

URL = "http://127.0.0.1:9/hook"
BODY = {"subscriberUrl": URL, "triggers": ["BOOKING_CREATED"]}


@pytest.fixture
def workers(app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that lets two workers deliver for so many seconds."""

    def work(engine: Engine, over: threading.Event) -> None:
        with app.app_context():
            while not over.is_set():
                engine.deliver()
                time.sleep(0.01)

    def run(seconds: float) -> None:
        over = threading.Event()
        monkeypatch.setattr("calapp.deliveries.engine.stop_requested", over.is_set)
        engines = [Engine(settings) for _ in range(2)]
        threads = [threading.Thread(target=work, args=(engine, over)) for engine in engines]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        over.set()
        for thread, engine in zip(threads, engines, strict=True):
            thread.join()
            engine.sender.close()

    return run


def test_two_workers_together_keep_the_limit_and_the_others_go_on(
    webhook: Webhook,
    rick: User,
    receiver: Receiver,
    change: Callable,
    saved: Callable,
    happen: Callable,
    workers: Callable[[float], None],
    session: Session,
) -> None:
    limit = 5
    change(webhook, max_per_second=limit)
    saved(subscribed(rick, receiver.url("/free")))
    for number in range(3 * limit):
        happen(f"chain {number}")
    workers(2.0)
    session.rollback()
    claimed = list(session.scalars(select(Attempt.at).where(Attempt.webhook_id == webhook.id).order_by("at")))
    span = (claimed[-1] - claimed[0]).total_seconds()
    assert limit * span - 2 <= len(claimed) <= limit * span + 2
    assert len(claimed) >= limit  # in two seconds, however slow this machine is
    assert [request.path for request in receiver.requests].count("/free") == 3 * limit


def test_what_is_sent_now_does_not_wait_for_the_limit(
    webhook, change, happen, deliver, rick_client: FlaskClient, receiver, session
) -> None:
    change(webhook, max_per_second=1)
    happen("chain 0")
    deliver()
    before = now() + timedelta(minutes=1)  # however slow this machine is
    change(webhook, limited_until=before)
    happen("chain 1")
    deliver()
    assert len(receiver.requests) == 1
    last = session.scalars(select(Delivery.id).order_by(Delivery.id.desc())).first()
    rick_client.post(f"/integrations/webhooks/{webhook.id}/deliveries/{last}/resend")
    deliver()
    assert len(receiver.requests) == 2
    session.refresh(webhook)
    assert webhook.limited_until >= before + timedelta(seconds=0.8)  # it counts


def test_log_and_api_say_what_a_delivery_waits_for(
    webhook, change, happen, deliver, rick_client: FlaskClient, rick_api: Client, session: Session
) -> None:
    change(webhook, max_per_second=5, limited_until=now() + timedelta(minutes=1))
    for number in range(2):
        happen(f"chain {number}")
    deliver()
    page = rick_client.get(f"/integrations/webhooks/{webhook.id}/deliveries").text
    assert page.count("limited to 5 requests per second") == 2
    rows = rick_api.data(f"/v2/webhooks/{webhook.uid}/deliveries?state=waiting")
    assert [row["waitingFor"] for row in rows] == ["limit", "limit"]
    assert len(session.scalars(select(Delivery).where(Delivery.state == State.WAITING)).all()) == 2


def test_box_and_api_save_and_remove_a_limit(
    rick_client: FlaskClient, rick_api: Client, session: Session
) -> None:
    made = rick_api.post("/v2/webhooks", BODY | {"maxPerSecond": 5.0}).get_json()["data"]
    assert made["maxPerSecond"] == 5
    webhook = session.scalars(select(Webhook)).one()
    address = f"/integrations/webhooks/{webhook.id}/edit"
    assert 'name="max_per_second" type="text" value="5"' in rick_client.get(address).text
    rick_client.post(address, data=filled(URL, max_per_second="1000"))
    session.refresh(webhook)
    assert webhook.max_per_second == 1000
    changed = rick_api.patch(f"/v2/webhooks/{webhook.uid}", {"maxPerSecond": None})
    assert changed.get_json()["data"]["maxPerSecond"] is None


@pytest.mark.parametrize("value", [0, -1, 1001, 2.5, "5", True])
def test_what_is_no_limit_is_refused(rick_api: Client, value: object) -> None:
    assert "maxPerSecond" in details(rick_api.post("/v2/webhooks", BODY | {"maxPerSecond": value}))


@pytest.mark.parametrize("value", ["0", "1001", "2.5", "many", "²"])
def test_the_box_marks_what_is_no_limit(rick_client: FlaskClient, value: str) -> None:
    page = rick_client.post(
        "/integrations/webhooks/new", data=filled(URL, max_per_second=value), headers=HTMX
    )
    assert (page.status_code, "from 1 to 1,000" in page.text) == (422, True)
