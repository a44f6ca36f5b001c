"""The rules of webhooks: how one is saved, switched and removed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.guards import current_host
from calapp.accounts.service import lock_user
from calapp.addresses import AddressGuard, CheckedUrl, check_url, key_of, same_origin
from calapp.clock import now
from calapp.config import settings
from calapp.db import database_now, db
from calapp.encryption import open_sealed
from calapp.errors import Conflict, Invalid, NotFound, WebhookDeleted
from calapp.event_types.models import EventType
from calapp.webhooks.models import (
    SECRET_OVERLAP,
    OffReason,
    ParkedDecision,
    Webhook,
    WebhookChange,
    is_saved_secret,
    overlap_until,
    readable,
)

if TYPE_CHECKING:  # a worker imports this, and does without schemas
    from calapp.webhooks.schemas import HeaderBody, WebhookBody, WebhookForm, WebhookPatch

DUPLICATE = "You already have a webhook with this URL."


def with_log(session: Session, user_id: int) -> list[Webhook]:
    """Return a host's webhooks, oldest first, with those that are deleted and whose log is still kept."""
    return list(session.scalars(select(Webhook).where(Webhook.user_id == user_id).order_by(Webhook.id)))


def of_user(session: Session, user_id: int, event_type_id: int | None = None) -> list[Webhook]:
    """Return a host's webhooks, oldest first; with an event type, only those of it."""
    query = select(Webhook).where(Webhook.user_id == user_id, Webhook.deleted_at.is_(None))
    if event_type_id is not None:
        query = query.where(Webhook.event_type_id == event_type_id)
    return list(session.scalars(query.order_by(Webhook.id)))


def page(session: Session, user_id: int, event_type_id: int | None, *, take: int, skip: int) -> list[Webhook]:
    """Return a part of the webhooks of one scope, oldest first; without an event type those of all."""
    query = select(Webhook).where(*_listed(user_id, event_type_id)).order_by(Webhook.id)
    return list(session.scalars(query.offset(skip).limit(take)))


def count(session: Session, user_id: int, event_type_id: int | None) -> int:
    """Count the webhooks of one scope."""
    return session.scalar(select(func.count(Webhook.id)).where(*_listed(user_id, event_type_id))) or 0


def _scope(user_id: int, event_type_id: int | None) -> tuple[ColumnElement[bool], ...]:
    return (
        Webhook.user_id == user_id,
        Webhook.event_type_id.is_not_distinct_from(event_type_id),
        Webhook.deleted_at.is_(None),
    )


def _listed(user_id: int, event_type_id: int | None) -> tuple[ColumnElement[bool], ...]:
    """Return the condition of a list: a deleted event type has none, so the host's has its webhooks, too."""
    if event_type_id is not None:
        return _scope(user_id, event_type_id)
    deleted = select(EventType.id).where(EventType.user_id == user_id, EventType.deleted_at.is_not(None))
    return (
        Webhook.user_id == user_id,
        or_(Webhook.event_type_id.is_(None), Webhook.event_type_id.in_(deleted)),
        Webhook.deleted_at.is_(None),
    )


def own_webhook(
    webhook_id: int | str, event_type_id: int | None = None, *, even_deleted: bool = False
) -> Webhook:
    """Return the webhook with this id of the pages, or UUID of the API, of the host who asks.

    Raises NotFound for a stranger's, WebhookDeleted for a deleted one unless it is asked for, too, and
    NotFound for one of another event type than is named.
    """
    known_by = Webhook.id if isinstance(webhook_id, int) else Webhook.uid
    webhook: Webhook | None = db.session().scalar(select(Webhook).where(known_by == webhook_id))
    if webhook is None or webhook.user_id != current_host().id:
        raise NotFound
    if webhook.deleted_at is not None and not even_deleted:
        raise WebhookDeleted
    if event_type_id not in {None, webhook.event_type_id}:
        raise NotFound
    return webhook


def checked_url(url: str) -> CheckedUrl:
    """Return a URL as it is saved, and a warning about it; look its host's name up, with no transaction open.

    Raises Invalid for an address that this server may not send to.
    """
    db.session().rollback()  # no read may stay open meanwhile
    try:
        return check_url(url, AddressGuard(settings().webhook_allowed_networks))
    except Invalid as error:
        raise Invalid("Please fix the marked fields.", subscriber_url=error.message) from None


