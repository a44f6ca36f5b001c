"""An email out by SMTP_URL, or kept and shown.

An email is a row, written in the transaction of what it tells. The maintenance process claims those that are
due, sends them with no transaction open, and records what came of it; without SMTP_URL they are kept as they
are.
"""

import smtplib
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.errors import MessageError
from email.header import Header
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import (
    ColumnElement,
    ForeignKey,
    String,
    Text,
    case,
    delete,
    false,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from calapp import limits
from calapp.broker import wake_maintenance
from calapp.clock import now
from calapp.config import settings
from calapp.db import UTCDateTime, after_commit, database_now, db, partial_index
from calapp.text import clean, line

BATCH = 20  # emails of one claim, sent over one connection
PATIENCE = 15.0  # seconds for each answer of the mail server
PRUNE_STEP = 500  # emails that one transaction looks at
PARKED_STEP = 200  # emails that one transaction releases or discards
DISCARDED = "Discarded manually."
SUPERSEDED = "Replaced by a later email about this booking."
EXPIRED = "Not sent in time: the meeting had started."
NO_LINK = "The link in this email is not kept."
LEASE = timedelta(minutes=10)  # an email claimed by a worker that was killed is due again after it
# After each failed attempt; an email that fails once more after the last is given up.
DELAYS = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 30, 120, 360, 720, 1440))
FAILING = timedelta(minutes=10)  # of failures after which all of outgoing email counts as failing
LATEST = 50  # emails that are looked at for one that was sent
REFUSED = 6  # emails in a row, to at least half as many addresses, refused for good: that is not about one
PORTS = {"smtp": 25, "smtps": 465}


# Whether a host's emails wait, since nobody has shown that the host's own address is theirs: packages above
# this one know users.
holds: list[Callable[[Session, int], bool]] = []
# How many emails, at least, are still to be written about what was noted before an instant.
unwritten: list[Callable[[Session, datetime], int]] = []


