"""What is shown of a delivery that waits: by its row and by its webhook together."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from calapp.clock import iso_milliseconds, now
from calapp.db import database_now, transaction
from calapp.deliveries import resend
from calapp.deliveries.formatting import next_step
from calapp.deliveries.models import Delivery
from calapp.monitoring.service import oldest_waiting
from tests.receiver import answer

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def shown(rick_api, webhook, session):
    """Return a function that gives the only delivery as the API and the log's page show it."""

    def read() -> tuple[str | None, str, str]:
        session.rollback()
        [row] = rick_api.get(f"/v2/webhooks/{webhook.uid}/deliveries").get_json()["data"]
        delivery = session.scalars(select(Delivery)).one()
        session.refresh(delivery)
        return row["nextAttemptAt"], row["waitingFor"], next_step(delivery, delivery.webhook, "UTC")

    return read


@pytest.mark.parametrize(
    ("values", "because", "words"),
    [
        ({"backoff_until": HOUR}, "backoff", "backoff"),
        ({"retry_after_until": HOUR}, "retry_after", "asked us to wait"),
        ({"backoff_until": MINUTE, "retry_after_until": HOUR}, "retry_after", "asked us to wait"),
        ({"backoff_until": HOUR, "retry_after_until": MINUTE}, "backoff", "backoff"),
    ],
)
def test_d4_the_later_of_row_and_webhook_is_shown_and_why(
    values, because, words, shown, happen, webhook, change
):
    happen()
    at = now().replace(microsecond=0)
    change(webhook, failures=7, **{name: at + delay for name, delay in values.items()})
    moment, reason, text = shown()
    assert (moment, reason) == (iso_milliseconds(at + HOUR), because)
    assert words in text
    assert f"{at + HOUR:%H:%M:%S}" in text


def test_d4_a_rows_own_schedule_counts_when_it_is_later(shown, happen, deliver, receiver, webhook, change):
    receiver.behave = answer("422 Unprocessable Content")
    happen()
    deliver()
    change(webhook, retry_after_until=now() + timedelta(seconds=1))
    assert shown()[1:2] == ("schedule",)
    change(webhook, retry_after_until=now() - HOUR, backoff_until=now() - HOUR)
    assert shown()[1:2] == ("schedule",)


def test_d4_one_in_flight_one_pressed_and_one_of_a_webhook_that_is_off(
    shown, happen, engine, webhook, change, session
) -> None:
    happen()
    change(webhook, backoff_until=now() + HOUR)
    with transaction() as writing:
        resend.resend(writing, writing.scalars(select(Delivery)).one())
    assert shown()[1:] == ("due", "next attempt now")
    engine.claim()
    assert shown() == (None, "in_flight", "being sent")
    change(webhook, active=False)
    with transaction() as writing:
        writing.scalars(select(Delivery)).one().claim = None
    assert shown() == (None, "webhook_off", "not sent, because the webhook is off")


def test_d4_what_a_backoff_held_back_is_not_late_when_it_ends(
    happen, webhook, change, clock, session
) -> None:
    happen()
    clock.shift(3600)
    change(webhook, failures=7, backoff_until=now() - timedelta(seconds=2))
    assert 1 < oldest_waiting(session) < 10
    change(webhook, backoff_until=None, released_at=database_now(session))
    assert oldest_waiting(session) < 5


def test_d4_the_pages_name_backoff_and_retry_after(happen, webhook, change, rick_client) -> None:
    happen()
    change(webhook, failures=7, backoff_until=now() + HOUR)
    log = f"/integrations/webhooks/{webhook.id}/deliveries"
    assert "Backoff until" in rick_client.get(log).text
    assert "Backoff until" in rick_client.get("/integrations").text
    change(webhook, failures=0, backoff_until=None, retry_after_until=now() + HOUR)
    assert "Retry-After until" in rick_client.get(log).text
    assert "Retry-After until" in rick_client.get("/integrations").text