def create(
    session: Session,
    user_id: int,
    body: "WebhookBody",
    *,
    event_type_id: int | None = None,
    api_key_id: int | None = None,
) -> Webhook:
    """Make a webhook; its URL comes from `checked_url`.

    Raises Conflict when another webhook has its URL, LimitReached when the host has as many webhooks as
    allowed, Invalid for a stranger's event type.
    """
    lock_user(session, user_id)  # two at once may not both be the last one
    _check_event_type(session, user_id, event_type_id)
    webhook = Webhook(user_id=user_id, api_key_id=api_key_id, event_type_id=event_type_id, headers=[])
    webhook.secret = body.secret or None
    _refuse_second(session, webhook, body.subscriber_url, event_type_id)
    _apply(webhook, body)
    session.add(webhook)
    _flush(session)  # first, so that a duplicate URL is reported as that
    most = settings().webhooks_per_host
    mine = select(func.count(Webhook.id)).where(Webhook.user_id == user_id, Webhook.deleted_at.is_(None))
    if (session.scalar(mine) or 0) > most:
        words = f"You have reached the limit of {most:,} webhooks. Please delete one first."
        raise limits.reached("WEBHOOKS_PER_HOST", host=user_id, words=words, field="subscriber_url")
    return webhook


def update(
    session: Session, webhook: Webhook, body: "WebhookPatch | WebhookForm", event_type_id: int | None
) -> None:
    """Change a webhook; raise Conflict when another has its URL, Invalid for a stranger's event type.

    An event type that was deleted since stays its scope until another is chosen.
    """
    url = body.subscriber_url if "subscriber_url" in body.given() else webhook.subscriber_url
    scope_changes = event_type_id != webhook.event_type_id
    if scope_changes:
        _check_event_type(session, webhook.user_id, event_type_id)
    if scope_changes or key_of(url) != key_of(webhook.subscriber_url):
        _refuse_second(session, webhook, url, event_type_id)
    webhook.event_type_id = event_type_id
    before, old = _sent_with(webhook), noted(webhook)
    if body.secret is not None and not is_saved_secret(webhook, body.secret):
        change_secret(webhook, body.secret or None, body.secret_overlap_seconds)
    elif body.secret_overlap_seconds is not None:
        shorten_overlap(webhook, body.secret_overlap_seconds)
    if not same_origin(url, webhook.subscriber_url):
        use_only_new_secret(webhook)  # what the previous receiver knew signs nothing for another one
    _apply(webhook, body)
    if _sent_with(webhook) != before:
        forget_failures(webhook)
    _flush(session)
    note_change(session, webhook, old)


def _sent_with(webhook: Webhook) -> tuple[object, ...]:
    """Return what an attempt may have failed for."""
    headers = [(name, readable(value)) for name, value in webhook.sealed_headers]
    return webhook.subscriber_url, readable(webhook.sealed_secret), headers, webhook.payload_template


def noted(webhook: Webhook) -> tuple[str, object, object]:
    """Return what note_change compares: URL, secrets, headers."""
    return webhook.subscriber_url, (webhook.sealed_secret, webhook.sealed_old_secret), webhook.sealed_headers


def note_change(session: Session, webhook: Webhook, before: tuple[str, object, object]) -> None:
    """Note what of a webhook's requests is different from before, for the log to say."""
    same = [old == new for old, new in zip(before, noted(webhook), strict=True)]
    if not all(same):
        url, _, _ = before
        session.add(
            WebhookChange(
                webhook_id=webhook.id,
                at=database_now(session),
                old_url=None if same[0] else url,
                secret=not same[1],
                headers=not same[2],
            )
        )


# What _apply does not simply set.
BESIDE = frozenset(("active", "headers", "secret", "secret_overlap_seconds", "event_type_id", "version"))


def _apply(webhook: Webhook, body: "WebhookBody") -> None:
    """Save what a body gives, but for the secret and the scope."""
    given = body.given()
    for name in given - BESIDE:
        setattr(webhook, name, getattr(body, name))
    if "headers" in given:
        webhook.headers = merged_headers(webhook.sealed_headers, body.headers)
    if "active" in given and body.active:
        switch_on(webhook)
    elif "active" in given and webhook.active is not False:
        switch_off(webhook, OffReason.HOST)


def merged_headers(saved: Sequence[Sequence[str]], wanted: Sequence["HeaderBody"]) -> list[list[str]]:
    """Return the headers to save; a value that was not sent keeps the one that is saved, as it is stored.

    Raises KeyDoesNotFit for one that is kept and cannot be read.
    """
    values = {name.lower(): value for name, value in saved}
    return [
        [one.name, open_sealed(values.get(one.name.lower(), "")) if one.value is None else one.value]
        for one in wanted
    ]


