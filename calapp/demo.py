"""The demo host, so that a first look needs no set-up."""

import os
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from calapp.accounts.models import User
from calapp.accounts.service import create_user, find_user, password_fits
from calapp.deliveries.signing import new_secret
from calapp.event_types.models import EventType
from calapp.event_types.service import of_user
from calapp.integrations.models import Inspector
from calapp.integrations.service import inspector_url
from calapp.local_time import is_zone
from calapp.webhooks.models import SUBSCRIBABLE, Webhook

USERNAME = "rick"
PASSWORD = "demo"  # noqa: S105 (known to everybody, so the demo host is made on loopback only)


def is_empty(session: Session) -> bool:
    """Return whether nobody has signed up yet."""
    return not session.scalar(select(func.count()).select_from(User))


def demo_exists(session: Session) -> bool:
    """Return whether the demo host exists with the password that is printed."""
    host = find_user(session, USERNAME)
    return host is not None and password_fits(host.password_hash, PASSWORD)


def seed_demo(session: Session) -> User:
    """Make the demo host, its event types and its webhook to the inspector; raise Invalid when it exists."""
    host = create_user(
        session,
        username=USERNAME,
        password=PASSWORD,
        name="Rick",
        email="rick@example.com",
        time_zone=server_zone(),
    )
    (half_hour,) = of_user(session, host.id)  # what every newcomer begins with
    half_hour.title, half_hour.position, half_hour.requires_confirmation = "30 minutes", 1, True
    session.add(EventType(user_id=host.id, title="Quick chat", slug="quick-chat", length=15, position=0))
    inspector = Inspector(user_id=host.id)
    session.add(inspector)
    session.flush()  # gives the inspector its token, which the webhook's address carries
    session.add(
        Webhook(
            user_id=host.id,
            subscriber_url=inspector_url(inspector),
            triggers=[trigger.value for trigger in SUBSCRIBABLE],
            secret=new_secret(),
        )
    )
    return host


def move_inspectors(session: Session) -> None:
    """Point the webhooks to the built-in inspector at its current address: the port may have changed."""
    for inspector in session.scalars(select(Inspector)):
        path = f"/hooks/in/{inspector.token}"
        webhooks = select(Webhook).where(
            Webhook.user_id == inspector.user_id, Webhook.subscriber_url.endswith(path, autoescape=True)
        )
        for webhook in session.scalars(webhooks):
            webhook.subscriber_url = inspector_url(inspector)


def server_zone() -> str:
    """Return the name of this machine's time zone; UTC when it tells none."""
    link = Path("/etc/localtime")
    linked = str(link.resolve()).partition("zoneinfo/")[2] if link.is_symlink() else ""
    for name in (os.environ.get("TZ", "").lstrip(":"), _written("/etc/timezone"), linked):
        if is_zone(name):
            return name
    return "UTC"


def _written(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
