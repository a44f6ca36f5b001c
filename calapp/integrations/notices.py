"""What a host is told of webhooks that fail, for as long as it is so."""

from dataclasses import dataclass

from sqlalchemy import exists, func, or_, select
from sqlalchemy.orm import Session

from calapp.db import database_now
from calapp.deliveries.models import Delivery, Notice, State
from calapp.deliveries.service import counts
from calapp.errors import NotFound
from calapp.webhooks.models import Webhook

SHOWN = 20
FORGOTTEN_SECRETS = "secrets_forgotten"  # by `flask forget-secrets`


@dataclass(frozen=True)
class Told:
    """A notice with its webhook as it stands now, and how many of its events are parked."""

    notice: Notice
    webhook: Webhook
    parked: int


def standing(session: Session, user_id: int) -> list[Told]:
    """Return what a host is told and has not dismissed, newest first, of each webhook the last word.

    A notice of a template ends when what it failed was resent.
    A warning ends when the webhook answers again, and the notice that one is off when it is switched on.
    """
    last = func.max(Notice.id).label("id")
    template_failed = exists().where(Delivery.webhook_id == Webhook.id, Delivery.template_failed)
    still = or_(
        Notice.kind.in_(("expired", FORGOTTEN_SECRETS)),
        (Notice.kind == "warning") & Webhook.active & (Notice.created_at >= Webhook.failing_since),
        (Notice.kind == "template") & template_failed,
        (Notice.kind == "switched_off") & ~Webhook.active,
    )
    newest = (
        select(last)
        .join(Webhook, Webhook.id == Notice.webhook_id)
        .where(Notice.user_id == user_id, Webhook.deleted_at.is_(None), still)
        .group_by(Notice.webhook_id, Notice.kind)
    )
    query = (
        select(Notice, Webhook)
        .join(Webhook, Webhook.id == Notice.webhook_id)
        .where(Notice.id.in_(newest), Notice.dismissed_at.is_(None))
        .order_by(Notice.id.desc())
        .limit(SHOWN)
    )
    rows = session.execute(query).all()
    parked = counts(session, {webhook.id for _, webhook in rows}, State.PARKED)
    return [Told(notice, webhook, parked.get(webhook.id, 0)) for notice, webhook in rows]


def dismiss(session: Session, user_id: int, notice_id: int) -> None:
    """Put a notice away; raise NotFound when it is not this host's."""
    notice = session.get(Notice, notice_id)
    if notice is None or notice.user_id != user_id:
        raise NotFound
    notice.dismissed_at = notice.dismissed_at or database_now(session)
