"""What Send now has sent goes ahead of its line, and later events still wait for the line."""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.db import transaction
from calapp.deliveries import resend
from calapp.deliveries.models import Delivery, Event
from calapp.webhooks.models import Webhook
from tests.conftest import on_both_databases

pytestmark = on_both_databases


def test_an_event_waits_for_the_earlier_one_and_not_for_a_resent_copy(
    webhook: Webhook, happen: Callable[..., Event], deliver: Callable[[], None], session: Session
) -> None:
    happen("booking", 1)
    deliver()
    happen("booking", 2)
    first, second = session.scalars(select(Delivery).order_by(Delivery.id))
    with transaction() as writing:
        resend.resend(writing, writing.get_one(Delivery, first.id))
    happen("booking", 3)
    third = session.scalars(select(Delivery).order_by(Delivery.id.desc())).first()
    assert third.after_id == second.id
