"""Webhooks that keep failing: noticed within seconds, told by email and to the host's other webhooks.

The engine notes with each failure since when and with which events a webhook has failed, and its first 2xx
after that. Maintenance reads it: what is told is decided here, in one transaction for all workers.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, exists, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from calapp.accounts.models import User
from calapp.accounts.service import lock_user
from calapp.clock import iso_seconds
from calapp.config import settings
from calapp.db import database_now
from calapp.deliveries import notices, outbox
from calapp.deliveries.models import Attempt, Delivery, Event, Notice, State, in_state
from calapp.deliveries.policy import DIFFERENT_BEFORE_FAILING
from calapp.local_time import known_zone, to_the_second
from calapp.mail import Email, post
from calapp.statements import Plain
from calapp.webhooks.models import OffReason, Trigger, Webhook

STEP = 100  # webhooks that one transaction looks at
LASTING = timedelta(minutes=10)  # since its first failure, when it has not been that many events
EMAIL_AGAIN = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))  # since it began
EMAIL_PAUSE = timedelta(hours=1)  # between two emails about one webhook, however often it changes
LEFT = (Webhook.deleted_at.is_(None), Webhook.active)
SEVERAL = Webhook.failed_events.like("%" + ",%" * (DIFFERENT_BEFORE_FAILING - 1))
FAILING = and_(
    *LEFT,
    Webhook.first_failed_at.is_not(None),
    Webhook.unhealthy_since.is_not(None),
    Webhook.recovered_at.is_(None),
)
RECOVERED = and_(Webhook.deleted_at.is_(None), Webhook.recovered_at.is_not(None))
# Whether `anything_to_tell` may find something: probes of two indexes, in which nothing is while all work.
MAY_BE_TOLD = Plain("""SELECT 1 WHERE
  EXISTS (SELECT 1 FROM webhook WHERE first_failed_at IS NOT NULL)
  OR EXISTS (SELECT 1 FROM webhook WHERE recovered_at IS NOT NULL)""")


def locked(session: Session, *conditions: Any) -> list[Webhook]:
    """Return a step of webhooks as they are now, locked behind their hosts, as everybody locks them."""
    found = session.execute(select(Webhook.id, Webhook.user_id).where(*conditions).limit(STEP)).all()
    for user_id in sorted({row.user_id for row in found}):
        lock_user(session, user_id)
    query = select(Webhook).where(Webhook.id.in_([row.id for row in found]), *conditions)
    query = query.order_by(Webhook.user_id, Webhook.id).with_for_update(key_share=True)
    return list(session.scalars(query, execution_options={"populate_existing": True})) if found else []


class FailingWebhooks(NamedTuple):
    """The ids of a host's webhooks that are failing, or were switched off for it, and how many it has.

    There are 0 when none is.
    """

    ids: Sequence[int]
    off: Sequence[int]  # until the host switches them on or dismisses the notice
    total: int


def failing_of(session: Session, user_id: int) -> FailingWebhooks:
    """Return which of a host's webhooks are failing; of a host whose webhooks work, a look at two indexes."""
    ids = session.scalars(select(Webhook.id).where(Webhook.user_id == user_id, FAILING)).all()
    mine = (Webhook.user_id == user_id, Webhook.deleted_at.is_(None))
    # And those that were switched off because they failed, and nobody has acted.
    told = aliased(Notice)
    last = select(func.max(told.id)).where(told.webhook_id == Webhook.id, told.kind == "switched_off")
    dismissed = exists().where(Notice.id == last.scalar_subquery(), Notice.dismissed_at.is_not(None))
    reason = literal(OffReason.FAILING.value, literal_execute=True)  # so that SQLite finds the partial index
    switched_off = (Webhook.off_reason == reason, Webhook.active.is_(False), ~dismissed)
    off = session.scalars(select(Webhook.id).where(*mine, *switched_off)).all()
    total = session.scalar(select(func.count(Webhook.id)).where(*mine)) if ids or off else 0
    return FailingWebhooks(ids, off, total or 0)


def count_failing(session: Session) -> int:
    """Return how many webhooks of all hosts are failing."""
    return session.scalar(select(func.count(Webhook.id)).where(FAILING)) or 0


def _troubled(at: datetime) -> ColumnElement[bool]:
    """Return the condition of the webhooks of which something is to be told, besides those that recovered."""
    begins = and_(
        *LEFT,
        Webhook.first_failed_at.is_not(None),
        Webhook.unhealthy_since.is_(None),
        or_(SEVERAL, Webhook.first_failed_at <= at - LASTING),
    )
    unannounced = and_(Webhook.failed_bookings, Webhook.failing_announced.is_(False))
    return or_(begins, and_(FAILING, or_(unannounced, Webhook.alert_at <= at)))


def anything_to_tell(session: Session) -> bool:
    """Return whether a webhook has begun to fail, is to be told of again, or has recovered; a plain read."""
    any_one = or_(_troubled(database_now(session)), RECOVERED)
    return session.scalar(select(Webhook.id).where(any_one).limit(1)) is not None


