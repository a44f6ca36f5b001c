"""Where hosts are signed in: each browser is a row, found by its key at every request."""

import re
import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.orm import Session

from calapp.accounts.models import User, UserSession
from calapp.clock import now
from calapp.encryption import hashed, is_same
from calapp.limits import SESSIONS_PER_HOST

LIFETIME = timedelta(days=31)  # after which a browser that did not come back is signed out; the cookie's, too
SEEN_EVERY = timedelta(
    hours=1
)  # how exactly it is known when a browser was last seen: at most a write an hour
LOGIN_ID = re.compile(r"(\d{1,18})\.(?:(\d{1,18})\.)?([\w-]{1,100})", re.ASCII)
STEP = 1000  # rows that one step of maintenance removes

# In this order, since each browser's header names those that come after it.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def begin(session: Session, user: User, user_agent: str) -> None:
    """Begin a session of a user; `user.get_id()` then gives what its cookie has to hold.

    When the host has more than SESSIONS_PER_HOST, those that were not seen for longest end.
    """
    token = secrets.token_urlsafe(32)
    begun = UserSession(user_id=user.id, token_hash=hashed(token), browser=browser_of(user_agent))
    session.add(begun)
    session.flush()
    user.login_id = f"{user.id}.{begun.id}.{token}"
    kept = select(UserSession.id).where(UserSession.user_id == user.id)
    kept = kept.order_by(UserSession.last_seen_at.desc(), UserSession.id.desc()).limit(SESSIONS_PER_HOST)
    session.execute(
        delete(UserSession).where(UserSession.user_id == user.id, UserSession.id.not_in(kept)),
        execution_options={"synchronize_session": False},
    )


def find(session: Session, login_id: str) -> tuple[User, UserSession | None] | None:
    """Return the user and the session of a cookie; None when it was ended or is too old.

    The session is None for a cookie from before there were rows, which holds the user's `session_token`.
    """
    given = LOGIN_ID.fullmatch(login_id)
    if given is None:
        return None
    user_id, session_id, token = given.groups()
    if session_id is None:
        user = session.get(User, int(user_id))
        good = user is not None and user.closed_at is None and is_same(user.session_token, token)
        return (user, None) if user is not None and good else None
    query = select(User, UserSession).join(UserSession, UserSession.user_id == User.id)
    row = session.execute(
        query.where(UserSession.id == int(session_id), User.id == int(user_id), User.closed_at.is_(None))
    ).first()
    if row is None or not is_same(row[1].token_hash, hashed(token)) or row[1].last_seen_at < now() - LIFETIME:
        return None
    return row[0], row[1]


def end(session: Session, login_id: str) -> None:
    """End the session of a cookie: a copy of the cookie is worth nothing from now on.

    One from before there were rows ends together with all others of its kind, since they are all alike.
    """
    found = find(session, login_id)
    if found is None:
        return
    user, row = found
    if row is None:
        user.session_token = secrets.token_urlsafe(32)
    else:
        session.delete(row)


def end_one(session: Session, user_id: int, session_id: int) -> None:
    """End one session of a user; nothing happens when there is none with this id."""
    _delete(session, UserSession.user_id == user_id, UserSession.id == session_id)


def end_all(session: Session, user: User) -> None:
    """End every session of a user."""
    user.session_token = secrets.token_urlsafe(32)
    _delete(session, UserSession.user_id == user.id)


def of_user(session: Session, user_id: int) -> Sequence[UserSession]:
    """Return where a user is signed in, seen last first."""
    query = select(UserSession).where(
        UserSession.user_id == user_id, UserSession.last_seen_at >= now() - LIFETIME
    )
    return session.scalars(query.order_by(UserSession.last_seen_at.desc(), UserSession.id.desc())).all()


def remove_expired(session: Session) -> int:
    """Remove a step of sessions that are too old to count; return how many."""
    old = select(UserSession.id).where(UserSession.last_seen_at < now() - LIFETIME).limit(STEP)
    return _delete(session, UserSession.id.in_(session.scalars(old).all()))


def id_in(login_id: str) -> int | None:
    """Return the id of the session that a cookie names."""
    given = LOGIN_ID.fullmatch(login_id)
    return int(given[2]) if given is not None and given[2] else None


def browser_of(user_agent: str) -> str:
    """Return a browser's name as people know it, such as `Firefox on Linux`, from its User-Agent header."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "Unknown browser")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return f"{browser} on {system}" if system else browser


def _delete(session: Session, *where: object) -> int:
    statement = delete(UserSession).where(*where)  # type: ignore[arg-type]
    result = session.execute(statement, execution_options={"synchronize_session": "fetch"})
    return result.rowcount if isinstance(result, CursorResult) else 0
