"""What a worker does besides delivering: the RQ job of the queue `chores`, and what its sweep carries on."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from calapp import mail
from calapp.accounts import sessions
from calapp.bookings import visitors
from calapp.db import db, one_at_a_time, transaction
from calapp.deliveries import maintenance, resend
from calapp.privacy import service as privacy
from calapp.shutdown import stop_requested

Step = Callable[[Session], int]

# Each changes at most a step of rows and returns how many; one that did a whole step is asked again.
STEPS: tuple[Step, ...] = (
    maintenance.park_waiting,
    maintenance.tell_gone,
    maintenance.watch_failing,
    maintenance.expire_parked,
    maintenance.remove_deleted,
    maintenance.prune,
    sessions.remove_expired,
    visitors.forget_addresses,
)


def do_chores() -> None:
    """Do every chore that there is to do, then stop."""
    for step in STEPS:
        repeat(step)
    repeat(privacy.forget_old, privacy.STEP)
    send_mails()


def repeat(step: Step, whole: int = maintenance.STEP) -> int:
    """Do a step until nothing is left of it or this process is asked to stop; return how many rows it was."""
    done = 0
    while not stop_requested():
        with transaction() as session:
            one_at_a_time(session, step.__name__)
            count = step(session)
        done += count
        if count < whole:
            break
    return done


def continue_parked() -> None:
    """Send or discard the next steps of what is parked, of each webhook as much as may wait at once."""
    webhook_ids = resend.decided_webhooks(db.session())
    db.session().rollback()  # ends the read
    for webhook_id in webhook_ids:
        for _ in range(resend.MOST_DUE // resend.STEP):
            if not resend.release_room(db.session(), webhook_id) or stop_requested():
                break
            with transaction() as session:
                resend.continue_decision(session, webhook_id)


def send_mails() -> None:
    """Send the mails that are due, a batch at a time; no transaction is open while the server is awaited.

    Last of the chores, and over for this time when the mail server fails: it holds nothing else up.
    """
    while not stop_requested():
        with transaction() as session:
            letters = mail.claim(session)
        outcomes = mail.send(letters)
        with transaction() as session:
            mail.record(session, letters, outcomes)
        if len(letters) < mail.BATCH or any(outcome.error for outcome in outcomes):
            break
