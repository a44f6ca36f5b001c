"""Links sent by email: one sets a new password, another confirms an email address. Each works once."""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import bindparam, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from calapp import limits, mail
from calapp.accounts.models import AccountLink, LinkPurpose, User
from calapp.accounts.service import lock_user, set_password
from calapp.accounts.usernames import normal
from calapp.broker import wake_maintenance
from calapp.clock import now
from calapp.config import settings
from calapp.db import after_commit, database_now
from calapp.encryption import hashed
from calapp.errors import Gone
from calapp.mail import Email, post

LIFETIMES = {LinkPurpose.PASSWORD: timedelta(hours=1), LinkPurpose.EMAIL: timedelta(days=3)}
PATHS = {LinkPurpose.PASSWORD: "reset-password", LinkPurpose.EMAIL: "settings/email"}
STEP = 20  # requests that one transaction answers
MOST_ACCOUNTS = 5  # that share an email address and get a link each
HOUR = timedelta(hours=1)
OVER = "This link has expired or was already used."

SUBJECTS = {
    LinkPurpose.PASSWORD: "Set a new password for Calapp",
    LinkPurpose.EMAIL: "Confirm your email address for Calapp",
}
BODIES = {
    LinkPurpose.PASSWORD: (
        "Somebody, most likely you, asked for a new password for the user {username} at {base}.\n\n"
        "Set a new password: {link}\n\n"
        "The link works once, within one hour. If you did not ask for it, you can ignore this email: your "
        "password stays as it is.\n"
    ),
    LinkPurpose.EMAIL: (
        "The user {username} at {base} uses this email address.\n\n"
        "Confirm that it is yours: {link}\n\n"
        "The link works once, within three days. If you did not sign up, you can ignore this email.\n"
    ),
}


def ask_for_password(session: Session, typed: str) -> None:
    """Store that somebody asked for a link to a new password; the maintenance process answers it.

    So the page takes as long for a name that nobody has, and says the same.
    """
    expires_at = now() + LIFETIMES[LinkPurpose.PASSWORD]
    session.add(AccountLink(purpose=LinkPurpose.PASSWORD, typed=typed[:254], expires_at=expires_at))
    after_commit(session, "wake maintenance", wake_maintenance)


def answer_requests(session: Session) -> int:
    """Answer a step of requests, the oldest first; return how many it was."""
    waiting = select(AccountLink).where(AccountLink.typed.is_not(None)).order_by(AccountLink.id).limit(STEP)
    requests = session.scalars(waiting.with_for_update(skip_locked=True)).all()
    for request in requests:
        for user in _named(session, request.typed or ""):
            if request.expires_at > now():
                send_link(session, user, LinkPurpose.PASSWORD, user.email)
        session.delete(request)
    return len(requests)


def _named(session: Session, typed: str) -> Sequence[User]:
    """Return the users with this name or email address; letters in either case are the same."""
    likely = or_(User.username == normal(typed), func.lower(User.email) == typed.lower())
    users = session.scalars(select(User).where(likely).order_by(User.id).limit(MOST_ACCOUNTS)).all()
    return [one for one in users if normal(typed) == one.username or typed.casefold() == one.email.casefold()]


def send_link(session: Session, user: User, purpose: LinkPurpose, address: str) -> bool:
    """Send a user a link; return whether one was sent, since only so many are in an hour.

    The links of before stay: who asks for one too many finds them in the mailbox.
    """
    lock_user(session, user.id)  # two at once may not both be the last one
    recent = (AccountLink.user_id == user.id, AccountLink.purpose == purpose)
    sent = select(func.count(AccountLink.id)).where(*recent, AccountLink.created_at > now() - HOUR)
    if not settings().smtp_url or (session.scalar(sent) or 0) >= limits.LINKS_PER_HOUR:
        return False
    token = secrets.token_urlsafe(32)
    link = AccountLink(user_id=user.id, purpose=purpose, email=address, token_hash=hashed(token))
    link.expires_at = now() + LIFETIMES[purpose]
    session.add(link)
    base = settings().base_url
    values = {"username": user.username, "base": base, "link": f"{base}/{PATHS[purpose]}/{token}"}
    body = BODIES[purpose].format_map(values)
    email = Email(user_id=user.id, recipient=address, subject=SUBJECTS[purpose], body=body, has_link=True)
    post(session, [email])
    return True


