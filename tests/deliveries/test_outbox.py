"""What an event costs the transaction that writes it, however many webhooks are told."""

from collections.abc import Callable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.deliveries.models import Delivery, State
from tests.conftest import on_both_databases
from tests.deliveries.conftest import subscribed

pytestmark = on_both_databases


def many(user: User, count: int) -> list[object]:
    return [subscribed(user, f"https://hooks.example.com/{number}") for number in range(count)]


def test_d8_an_event_for_many_webhooks_costs_as_few_statements_as_one_for_two(
    rick: User, saved, happen, statements: list[str]
) -> None:
    saved(*many(rick, 2))
    happen("few", 1)
    happen("few", 2)
    statements.clear()
    happen("few", 3)
    few = len(statements)
    saved(*(subscribed(rick, f"https://more.example.com/{number}") for number in range(98)))
    happen("many", 1)
    happen("many", 2)
    statements.clear()
    happen("many", 3)
    assert len(statements) == few <= 10


def test_d8_an_old_host_with_thousands_of_webhooks_is_told_all_in_one_go(
    rick: User, saved, happen: Callable, session: Session, statements: list[str]
) -> None:
    saved(*many(rick, 3000))
    happen("chain", 1)
    statements.clear()
    happen("chain", 2)
    assert len(statements) <= 10
    behind = select(func.count(Delivery.id)).where(Delivery.after_id.is_not(None), Delivery.due_at.is_(None))
    assert session.scalar(behind.where(Delivery.state == State.WAITING)) == 3000