def tell(session: Session) -> int:
    """Tell of a step of webhooks that have recovered, and of those that are failing; return how many."""
    at = database_now(session)
    recovered = locked(session, RECOVERED)
    for webhook in recovered:
        if webhook.failing_announced:
            announce(session, webhook, Trigger.WEBHOOK_RECOVERED)
        webhook.unhealthy_since = webhook.recovered_at = webhook.alert_at = None
        webhook.failing_announced = False
    session.flush()
    troubled = locked(session, _troubled(at))
    for webhook in troubled:
        if webhook.unhealthy_since is None:
            webhook.unhealthy_since = webhook.first_failed_at
            last = webhook.alerted_at
            webhook.alert_at = at if last is None else max(at, last + EMAIL_PAUSE)
        # What fails of these events alone is told to nobody else, or two webhooks could tell each other of
        # each other without end.
        if webhook.failed_bookings and not webhook.failing_announced:
            announce(session, webhook, Trigger.WEBHOOK_FAILING)
            webhook.failing_announced = True
    due = [webhook for webhook in troubled if webhook.alert_at is not None and webhook.alert_at <= at]
    for user_id, webhooks in groupby(due, key=lambda webhook: webhook.user_id):
        _email(session, session.get_one(User, user_id), list(webhooks), at)
    return max(len(recovered), len(troubled))


def announce(
    session: Session, webhook: Webhook, trigger: Trigger, reason: str | None = None
) -> outbox.Recorded:
    """Record an event about a webhook, whose host must be locked, for the host's other webhooks."""
    since = webhook.unhealthy_since or webhook.first_failed_at or webhook.failing_since or webhook.off_at
    count, last = _failures(session, webhook, since)
    payload = about_webhook(
        webhook,
        failing_since=since,
        failures=count,
        last_status=last.status if last else None,
        reason=reason or (last.failure if last else None),
        base_url=settings().base_url,
    )
    query = select(func.max(Event.sequence)).where(Event.chain == webhook.uid)
    return outbox.record(
        session,
        user=session.get_one(User, webhook.user_id),
        trigger=trigger,
        payload=payload,
        chain=webhook.uid,
        sequence=(session.scalar(query) or 0) + 1,
        subject=webhook.uid,
        about=webhook.id,
        search=f"{webhook.name or ''} {webhook.subscriber_url}",
    )


def about_webhook(
    webhook: Webhook,
    *,
    failing_since: datetime | None,
    failures: int,
    last_status: int | None,
    reason: str | None,
    base_url: str,
) -> dict[str, Any]:
    """Return the payload of an event about a webhook."""
    return {
        "webhookId": webhook.uid,
        "name": webhook.name,
        "subscriberUrl": webhook.subscriber_url,
        "failingSince": iso_seconds(failing_since) if failing_since else None,
        "failures": failures,
        "lastStatus": last_status,
        "reason": reason,
        "logUrl": notices.log_url(webhook, base_url),
        "metadata": {},
    }


def _failures(session: Session, webhook: Webhook, since: datetime | None) -> tuple[int, Any]:
    """Return how many attempts of a webhook have failed since an instant, and the last of them, if kept."""
    failed = (Attempt.webhook_id == webhook.id, Attempt.failure.is_not(None))
    until = () if webhook.recovered_at is None else (Attempt.at <= webhook.recovered_at,)
    count = 0
    if since is not None:
        query = select(func.count(Attempt.id)).where(*failed, *until, Attempt.at >= since)
        count = session.scalar(query) or 0
    newest = select(Attempt.status, Attempt.failure).where(*failed, *until).order_by(Attempt.at.desc())
    return count, session.execute(newest.limit(1)).first()


def _email(session: Session, owner: User, webhooks: Sequence[Webhook], at: datetime) -> None:
    """Write one email about these webhooks of a host, and note when the next one about each is due."""
    subject = f"{len(webhooks)} webhooks are failing"
    if len(webhooks) == 1:
        told = webhooks[0].alerted_at
        again = told is not None and told > (webhooks[0].unhealthy_since or at)
        subject = f"Webhook {'still ' if again else ''}failing: {webhooks[0].label[:200]}"
    advice = (
        "No event is lost. What was not received is attempted again, and once the receiver responds with "
        "2xx, everything that waits is sent.\n"
        f"Correct the URL, or switch the webhook off: {notices.page_url(settings().base_url)}#webhooks"
    )
    texts = [_said(session, webhook, owner) for webhook in webhooks]
    body = "\n\n".join((*texts, advice)) + "\n"
    post(session, [Email(user_id=owner.id, recipient=owner.email, subject=subject, body=body)])
    for webhook in webhooks:
        since = webhook.unhealthy_since or at
        upcoming = next((since + age for age in EMAIL_AGAIN if since + age > at), None)
        webhook.alerted_at = at
        webhook.alert_at = max(upcoming, at + EMAIL_PAUSE) if upcoming else None


def _said(session: Session, webhook: Webhook, owner: User) -> str:
    """Return what the email says of one webhook."""
    since = webhook.unhealthy_since
    count, last = _failures(session, webhook, since)
    attempts = "1 attempt has" if count == 1 else f"{count:,} attempts have"
    began = f" since {to_the_second(since, owner.time_zone)} ({known_zone(owner.time_zone)})" if since else ""
    query = select(func.count()).select_from(Delivery)
    waiting = session.scalar(query.where(Delivery.webhook_id == webhook.id, in_state(State.WAITING))) or 0
    lines = [notices.heading(webhook), "", f"{attempts} failed{began}, and none has succeeded."]
    if last is not None:
        lines.append(f"Last failure: {last.failure}")
    if waiting:
        lines.append(f"{'1 event waits' if waiting == 1 else f'{waiting:,} events wait'} to be sent.")
    return "\n".join(
        (*lines, f"Every attempt, and why it failed: {notices.log_url(webhook, settings().base_url)}")
    )
