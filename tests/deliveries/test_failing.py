"""A webhook that keeps failing: noticed early, told once, by email and to the others, over by itself."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import maintenance
from calapp.accounts.models import User
from calapp.db import transaction
from calapp.deliveries import health
from calapp.deliveries import maintenance as delivery_maintenance
from calapp.deliveries.models import Delivery, Event, Notice
from calapp.mail import Email
from calapp.monitoring.metrics import readings
from calapp.webhooks import service as webhooks
from calapp.webhooks.models import OPERATIONAL, OffReason, Webhook
from calapp.webhooks.schemas import WebhookPatch
from tests.api.conftest import Client
from tests.conftest import on_both_databases
from tests.deliveries.conftest import by_body
from tests.receiver import Receiver, answer

pytestmark = on_both_databases

DOWN = answer("500 Internal Server Error")
HOUR = 3600
NAMES = [str(trigger) for trigger in OPERATIONAL]


@pytest.fixture
def watcher(rick: User, receiver: Receiver, saved: Callable[..., None]) -> Webhook:
    """Another webhook of the host, which is told of the others."""
    watcher = Webhook(user_id=rick.id, subscriber_url=receiver.url("/watcher"), triggers=NAMES, name="Pager")
    saved(watcher)
    return watcher


@pytest.fixture
def told(session: Session) -> Callable[[], list[str]]:
    """Return a function that lets maintenance look and returns the operational events, oldest first."""

    def look() -> list[str]:
        maintenance.watch_webhooks()
        session.rollback()
        query = select(Event.trigger).where(Event.trigger.in_(NAMES)).order_by(Event.id)
        return list(session.scalars(query))

    return look


@pytest.fixture
def fail(receiver: Receiver, happen, deliver) -> Callable[..., None]:
    """Return a function that lets the receiver refuse so many different events."""

    def run(count: int = 5, behave: object = DOWN) -> None:
        receiver.behave = behave
        for number in range(count):
            happen(f"chain {len(receiver.requests)} {number}")
            deliver()

    return run


def emails(session: Session) -> list[str]:
    session.rollback()
    return list(session.scalars(select(Email.subject).order_by(Email.id)))


def test_five_different_events_make_a_webhook_failing(webhook, watcher, fail, told, session) -> None:
    fail(4)
    assert told() == []
    fail(1)
    assert told() == ["WEBHOOK_FAILING"]
    session.refresh(webhook)
    assert (webhook.failing, watcher.failing) == (True, False)
    assert emails(session) == [f"Webhook failing: {webhook.subscriber_url}"]


def test_retries_of_one_event_make_it_failing_after_ten_minutes(
    webhook, watcher, fail, told, clock, deliver
) -> None:
    fail(1)
    for _ in range(5):
        clock.shift(90)
        deliver()
    assert told() == []
    clock.shift(200)
    assert told() == ["WEBHOOK_FAILING"]


def test_it_is_told_once_however_many_look(webhook, watcher, fail, told, session) -> None:
    fail()
    for _ in range(3):
        assert told() == ["WEBHOOK_FAILING"]
    assert len(emails(session)) == 1
    assert not health.anything_to_tell(session)


def test_two_workers_that_look_at_once_tell_it_once(webhook, watcher, fail, app, session) -> None:
    fail()
    together = threading.Barrier(2)

    def look() -> None:
        with app.app_context():
            together.wait()
            for _ in range(3):
                maintenance.watch_webhooks()

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = session.scalars(select(Event.trigger).where(Event.trigger.in_(NAMES))).all()
    assert (events, len(emails(session))) == (["WEBHOOK_FAILING"], 1)


def test_the_email_says_what_how_long_and_where_to_look(
    webhook, change, fail, told, session, settings
) -> None:
    change(webhook, name="CRM")
    fail()
    told()
    subject, body = session.execute(select(Email.subject, Email.body)).one()
    assert subject == "Webhook failing: CRM"
    for words in (
        f"“CRM”, {webhook.subscriber_url}",
        "5 attempts have failed since",
        "500 Internal Server Error",
        "5 events wait to be sent.",
        f"{settings.base_url}/integrations/webhooks/{webhook.id}/deliveries",
        "No event is lost",
    ):
        assert words in body, body


def test_the_payload_is_the_contract(webhook, watcher, change, fail, told, session, settings) -> None:
    change(webhook, name="CRM")
    fail(5, answer("503 Service Unavailable"))
    told()
    body = json.loads(session.scalars(select(Event.body).where(Event.trigger == "WEBHOOK_FAILING")).one())
    session.refresh(webhook)
    assert body["triggerEvent"] == "WEBHOOK_FAILING"
    assert body["createdAt"].endswith("Z")
    payload = body["payload"]
    assert payload.pop("failingSince") == f"{webhook.unhealthy_since:%Y-%m-%dT%H:%M:%SZ}"
    assert "503 Service Unavailable" in payload.pop("reason")
    assert payload == {
        "webhookId": webhook.uid,
        "name": "CRM",
        "subscriberUrl": webhook.subscriber_url,
        "failures": 5,
        "lastStatus": 503,
        "logUrl": f"{settings.base_url}/integrations/webhooks/{webhook.id}/deliveries",
        "metadata": {},
    }


def test_a_webhook_is_never_told_of_itself(webhook, change, fail, told, session) -> None:
    change(webhook, triggers=[*webhook.triggers, *NAMES])
    fail()
    assert told() == ["WEBHOOK_FAILING"]
    event = session.scalars(select(Event).where(Event.trigger == "WEBHOOK_FAILING")).one()
    assert session.scalars(select(Delivery).where(Delivery.event_id == event.id)).all() == []


def test_the_first_success_ends_it(
    webhook, watcher, fail, receiver, told, happen, deliver, clock, session
) -> None:
    fail()
    told()
    receiver.behave = answer()
    clock.shift(HOUR)
    deliver()
    session.refresh(webhook)
    assert not webhook.failing  # before maintenance has looked
    assert told() == ["WEBHOOK_FAILING", "WEBHOOK_RECOVERED"]
    deliver()
    sent = [json.loads(one.body) for one in receiver.requests if one.path == "/watcher"]
    assert [one["triggerEvent"] for one in sent] == ["WEBHOOK_FAILING", "WEBHOOK_RECOVERED"]
    assert [one["payload"]["failures"] for one in sent] == [5, 5]
    assert sent[0]["payload"]["failingSince"] == sent[1]["payload"]["failingSince"]


def test_it_can_fail_again_right_after_a_success(
    webhook, watcher, fail, receiver, told, deliver, clock, session
) -> None:
    fail()
    told()
    receiver.behave = answer()
    clock.shift(HOUR)
    deliver()
    fail()
    assert told() == ["WEBHOOK_FAILING", "WEBHOOK_RECOVERED", "WEBHOOK_FAILING"]


def test_a_success_before_anybody_looked_is_told_to_nobody(
    webhook, watcher, fail, receiver, told, deliver, clock, session
) -> None:
    fail()
    receiver.behave = answer()
    clock.shift(HOUR)
    deliver()
    assert told() == []
    assert emails(session) == []


def test_emails_come_again_after_one_six_and_24_hours(webhook, fail, told, clock, session) -> None:
    fail()
    counts = []
    for hours in (0, 0.9, 0.2, 4.7, 0.3, 17.8, 0.3, 5):
        clock.shift(hours * HOUR)
        told()
        counts.append(len(emails(session)))
    assert counts == [1, 1, 2, 2, 3, 3, 4, 4]
    assert emails(session)[1:] == [f"Webhook still failing: {webhook.subscriber_url}"] * 3


def test_one_that_comes_and_goes_sends_an_email_an_hour(
    webhook, fail, receiver, happen, told, deliver, clock, session
) -> None:
    for _ in range(4):
        fail()
        told()
        receiver.behave = answer()
        clock.shift(HOUR / 5)
        deliver()
        told()
    assert len(emails(session)) == 1
    clock.shift(HOUR)
    fail()
    told()
    assert len(emails(session)) == 2


def test_several_webhooks_of_a_host_share_one_email(webhook, rick, receiver, saved, fail, told, session):
    other = Webhook(
        user_id=rick.id, subscriber_url=receiver.url("/other"), triggers=webhook.triggers, name="CRM"
    )
    saved(other)
    fail()
    told()
    assert emails(session) == ["2 webhooks are failing"]
    body = session.scalars(select(Email.body)).one()
    assert all(one in body for one in (webhook.subscriber_url, "“CRM”", "500 Internal Server Error"))


def test_what_a_host_corrects_is_no_longer_shown_and_recovers_with_its_first_success(
    webhook, watcher, fail, receiver, told, deliver, session
) -> None:
    fail()
    told()
    receiver.behave = answer()
    with transaction() as writing:
        found = writing.get_one(Webhook, webhook.id)
        body = WebhookPatch(subscriberUrl=receiver.url("/corrected"))
        webhooks.update(writing, found, body, None)
    session.refresh(webhook)
    assert not webhook.failing
    assert told() == ["WEBHOOK_FAILING"]
    maintenance.continue_releases()
    deliver()
    assert told() == ["WEBHOOK_FAILING", "WEBHOOK_RECOVERED"]


def test_what_is_corrected_wrongly_shows_again_with_its_next_failure_and_is_told_once(
    webhook, watcher, fail, told, deliver, session
) -> None:
    fail()
    told()
    with transaction() as writing:
        webhooks.forget_failures(writing.get_one(Webhook, webhook.id))
    fail(1)
    session.refresh(webhook)
    assert webhook.failing
    assert told() == ["WEBHOOK_FAILING"]
    assert len(emails(session)) == 1


def test_two_webhooks_that_refuse_what_is_told_of_each_other_tell_no_more(
    webhook, watcher, change, saved, rick, receiver, fail, told, clock, deliver, session
) -> None:
    saved(Webhook(user_id=rick.id, subscriber_url=receiver.url("/second"), triggers=NAMES, name="Second"))
    fail(5, by_body({b"BOOKING": DOWN, b"WEBHOOK": DOWN}))
    events = told()
    for _ in range(20):
        deliver()
        clock.shift(HOUR)
        events = told()
    assert events == ["WEBHOOK_FAILING"]
    session.refresh(watcher)
    assert watcher.failing  # which its host is shown


def test_one_that_is_gone_is_told_of_as_disabled(webhook, watcher, fail, told, session) -> None:
    fail(1, answer("410 Gone"))
    maintenance.repeat(delivery_maintenance.tell_gone)
    assert told() == ["WEBHOOK_DISABLED"]
    body = session.scalars(select(Event.body).where(Event.trigger == "WEBHOOK_DISABLED")).one()
    payload = json.loads(body)["payload"]
    assert (payload["lastStatus"], payload["failures"]) == (410, 1)
    assert "410 Gone" in payload["reason"]


def test_one_that_failed_for_five_days_is_told_of_as_disabled(
    webhook, watcher, fail, change, told, clock, session
) -> None:
    fail()
    told()
    change(webhook, failures=20, failing_since=webhook.created_at)
    clock.shift(5.1 * 24 * HOUR)
    maintenance.repeat(delivery_maintenance.watch_failing)
    assert told()[:2] == ["WEBHOOK_FAILING", "WEBHOOK_DISABLED"]
    session.refresh(webhook)
    assert (webhook.off_reason, webhook.failing) == (OffReason.FAILING, False)


@pytest.mark.parametrize("act", ["switch on", "dismiss", "delete"])
def test_one_that_was_switched_off_for_failing_stays_in_the_banner_until_its_host_acts(
    webhook, watcher, change, clock, session, rick_client: FlaskClient, act: str
) -> None:
    change(webhook, failures=20, failing_since=webhook.created_at)
    clock.shift(5.1 * 24 * HOUR)
    maintenance.repeat(delivery_maintenance.watch_failing)
    words = "1 of your 2 webhooks was switched off after failing for five days"
    for _ in range(2):
        shown = rick_client.get("/bookings/upcoming").text
        assert words in shown
        assert 'class="dot"' in shown
        clock.shift(24 * HOUR)
    if act == "dismiss":
        notice = session.scalars(select(Notice.id).where(Notice.kind == "switched_off")).one()
        rick_client.post(f"/integrations/notices/{notice}/dismiss")
    elif act == "switch on":
        rick_client.post(f"/integrations/webhooks/{webhook.id}/toggle", data={"active": "1"})
    else:
        rick_client.post(f"/integrations/webhooks/{webhook.id}/delete")
    assert "switched off after failing" not in rick_client.get("/bookings/upcoming").text


def test_one_that_is_switched_off_or_deleted_is_told_of_no_more(webhook, fail, told, session) -> None:
    fail()
    with transaction() as writing:
        webhooks.switch_off(writing.get_one(Webhook, webhook.id), OffReason.HOST)
    assert told() == []
    with transaction() as writing:
        webhooks.delete(writing.get_one(Webhook, webhook.id))
    assert told() == []
    assert emails(session) == []


def test_pages_api_and_metrics_show_it_and_stop_showing_it(
    webhook, watcher, fail, receiver, told, deliver, clock, rick_client: FlaskClient, rick_api: Client
) -> None:
    path = f"/v2/webhooks/{webhook.uid}"
    fail()
    told()
    readings.forget()
    for page in ("/bookings/upcoming", "/availability", "/integrations"):
        shown = rick_client.get(page).text
        assert "1 of your 2 webhooks is failing" in shown, page
        assert 'class="dot"' in shown
    assert shown.index(f"webhook-{webhook.id}") < shown.index(f"webhook-{watcher.id}")
    assert "Failing since" in rick_client.get(f"/integrations/webhooks/{webhook.id}/deliveries").text
    found = rick_api.data(path)
    assert (found["health"], found["failingSince"] is not None) == ("failing", True)
    assert "calapp_webhooks_failing 1.0" in rick_client.get("/metrics").text
    receiver.behave = answer()
    clock.shift(HOUR)
    deliver()
    readings.forget()
    shown = rick_client.get("/bookings/upcoming").text
    assert "webhooks is failing" not in shown
    assert 'class="dot"' not in shown
    assert rick_api.data(path)["health"] == "ok"
    assert "calapp_webhooks_failing 0.0" in rick_client.get("/metrics").text


def test_a_strangers_webhook_is_not_shown(webhook, fail, told, bob_client: FlaskClient) -> None:
    fail()
    told()
    assert "webhook is failing" not in bob_client.get("/integrations").text


def test_a_webhook_that_failed_for_hours_before_is_told_of_at_the_first_look(
    webhook, watcher, change, told, clock
) -> None:
    change(webhook, first_failed_at=webhook.created_at - timedelta(hours=5), failed_bookings=True)
    assert told() == ["WEBHOOK_FAILING"]
