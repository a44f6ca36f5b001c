"""What the owner of a failing webhook is told: in time, by mail too, and for as long as it is so."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp import maintenance
from calapp.accounts.models import User
from calapp.accounts.service import lock_user
from calapp.clock import now
from calapp.db import transaction
from calapp.deliveries import maintenance as delivery_maintenance
from calapp.deliveries import outbox, resend
from calapp.deliveries.models import Delivery, State
from calapp.event_types.models import EventType
from calapp.mail import Email
from calapp.webhooks.models import OffReason, Webhook

OFF = "Every attempt has failed for five days, so this webhook was switched off."
WARNED = "it will be switched off on"


@pytest.fixture
def fails(webhook: Webhook, change: Callable[..., None]) -> Callable[[float], None]:
    """Return a function that lets every try of the webhook have failed for so many days."""

    def set_back(days: float) -> None:
        change(webhook, failing_since=now() - timedelta(days=days), failures=40, alerted_at=None)
        with transaction() as session:
            delivery_maintenance.watch_failing(session)

    return set_back


@pytest.fixture
def parked(rick: User, quick_chat: EventType, webhook: Webhook, change: Callable[..., None]) -> Delivery:
    """A delivery that was parked while the webhook was off for a moment."""
    change(webhook, active=False)
    with transaction() as session:
        event = outbox.record(
            session,
            user=lock_user(session, rick.id),
            trigger="BOOKING_CREATED",
            payload={"uid": "abc"},
            chain="abc",
            sequence=1,
            subject="abc",
            event_type_id=quick_chat.id,
        )
        delivery = session.scalars(select(Delivery).where(Delivery.event_id == event.id)).one()
    change(webhook, active=True)
    return delivery


def page(browser: FlaskClient) -> str:
    return browser.get("/integrations").text


@pytest.mark.parametrize(("days", "warned"), [(1.2, 0), (1.3, 1), (2.6, 1), (3.8, 1)])
def test_the_owner_is_warned_at_each_quarter(
    rick_client: FlaskClient, fails: Callable, session: Session, days: float, warned: int
) -> None:
    fails(days)
    assert page(rick_client).count(WARNED) == warned
    assert len(session.scalars(select(Email)).all()) == warned


def test_the_last_warning_stands_alone(rick_client: FlaskClient, fails: Callable, session: Session) -> None:
    for days in (1.3, 2.6, 2.7, 3.8):
        fails(days)
    assert page(rick_client).count(WARNED) == 1
    assert len(session.scalars(select(Email)).all()) == 3


def test_the_warnings_mail_leads_to_the_log(
    fails: Callable, webhook: Webhook, session: Session, settings
) -> None:
    fails(1.3)
    letter = session.scalars(select(Email)).one()
    assert webhook.subscriber_url in letter.body
    assert f"{settings.base_url}/integrations/webhooks/{webhook.id}/deliveries" in letter.body


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_after_five_days_it_is_off_and_said_so(
    rick_client: FlaskClient, fails: Callable, webhook: Webhook, session: Session
) -> None:
    fails(1.3)
    fails(5.1)
    session.refresh(webhook)
    shown = page(rick_client)
    assert (webhook.active, webhook.off_reason) == (False, OffReason.FAILING)
    assert OFF in shown
    assert WARNED not in shown


def test_a_webhook_that_answers_again_is_warned_of_no_more(
    rick_client: FlaskClient, fails: Callable, webhook: Webhook, change: Callable[..., None]
) -> None:
    fails(1.3)
    change(webhook, failing_since=None, failures=0, warnings=0)
    assert WARNED not in page(rick_client)


def test_an_earlier_warning_does_not_come_back_with_the_next_failure(
    rick_client: FlaskClient, fails: Callable, webhook: Webhook, change: Callable[..., None]
) -> None:
    fails(1.3)
    change(webhook, failing_since=now() + timedelta(seconds=1), failures=1, warnings=0)
    assert WARNED not in page(rick_client)


def test_switch_on_asks_what_becomes_of_the_parked(
    rick_client: FlaskClient, fails: Callable, webhook: Webhook, parked: Delivery, session: Session
) -> None:
    fails(5.1)
    assert "1 event is parked" in page(rick_client)
    asked = rick_client.post(
        f"/integrations/webhooks/{webhook.id}/toggle", data={"active": "1"}, follow_redirects=True
    )
    assert "Send in order" in asked.text
    assert OFF not in page(rick_client)


def test_what_was_parked_goes_out_when_the_owner_says_so(
    rick_client: FlaskClient, fails: Callable, webhook: Webhook, parked: Delivery, session: Session
) -> None:
    fails(5.1)
    rick_client.post(f"/integrations/webhooks/{webhook.id}/toggle", data={"active": "1"})
    rick_client.post(f"/integrations/webhooks/{webhook.id}/parked", data={"parked": "send"})
    session.refresh(parked)
    assert (parked.state, parked.due_at is not None) == (State.WAITING, True)


@pytest.fixture
def many(
    parked: Delivery,
    rick: User,
    webhook: Webhook,
    saved: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> Webhook:
    """The webhook with five parked deliveries, of which a step takes two."""
    monkeypatch.setattr(resend, "STEP", 2)
    values = {"event_id": parked.event_id, "webhook_id": webhook.id, "state": State.PARKED}
    saved(*(Delivery(chain=f"chain {number}", **values) for number in range(4)))
    return webhook


@pytest.mark.parametrize(
    ("choice", "said", "state"), [("send", "queued", State.WAITING), ("drop", "discarded", State.EXPIRED)]
)
def test_many_parked_events_are_released_in_steps_that_the_pages_count(
    rick_client: FlaskClient, many: Webhook, session: Session, choice: str, said: str, state: State
) -> None:
    address = f"/integrations/webhooks/{many.id}/parked"
    answered = rick_client.post(address, data={"parked": choice}, follow_redirects=True)
    assert f"2 events {said}, 3 to go." in answered.text
    assert "3 remaining" in answered.text
    assert "3 events are remaining" in rick_client.get(address).text
    assert "3 parked events are being" in rick_client.get(f"/integrations/webhooks/{many.id}/deliveries").text
    for _ in range(3):
        maintenance.continue_parked()
    assert set(session.scalars(select(Delivery.state))) == {state}
    assert "remaining" not in page(rick_client)


def test_a_second_click_changes_nothing(rick_client: FlaskClient, many: Webhook, session: Session) -> None:
    for _ in range(3):
        rick_client.post(f"/integrations/webhooks/{many.id}/parked", data={"parked": "send"})
    again = rick_client.post(
        f"/integrations/webhooks/{many.id}/parked", data={"parked": "send"}, follow_redirects=True
    )
    assert "There are no parked events." in again.text
    assert set(session.scalars(select(Delivery.state))) == {State.WAITING}


def test_what_goes_on_can_be_stopped(rick_client: FlaskClient, many: Webhook) -> None:
    address = f"/integrations/webhooks/{many.id}/parked"
    rick_client.post(address, data={"parked": "drop"})
    stopped = rick_client.post(address, data={"parked": "stop"}, follow_redirects=True)
    maintenance.continue_parked()
    assert "The remaining events stay parked." in stopped.text
    assert "3 parked" in page(rick_client)


@pytest.mark.parametrize("choice", ["", "Send", "all"])
def test_a_choice_that_is_none_lets_nothing_go(
    rick_client: FlaskClient, parked: Delivery, webhook: Webhook, session: Session, choice: str
) -> None:
    answered = rick_client.post(f"/integrations/webhooks/{webhook.id}/parked", data={"parked": choice})
    session.refresh(parked)
    assert (answered.status_code, parked.state) == (422, State.PARKED)


def test_a_410_is_told_once(
    rick_client: FlaskClient, webhook: Webhook, change: Callable[..., None], session: Session
) -> None:
    change(webhook, active=False, off_reason=OffReason.GONE, off_at=now())
    for _ in range(2):
        with transaction() as writing:
            delivery_maintenance.tell_gone(writing)
    assert page(rick_client).count("410 Gone") == 1
    assert len(session.scalars(select(Email)).all()) == 1


def test_a_notice_stays_until_its_owner_dismisses_it(
    rick_client: FlaskClient, bob_client: FlaskClient, fails: Callable
) -> None:
    fails(1.3)
    address = "/integrations/notices/1/dismiss"
    assert bob_client.post(address).status_code == 404
    assert WARNED in page(rick_client)
    rick_client.post(address)
    assert WARNED not in page(rick_client)


def test_a_dismissed_warning_lets_no_earlier_one_show(rick_client: FlaskClient, fails: Callable) -> None:
    fails(1.3)
    fails(2.6)
    rick_client.post("/integrations/notices/2/dismiss")
    assert WARNED not in page(rick_client)


def test_a_stranger_reads_nothing_of_it(bob_client: FlaskClient, fails: Callable) -> None:
    fails(5.1)
    assert OFF not in page(bob_client)


def test_a_deleted_webhook_is_told_of_no_more(
    rick_client: FlaskClient, fails: Callable, webhook: Webhook
) -> None:
    fails(5.1)
    rick_client.post(f"/integrations/webhooks/{webhook.id}/delete")
    assert OFF not in page(rick_client)