class Email(db.Model):
    """An email, written in the transaction of what it tells and sent by the maintenance process."""

    __tablename__ = "mail"
    __table_args__ = (
        partial_index("ix_mail_due", "due_at", where="due_at IS NOT NULL"),
        partial_index("ix_mail_parked", "user_id", where="parked_at IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), index=True)  # the host it belongs to
    about: Mapped[str | None] = mapped_column(String(40), index=True)  # the booking's uid
    recipient: Mapped[str] = mapped_column(String(254))
    reply_to: Mapped[str | None] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(300))
    body: Mapped[str] = mapped_column(Text)
    calendar: Mapped[str | None] = mapped_column(Text)  # the .ics attached
    calendar_method: Mapped[str | None] = mapped_column(String(10))  # REQUEST or CANCEL
    due_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # None: sent, kept, given up, or parked
    parked_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # since when it waits for the host
    held_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # since when for the host's own address
    has_link: Mapped[bool] = mapped_column(default=False, server_default=false())  # that lets somebody in
    expires_at: Mapped[datetime | None] = mapped_column(UTCDateTime)  # from when on it is not sent any more
    attempts: Mapped[int] = mapped_column("tries", default=0)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    sent_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


@dataclass(frozen=True)
class ClaimedEmail:
    """A claimed email, free of the session that read it."""

    id: int
    attempts: int
    recipient: str
    reply_to: str | None
    subject: str
    body: str
    calendar: str | None
    calendar_method: str | None
    created_at: datetime
    has_link: bool = False


@dataclass(frozen=True)
class SendResult:
    """What came of an email: sent, or why not in words, and whether another attempt makes sense."""

    email: ClaimedEmail
    error: str | None = None
    final: bool = False


def prune_emails(session: Session) -> int:
    """Remove, of the oldest emails, those that nothing is to come of and that are older than is kept."""
    oldest = select(Email.id).order_by(Email.id).limit(PRUNE_STEP)  # never the whole table
    before = database_now(session) - timedelta(days=limits.EMAILS_KEPT)
    found = session.scalars(
        select(Email.id).where(
            Email.id.in_(oldest), Email.created_at < before, Email.due_at.is_(None), Email.parked_at.is_(None)
        )
    ).all()
    session.execute(delete(Email).where(Email.id.in_(found)).execution_options(synchronize_session=False))
    return len(found)


def post(session: Session, emails: Sequence[Email]) -> None:
    """Write emails in the open transaction; with SMTP_URL they go out soon after it has committed.

    Those with `parked_at` wait until their host releases or discards them, and all but links until the host's
    own address is confirmed.
    """
    due_at = database_now(session) if settings().smtp_url else None
    for email in emails:
        held = due_at and not email.has_link and any(hold(session, email.user_id) for hold in holds)
        email.held_at = due_at if held else None
        email.due_at = None if email.parked_at or email.held_at else due_at
    session.add_all(emails)
    if due_at is not None:
        after_commit(session, "wake maintenance", wake_maintenance)


def parked_emails(session: Session, user_id: int, uids: Sequence[str]) -> tuple[int, int, set[str | None]]:
    """Return how many emails of a host are parked, about how many bookings, and which of these have some."""
    parked = (Email.user_id == user_id, Email.parked_at.is_not(None))
    count, bookings = session.execute(
        select(func.count(Email.id), func.count(Email.about.distinct())).where(*parked)
    ).one()
    about = session.scalars(select(Email.about).where(Email.about.in_(uids), Email.parked_at.is_not(None)))
    return int(count), int(bookings), set(about)


def count_unsent(session: Session) -> dict[str, int]:
    """Count the emails that wait for their first attempt, for another one, and for their host."""
    first = func.count().filter(Email.due_at.is_not(None), Email.attempts == 0)
    again = func.count().filter(Email.due_at.is_not(None), Email.attempts > 0)
    waiting, retrying = session.execute(select(first, again).where(Email.due_at.is_not(None))).one()
    parked = session.scalar(select(func.count()).where(Email.parked_at.is_not(None))) or 0
    if settings().smtp_url:
        waiting += sum(count(session, database_now(session)) for count in unwritten)
    return {"waiting": int(waiting), "retrying": int(retrying), "parked": int(parked)}


def is_failing(session: Session) -> bool:
    """Return whether outgoing email as a whole fails, as far as the latest emails tell.

    It does when one that should have gone out ten minutes ago waits, and none of the latest was sent since;
    or when the last few, to several people, were all refused for good: that is not about their addresses.
    """
    if not settings().smtp_url:
        return False
    columns = (Email.recipient, Email.attempts, Email.due_at, Email.sent_at)
    latest = session.execute(select(*columns).order_by(Email.id.desc()).limit(LATEST)).all()
    ended = [one for one in latest if one.attempts and one.due_at is None][:REFUSED]
    if (
        len(ended) == REFUSED
        and not any(one.sent_at for one in ended)
        and len({one.recipient for one in ended}) >= REFUSED // 2
    ):
        return True
    since = database_now(session) - FAILING
    late = or_(Email.attempts > 0, Email.due_at < since)
    waiting = select(Email.id).where(Email.due_at.is_not(None), Email.created_at < since, late)
    if session.scalar(waiting.limit(1)) is None and not any(count(session, since) for count in unwritten):
        return False
    return not any(one.sent_at is not None and one.sent_at >= since for one in latest)


def send_test(address: str) -> str | None:
    """Send an email to an address, and return None; else what went wrong, in words."""
    at = now()
    subject, body = "Test email from Calapp", f"Emails from {settings().base_url} can be sent.\n"
    email = ClaimedEmail(0, 0, address, None, subject, body, None, None, at)
    return send([email])[0].error


def release_held(session: Session, user_id: int) -> None:
    """Let a host's emails go out that waited for the host's address to be confirmed."""
    held = update(Email).where(Email.user_id == user_id, Email.held_at.is_not(None))
    due_at = case((Email.parked_at.is_(None), database_now(session)))
    session.execute(held.values(held_at=None, due_at=due_at).execution_options(synchronize_session=False))
    after_commit(session, "wake maintenance", wake_maintenance)


def waits() -> ColumnElement[bool]:
    """Match emails that wait for their host."""
    return or_(Email.parked_at.is_not(None), Email.held_at.is_not(None))


def supersede_parked(session: Session, uids: Sequence[str], before: datetime | None = None) -> None:
    """Discard what waits about bookings of which newer emails go out: it is true no more.

    `before` is the instant of what the newer ones are about.
    """
    parked = [Email.about.in_(uids), waits(), *([Email.created_at < before] if before else [])]
    superseded = update(Email).where(*parked).values(parked_at=None, held_at=None, error=SUPERSEDED)
    session.execute(superseded.execution_options(synchronize_session=False))


def supersede_expiring(session: Session, uids: Sequence[str]) -> None:
    """Discard reminders about bookings that are still to be sent: something has happened since."""
    to_come = or_(Email.due_at.is_not(None), Email.held_at.is_not(None))
    waiting = (Email.about.in_(uids), Email.expires_at.is_not(None), to_come)
    superseded = update(Email).where(*waiting).values(due_at=None, held_at=None, error=SUPERSEDED)
    session.execute(superseded.execution_options(synchronize_session=False))


def take_parked(session: Session, user_id: int, about: Sequence[str] = (), *, send: bool) -> int:
    """Release or discard a step of a host's parked emails, the oldest first; return how many it was.

    `about` are the uids of bookings; empty means all.
    """
    parked = select(Email).where(Email.user_id == user_id, Email.parked_at.is_not(None))
    if about:
        parked = parked.where(Email.about.in_(about))
    emails = session.scalars(parked.order_by(Email.id).limit(PARKED_STEP)).all()
    for one in emails:
        one.parked_at = one.held_at = None
        one.error = None if send else DISCARDED
    if send:
        post(session, emails)
    return len(emails)


def claim(session: Session) -> list[ClaimedEmail]:
    """Claim a batch of the emails that are due, the oldest first; they are due again when the lease ends."""
    if not settings().smtp_url:
        session.execute(update(Email).where(Email.due_at.is_not(None)).values(due_at=None))
        return []
    at = database_now(session)
    late = update(Email).where(Email.due_at <= at, Email.expires_at <= at)
    session.execute(late.values(due_at=None, error=EXPIRED).execution_options(synchronize_session=False))
    due = select(Email).where(Email.due_at <= at).order_by(Email.due_at, Email.id).limit(BATCH)
    emails = session.scalars(due.with_for_update(skip_locked=True)).all()
    for email in emails:
        email.due_at = at + LEASE
    names = ClaimedEmail.__dataclass_fields__
    return [ClaimedEmail(**{name: getattr(email, name) for name in names}) for email in emails]


def send(emails: Sequence[ClaimedEmail]) -> list[SendResult]:
    """Send emails over one connection; those behind a broken connection have no outcome."""
    if not emails:
        return []
    try:
        with _connected(settings().smtp_url) as server:
            outcomes = []
            for email in emails:
                outcomes.append(_attempt(server, email))
                if server.sock is None:
                    break
            return outcomes
    except (OSError, ValueError) as error:  # smtplib's errors are OSErrors
        return [SendResult(email, _words(error)) for email in emails]


def _attempt(server: smtplib.SMTP, email: ClaimedEmail) -> SendResult:
    """Send an email; a failure is final when the server's no is meant for this email alone and for good."""
    try:
        server.send_message(written(email))
    except (OSError, ValueError, MessageError) as error:
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            final = all(code >= 500 for code, _ in error.recipients.values())
        elif isinstance(error, smtplib.SMTPDataError):
            final = error.smtp_code >= 500
        else:
            final = isinstance(error, smtplib.SMTPNotSupportedError | ValueError | MessageError)
        return SendResult(email, _words(error), final=final)
    return SendResult(email)


def _words(error: Exception) -> str:
    """Return what went wrong in words: the mail server's own where it spoke."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()))
        return f"The mail server refused the address: {code} {_decoded(said)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"The mail server responded with {error.smtp_code} {_decoded(error.smtp_error)}"
    if isinstance(error, TimeoutError) or "timed out" in str(error):  # smtplib wraps it
        return "The mail server did not respond in time."
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return f"The email could not be sent: {reason}"


def _decoded(said: bytes | str) -> str:
    plain = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(plain.replace("\0", "").split())[:300]


@contextmanager
def _connected(address: str) -> Iterator[smtplib.SMTP]:
    """Open a session with the mail server, over TLS wherever it offers it; raise OSError."""
    parts = urlsplit(address)
    host, port = parts.hostname or "localhost", parts.port or PORTS[parts.scheme]
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=PATIENCE, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=PATIENCE)
    try:
        server.ehlo_or_helo_if_needed()
        if parts.scheme == "smtp":
            _secure(server, host, context, password=bool(parts.password))
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        yield server
        with suppress(OSError):
            server.quit()  # what was sent is sent, whatever the server says now
    finally:
        server.close()


def _secure(server: smtplib.SMTP, host: str, context: ssl.SSLContext, *, password: bool) -> None:
    """Go over to TLS; raise ValueError rather than send a password in the clear to another machine."""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return  # nothing leaves this machine, and local servers sign their own certificates
    if server.has_extn("starttls"):
        server.starttls(context=context)
        return
    if password:
        raise ValueError(
            "the mail server does not offer TLS, and the password in SMTP_URL must not be sent unencrypted"
        )


def written(email: ClaimedEmail) -> EmailMessage:
    """Return the email as it goes out; raise ValueError for what no email can carry."""
    message = EmailMessage()
    # From `from=` of SMTP_URL, its user when that is an address, else our host.
    parts = urlsplit(settings().smtp_url)
    sender = parse_qs(parts.query).get("from", [""])[0] or unquote(parts.username or "")
    if "@" not in sender:
        sender = f"calapp@{urlsplit(settings().base_url).hostname}"
    message["From"] = f"Calapp <{sender}>"
    message["To"] = _ascii(line(email.recipient))
    if email.reply_to:
        message["Reply-To"] = _ascii(line(email.reply_to))
    # Python's own folding of what is not ASCII loses a space here and there.
    subject = Header(
        line(email.subject), "utf-8" if not email.subject.isascii() else "ascii", header_name="Subject"
    )
    message.set_raw("Subject", subject.encode())
    message["Date"] = formatdate(email.created_at.timestamp())
    # The same at every attempt, so that an email sent twice, since a worker died between, shows once.
    message["Message-ID"] = (
        f"<{email.id}.{int(email.created_at.timestamp() * 1e6)}@{sender.rpartition('@')[2]}>"
    )
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(clean(email.body))
    if email.calendar is not None:
        # As an alternative for programs that offer to answer it, and as a file for those that open it.
        method = {"method": email.calendar_method or "REQUEST"}
        message.add_alternative(email.calendar, subtype="calendar", params=method)
        message.add_attachment(email.calendar, subtype="calendar", filename="invite.ics", params=method)
    return message


def _ascii(address: str) -> str:
    """Return an address with its domain as the mail system spells it."""
    try:
        found = validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        return address  # an address from elsewhere; the mail server judges it
    return found.ascii_email or f"{found.local_part}@{found.ascii_domain}"


def record(session: Session, emails: Sequence[ClaimedEmail], outcomes: Sequence[SendResult]) -> None:
    """Write down what came of a batch; what was not attempted is due immediately."""
    at = database_now(session)
    for outcome in outcomes:
        attempts = outcome.email.attempts + 1
        values: dict[str, object] = {"due_at": None, "attempts": attempts, "error": outcome.error}
        if outcome.error is None:
            values["sent_at"] = at
        elif not outcome.final and attempts <= len(DELAYS):
            values["due_at"] = at + DELAYS[attempts - 1]
        if outcome.email.has_link and values["due_at"] is None:
            values["body"] = NO_LINK
        _change(session, outcome.email, values)
    for email in emails[len(outcomes) :]:
        _change(session, email, {"due_at": at})


def _change(session: Session, email: ClaimedEmail, values: dict[str, object]) -> None:
    session.execute(
        update(Email)
        .where(Email.id == email.id, Email.sent_at.is_(None))
        .values(**values)
        .execution_options(synchronize_session=False)
    )