def change_secret(webhook: Webhook, secret: str | None, overlap: int | None = None) -> None:
    """Set a new secret; the old one stays valid beside it for `overlap` seconds, or a day."""
    # A second change within the overlap keeps the one that receivers are sure to have.
    overlapping = webhook.sealed_old_secret if overlap_until(webhook) else None
    old = readable(overlapping) or readable(webhook.sealed_secret)
    if old and secret:
        webhook.old_secret = old
        webhook.old_secret_until = now() + (SECRET_OVERLAP if overlap is None else timedelta(seconds=overlap))
    if not secret or overlap == 0:
        use_only_new_secret(webhook)
    webhook.secret = secret


def shorten_overlap(webhook: Webhook, seconds: int) -> None:
    """End the overlap in `seconds`, unless it ends sooner; raise Invalid when there is none."""
    if seconds == 0:
        use_only_new_secret(webhook)
    elif overlap_until(webhook) is None or readable(webhook.sealed_old_secret) is None:
        problem = "Only one secret is valid. Send a new one with this field."
        raise Invalid(problem, secret_overlap_seconds=problem)
    else:
        until = now() + timedelta(seconds=seconds)
        webhook.old_secret_until = min(webhook.old_secret_until or until, until)


def use_only_new_secret(webhook: Webhook) -> None:
    """End the overlap: from now on only the new secret signs."""
    if webhook.sealed_old_secret is not None:
        forget_failures(webhook)  # the receiver may have known the new one alone
    webhook.old_secret = webhook.old_secret_until = None


def switch_off(webhook: Webhook, reason: OffReason) -> None:
    """Switch a webhook off; its events are parked from now on, and what is parked is sent no more."""
    _stop_sending(webhook)
    webhook.active = False
    webhook.off_reason = reason
    webhook.off_at = now()


def switch_on(webhook: Webhook) -> None:
    """Switch a webhook on with a clean record; what is parked stays so until it is released."""
    if webhook.active is False:
        forget_failures(webhook)
        webhook.on_at = now()
        _stop_sending(webhook)  # a 410 has switched it off by itself
    webhook.active = True
    webhook.off_reason = webhook.off_at = None


def _stop_sending(webhook: Webhook) -> None:
    if webhook.parked_decision == ParkedDecision.RELEASE:
        webhook.parked_decision = webhook.decided_up_to = None


def forget_failures(webhook: Webhook) -> None:
    """End the backoff of a webhook, since what it failed for was changed: what waits comes due immediately.

    What is under way was sent as it was before: its failures count no more. The next attempt shows whether it
    has recovered.
    """
    webhook.failures = webhook.warnings = webhook.probes = 0
    webhook.refused_events = webhook.denied_events = webhook.failed_events = ""
    webhook.first_failed_at, webhook.failed_bookings = None, False
    webhook.failing_since = webhook.backoff_until = webhook.retry_after_until = None
    webhook.revision += 1
    webhook.releasing, webhook.released_at, webhook.releasing_tries = True, now(), None


def delete(webhook: Webhook) -> None:
    """Take a webhook away, with its secrets; nothing more is claimed for it; its log is kept for a while."""
    webhook.active = False
    webhook.secret = webhook.old_secret = webhook.old_secret_until = None
    webhook.headers = []
    webhook.deleted_at = now()


def _check_event_type(session: Session, user_id: int, event_type_id: int | None) -> None:
    if event_type_id is None:
        return
    event_type = session.get(EventType, event_type_id)
    if event_type is None or event_type.user_id != user_id or event_type.deleted_at is not None:
        problem = "There is no such event type."
        raise Invalid(problem, event_type_id=problem)


def _refuse_second(session: Session, webhook: Webhook, url: str, event_type_id: int | None) -> None:
    """Raise Conflict when another webhook of the scope has this URL, however it is spelled."""
    lock_user(session, webhook.user_id)  # two requests at once do not see each other's
    scope = _scope(webhook.user_id, event_type_id)
    urls = session.scalars(
        select(Webhook.subscriber_url).where(*scope, Webhook.id.is_distinct_from(webhook.id))
    )
    if key_of(url) in {key_of(one) for one in urls}:
        raise Conflict(DUPLICATE, subscriber_url=DUPLICATE)


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError:
        raise Conflict(DUPLICATE, subscriber_url=DUPLICATE) from None
