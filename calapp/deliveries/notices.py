"""What the owner of a webhook is told: a notice on the pages, and an email."""

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.config import settings
from calapp.db import database_now
from calapp.deliveries.models import Notice
from calapp.mail import Email, post
from calapp.webhooks.models import Webhook

AGAIN_AFTER = timedelta(days=1)  # a failing template is told of once a day, unless the notice was dismissed


def tell(session: Session, webhook: Webhook, kind: str, text: str, date: str = "") -> None:
    """Write a notice for the pages and an email to the owner."""
    at = database_now(session)
    if webhook.off_at is not None:
        at = max(at, webhook.off_at)  # a clock that was set back would have it told again and again
    session.add(
        Notice(
            user_id=webhook.user_id,
            webhook_id=webhook.id,
            kind=kind,
            text=text,
            details={"url": webhook.subscriber_url, "date": date},
            created_at=at,
        )
    )
    owner = session.get_one(User, webhook.user_id)
    email = Email(
        user_id=owner.id,
        recipient=owner.email,
        subject="A webhook needs your attention",
        body=f"{heading(webhook)}\n\n{text}\n\n{_advice(webhook, kind)}\n",
    )
    post(session, [email])


def heading(webhook: Webhook) -> str:
    """Return the first line of an email about a webhook: its name, if it has one, and its URL."""
    named = f"“{webhook.name}”, {webhook.subscriber_url}" if webhook.name else webhook.subscriber_url
    return f"The webhook {named}:"


def page_url(base_url: str) -> str:
    """Return the address of the page where webhooks are changed."""
    return f"{base_url}/integrations"


def log_url(webhook: Webhook, base_url: str) -> str:
    """Return the address of a webhook's log."""
    return f"{page_url(base_url)}/webhooks/{webhook.id}/deliveries"


def _advice(webhook: Webhook, kind: str) -> str:
    """Say what helps, with the address of the page where it is done."""
    base_url = settings().base_url
    page, log = page_url(base_url), log_url(webhook, base_url)
    return {
        "warning": f"See why it fails and when the next attempt is: {log}",
        "switched_off": f"Its events are parked, not lost. Switch it on again to send them: {page}#webhooks",
        "expired": f"See the log: {log}",
        "template": f"Fix the template: {page}#webhooks\nThen resend the failed events: {log}?state=failed",
    }[kind]


def tell_template_failures(session: Session, problems: Mapping[int, str]) -> None:
    """Tell the owner of webhooks (by id) whose template could not be rendered, each once until dismissed."""
    standing = select(Notice.webhook_id).where(
        Notice.webhook_id.in_(list(problems)),
        Notice.kind == "template",
        Notice.dismissed_at.is_(None),
        Notice.created_at > database_now(session) - AGAIN_AFTER,
    )
    told = set(session.scalars(standing))
    for webhook_id, problem in problems.items():
        if webhook_id not in told:
            tell(
                session, session.get_one(Webhook, webhook_id), "template", f"An event was not sent. {problem}"
            )
