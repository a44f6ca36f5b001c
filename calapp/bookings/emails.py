"""When emails about a booking are written: noted with the booking, composed when they are sent.

A row in the booking's transaction says what happened; the maintenance process makes the emails, with the
calendar file, from its event. So no visitor waits for texts, and an email that is late says what was so.
"""

import json
import logging
from collections.abc import Sequence

from sqlalchemy import delete, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from calapp import mail
from calapp.accounts.service import create_link_key, link_keys
from calapp.bookings import notifications
from calapp.bookings.models import Attendee, Booking, Notification, find
from calapp.bookings.payload import Facts, Participant
from calapp.broker import wake_maintenance
from calapp.config import settings
from calapp.db import after_commit, db, one_at_a_time, transaction
from calapp.deliveries.models import Event
from calapp.deliveries.outbox import Recorded
from calapp.mail import DISCARDED, Email, post, supersede_expiring, supersede_parked
from calapp.shutdown import stop_requested
from calapp.statements import Plain

STEP = 20  # notifications that one transaction writes the emails of
REMINDER = "reminder"
REMOVED = ("name", "email", "time_zone", "twelve_hours")  # what is kept of a guest who is not there any more
NEW = ("created", "requested")  # kinds that nothing was written about before, unless a booking was moved

NOTE = Plain("""INSERT INTO notification (user_id, about, event_id, kind, removed, created_at)
VALUES (:user_id, :about, :event_id, :kind, :removed, :created_at)""")

log = logging.getLogger(__name__)


def note(
    session: Session,
    booking: Booking,
    event: Recorded,
    kind: str,
    *,
    parked: bool = False,
    removed: Sequence[Attendee] = (),
) -> None:
    """Note what has just happened to a booking, so that emails are written about it.

    `kind` is a key of notifications.SUBJECTS or REMINDER, `removed` are guests who are invited no more. When
    a host's visitors have caused too many emails they are written at once and `parked`, for the host to
    decide on; the host's own says so.
    """
    if _replaces(kind, booking):
        uids = list(session.scalars(booking.chain_uids))
        supersede_expiring(session, uids)
        reminders = delete(Notification).where(Notification.about.in_(uids), Notification.kind == REMINDER)
        session.execute(reminders.execution_options(synchronize_session=False))
        if not parked:
            supersede_parked(session, uids)
    if kind == "to_reschedule" and booking.metadata_verified and not link_keys(session, booking.host_id):
        create_link_key(session, booking.host_id)  # the link to another time is signed again
    people = [{name: getattr(one, name) for name in REMOVED} for one in removed]
    noted = {"user_id": booking.host_id, "about": booking.uid, "event_id": event.id, "kind": kind}
    noted |= {"created_at": event.created_at}
    if parked:
        post(session, _composed(session, Notification(removed=people, **noted), parked=True))
        return
    NOTE.run(session, removed=json.dumps(people), **noted)
    if settings().smtp_url:
        after_commit(session, "wake maintenance", wake_maintenance)


def _replaces(kind: str, booking: Booking) -> bool:
    """Return whether earlier emails about a booking that still wait are true no more."""
    return kind != REMINDER and (kind not in NEW or booking.rescheduled_from_id is not None)


def write_emails() -> None:
    """Write the emails about what was noted, a step at a time, in the order in which it happened.

    They are composed with no transaction open. A notification that another process has written meanwhile, or
    that an erasure has removed, is left out.
    """
    while not stop_requested():
        reading = db.session()
        found = reading.scalars(select(Notification).order_by(Notification.id).limit(STEP)).all()
        composed = {one.id: _composed(reading, one) for one in found}
        for one in found:
            reading.expunge(one)
        reading.rollback()  # ends the read
        if not found:
            return
        with transaction() as session:
            one_at_a_time(session, "write emails")
            removed = delete(Notification).where(Notification.id.in_(composed)).returning(Notification.id)
            mine = set(session.scalars(removed, execution_options={"synchronize_session": False}))
            for noted in found:
                if noted.id in mine:
                    _post(session, noted, composed[noted.id])
        if len(found) < STEP:
            return


def _composed(session: Session, noted: Notification, *, parked: bool = False) -> list[Email]:
    """Compose the emails of a notification; what cannot be read any more is for the operator's log."""
    event, booking = session.get(Event, noted.event_id), find(session, noted.about)
    if event is None or event.body is None or booking is None:
        log.error("The emails about booking %s cannot be written any more", noted.about)
        return []
    try:
        facts = Facts.of(event, booking, unanswered=noted.kind == "unanswered")
        if noted.kind == REMINDER:
            emails = notifications.reminders(facts)
        else:
            emails = notifications.composed(session, facts, noted.kind, parked=parked)
            emails += notifications.withdrawals(facts, [Participant(**one) for one in noted.removed])
    except SQLAlchemyError:
        raise
    except Exception:  # whatever it is, the emails of others go on
        log.exception("The emails about booking %s could not be written", noted.about)
        return []
    for email in emails:
        email.user_id, email.about, email.created_at = noted.user_id, noted.about, noted.created_at
    return emails


def _post(session: Session, noted: Notification, emails: Sequence[Email]) -> None:
    """Post emails; no reminder while the host has discarded earlier ones, or has still to decide on them."""
    booking = find(session, noted.about)
    if booking is None:
        return
    if noted.kind == REMINDER:
        held_back = or_(Email.parked_at.is_not(None), Email.error == DISCARDED)
        about = select(Email.id).where(Email.about.in_(booking.chain_uids), held_back)
        if session.scalar(about.limit(1)) is not None:
            return
    if _replaces(noted.kind, booking):  # what was noted before it, and written after it happened
        supersede_parked(session, list(session.scalars(booking.chain_uids)), before=noted.created_at)
    post(session, emails)


def was_sent_to_visitor(session: Session, booking: Booking) -> bool:
    """Return whether the mail server has taken the newest email to the visitor about this very booking."""
    if session.scalar(select(Notification.id).where(Notification.about == booking.uid).limit(1)) is not None:
        return False
    to_visitor = (Email.about == booking.uid, Email.recipient == booking.visitor.email)
    newest = (Email.created_at.desc(), Email.id.desc())
    return session.scalar(select(Email.sent_at).where(*to_visitor).order_by(*newest).limit(1)) is not None


def of_chain(session: Session, booking: Booking) -> list[Email]:
    """Return the emails about a booking and those it was moved from or to, newest first, sent or kept.

    Those that are still to be written are there as they will be.
    """
    noted = select(Notification).where(Notification.about.in_(booking.chain_uids)).order_by(Notification.id)
    unwritten = [email for one in session.scalars(noted).all() for email in _composed(session, one)]
    for email in unwritten:
        email.due_at = email.created_at if settings().smtp_url else None
    kept = select(Email).where(Email.about.in_(booking.chain_uids)).order_by(Email.created_at, Email.id)
    return [*session.scalars(kept), *unwritten][::-1]


mail.unwritten.append(
    lambda session, before: (
        session.scalar(select(func.count(Notification.id)).where(Notification.created_at <= before)) or 0
    )
)