def find_link(session: Session, purpose: LinkPurpose, token: str) -> tuple[AccountLink, User]:
    """Return a link and whose it is; raise Gone for one that has expired, was used, or never was."""
    query = select(AccountLink, User).join(User, User.id == AccountLink.user_id)
    query = query.where(AccountLink.token_hash == hashed(token), AccountLink.purpose == purpose)
    found = session.execute(query).first()
    if found is None or found[0].expires_at <= now():
        raise Gone(OVER)
    return found[0], found[1]


def use_password_link(session: Session, token: str, password: str) -> User:
    """Set a new password by a link, and end every session and every other such link; raise Gone."""
    _, user = find_link(session, LinkPurpose.PASSWORD, token)
    user = lock_user(session, user.id)
    link, _ = find_link(session, LinkPurpose.PASSWORD, token)  # of two at once the first has used it
    set_password(session, user, password)
    if link.email == user.email:
        _confirmed(session, user)  # who has read the email has the address
    _end(session, user, LinkPurpose.PASSWORD)
    return user


def use_email_link(session: Session, token: str) -> User:
    """Confirm an email address by a link; raise Gone when it is over, or the address was changed since."""
    _, user = find_link(session, LinkPurpose.EMAIL, token)
    user = lock_user(session, user.id)
    link, _ = find_link(session, LinkPurpose.EMAIL, token)
    if link.email is None or link.email not in {user.pending_email, user.email}:
        raise Gone(OVER)
    if link.email == user.pending_email:
        user.email, user.pending_email = link.email, None
        _end(session, user, LinkPurpose.PASSWORD)  # those are in another mailbox
    _confirmed(session, user)
    _end(session, user, LinkPurpose.EMAIL)
    return user


def _confirmed(session: Session, user: User) -> None:
    if user.unconfirmed_since is not None:
        user.unconfirmed_since = None
        mail.release_held(session, user.id)


def _end(session: Session, user: User, purpose: LinkPurpose) -> None:
    mine = (AccountLink.user_id == user.id, AccountLink.purpose == purpose)
    session.execute(delete(AccountLink).where(*mine))


def begin(session: Session, user: User) -> None:
    """Ask a new user to confirm the email address; without SMTP_URL it counts as confirmed."""
    if settings().smtp_url:
        user.unconfirmed_since = database_now(session)
        send_link(session, user, LinkPurpose.EMAIL, user.email)


def change_email(session: Session, user: User, address: str) -> bool:
    """Set a user's email address, or with SMTP_URL ask for its confirmation; return whether it is asked for.

    Until then emails go to the previous address; there is none for who has not confirmed any.
    """
    if address.casefold() == user.email.casefold():
        user.email = address
        return False
    if not settings().smtp_url:
        user.email, user.pending_email, user.unconfirmed_since = address, None, None
        return False
    if user.unconfirmed_since is not None:
        user.email = address
    else:
        user.pending_email = address
    send_link(session, user, LinkPurpose.EMAIL, address)
    return True


def keep_email(session: Session, user_id: int) -> None:
    """Forget an address that waits for its confirmation; its links lead nowhere any more."""
    lock_user(session, user_id).pending_email = None


def send_again(session: Session, user_id: int) -> bool:
    """Send the link that confirms a user's address once more; return whether it was sent."""
    user = lock_user(session, user_id)
    address = user.email if user.unconfirmed_since is not None else user.pending_email
    return address is not None and send_link(session, user, LinkPurpose.EMAIL, address)


def remove_expired(session: Session) -> int:
    """Remove a step of links and requests that lead nowhere any more; return how many."""
    old = AccountLink.expires_at <= now() - HOUR  # those of the last hour are counted
    found = session.scalars(select(AccountLink.id).where(old).limit(1000)).all()
    session.execute(delete(AccountLink).where(AccountLink.id.in_(found)))
    return len(found)


UNCONFIRMED = select(exists().where(User.id == bindparam("id"), User.unconfirmed_since.is_not(None)))
mail.holds.append(lambda session, user_id: bool(session.scalar(UNCONFIRMED, {"id": user_id})))
