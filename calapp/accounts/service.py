"""Users, their passwords, their API keys, and where they are signed in.

Each browser that is signed in is a row, found by its key at every request.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import CursorResult, delete, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from werkzeug.security import check_password_hash, generate_password_hash

from calapp import limits
from calapp.accounts.models import ApiKey, LinkKey, Removal, Scope, UnsavedForm, User, UserSession
from calapp.accounts.usernames import complaint, normal
from calapp.clock import now
from calapp.config import settings
from calapp.db import is_sqlite
from calapp.encryption import hashed, is_same, seal
from calapp.errors import Conflict, Invalid, NotAllowed, NotFound
from calapp.limits import SESSIONS_PER_HOST
from calapp.objects import Objects

if TYPE_CHECKING:  # a worker imports this, and does without schemas
    from calapp.accounts.schemas import Profile, SignUp

LINK_KEYS = 2  # that are valid at a time: the current one, and during a change the previous one

# Called with the session and each new user, in the transaction that makes it. Packages above this one add
# what a newcomer starts with (the weekly hours, say), since this one may not know them.
newcomer_gifts: list[Callable[[Session, User], None]] = []
# Called with the session, a user and the id of a schedule that is to be the default one. For the same reason.
schedule_choosers: list[Callable[[Session, User, int], None]] = []


LOCKED = Objects('SELECT {columns} FROM "user" WHERE id = :id', User, lock="FOR NO KEY UPDATE")
# After which a browser that did not come back is signed out; the cookie's, too.
SESSION_LIFETIME = timedelta(days=31)
# How exactly it is known when a browser was last seen: at most a write an hour.
SEEN_EVERY = timedelta(hours=1)
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


def lock_user(session: Session, user_id: int) -> User:
    """Lock this user's row until the end of the transaction and return it as it is now; raise NotFound.

    Whatever changes a booking or takes an event number does this first. On SQLite the transaction itself
    (BEGIN IMMEDIATE) is the lock.
    """
    found = LOCKED.first(session, id=user_id)
    if found is None:
        raise NotFound
    user: User = found[0]
    return user


def find_user(session: Session, username: str) -> User | None:
    """Return the user of this name, however it is written."""
    return session.scalar(select(User).where(User.username == normal(username)))


def create_user(
    session: Session, *, username: str, password: str, name: str, email: str, time_zone: str
) -> User:
    """Make a user; raise Invalid when the name cannot be used or is taken."""
    username = normal(username)
    if wrong := complaint(username):
        raise Invalid(username=wrong)
    user = User(username=username, name=name, email=email, time_zone=time_zone)
    user.password_hash = generate_password_hash(password)
    user.session_token = secrets.token_urlsafe(32)
    user.calendar_token = secrets.token_urlsafe(32)
    session.add(user)
    try:
        session.flush()  # gives the user its id, and finds out whether the name is free
    except IntegrityError:
        raise Invalid(username="This name is taken. Please choose another.") from None
    for give in newcomer_gifts:
        give(session, user)
    return user


def signup_open(session: Session) -> bool:
    """Return whether somebody may sign up now, by the setting SIGNUP."""
    if settings().signup == "first":
        return not session.scalar(select(func.count()).select_from(User))
    return settings().signup == "open"


def sign_up(session: Session, request: "SignUp") -> User:
    """Make a user who asked for it; raise NotAllowed when nobody may, Invalid for a wrong code or name."""
    if settings().signup == "first" and not is_sqlite(session):
        session.execute(text('LOCK TABLE "user" IN SHARE ROW EXCLUSIVE MODE'))  # two firsts at once
    if not signup_open(session):
        raise NotAllowed("Sign-up is closed on this server.")
    if settings().signup_code and not is_same(settings().signup_code, request.code):
        raise Invalid(code="Wrong code. The server printed the code when it started.")
    return create_user(
        session,
        username=request.username,
        password=request.password,
        name=request.name,
        email=request.email,
        time_zone=request.time_zone,
    )


def password_fits(password_hash: str, password: str) -> bool:
    """Return whether this is the password; none fits a hash of a method that Werkzeug no longer knows."""
    try:
        return check_password_hash(password_hash, password)
    except ValueError:
        return False  # `flask set-password` gives a new one


def authenticate(session: Session, username: str, password: str) -> User:
    """Return the user with this password; raise Invalid, equally slowly when there is none."""
    user = find_user(session, username)
    password_hash = user.password_hash if user else _nobodys_hash()
    if not password_fits(password_hash, password) or user is None:
        raise Invalid("Wrong username or password.")
    if user.closed_at is not None:
        raise Invalid(
            "This account is suspended." if user.removal is None else "This account is being deleted."
        )
    return user


@cache
def _nobodys_hash() -> str:
    return generate_password_hash(secrets.token_urlsafe(32))


def change_password(session: Session, user_id: int, current: str, new: str) -> User:
    """Set a new password and end every session of the old one; raise Invalid when `current` is wrong."""
    user = lock_user(session, user_id)
    if not password_fits(user.password_hash, current):
        raise Invalid(current_password="The current password is wrong.")  # noqa: S106 (a sentence)
    set_password(session, user, new)
    return user


def find_open(session: Session, username: str) -> User | None:
    """Return the host with this username whose account is neither suspended nor being deleted."""
    user = find_user(session, username)
    return user if user is not None and user.closed_at is None else None


def close_account(session: Session, user: User, removal: Removal | None = None) -> None:
    """Let nobody sign in, book or use a key; with `removal` for good: the worker then removes everything."""
    user.closed_at = user.closed_at or now()
    user.removal = user.removal or removal
    end_sessions(session, user)


def delete_account(session: Session, user_id: int, password: str, removal: Removal) -> None:
    """Close an account for good; raise Invalid when the password is wrong."""
    user = lock_user(session, user_id)
    if not password_fits(user.password_hash, password):
        raise Invalid(password="The password is wrong.")  # noqa: S106 (a sentence)
    close_account(session, user, removal)


def reopen_account(user: User) -> None:
    """Take a suspension back; raise Conflict when the account is being deleted."""
    if user.removal is not None:
        raise Conflict("This account is being deleted.")
    user.closed_at = None


def set_password(session: Session, user: User, password: str) -> None:
    """Set a password and end every session that was signed in with the old one."""
    user.password_hash = generate_password_hash(password)
    end_sessions(session, user)


def update_profile(session: Session, user_id: int, profile: "Profile") -> User:
    """Set the name and the time zone; the email address may have to be confirmed (links.py)."""
    user = lock_user(session, user_id)
    user.name, user.time_zone = profile.name, profile.time_zone
    return user


def renew_calendar_token(session: Session, user_id: int) -> str:
    """Give the calendar feed a new address; the old one shows nothing any more."""
    user = lock_user(session, user_id)
    token = user.calendar_token = secrets.token_urlsafe(32)
    return token


def create_api_key(session: Session, user: User, name: str, scopes: Iterable[str]) -> tuple[ApiKey, str]:
    """Make an API key; return it and its text, which is shown once and kept only as a hash.

    Raises LimitReached when the user has as many as one may have.
    """
    lock_user(session, user.id)  # two at once may not both be the last one
    most = settings().api_keys_per_host
    if len(api_keys(session, user.id)) >= most:
        words = f"You have reached the limit of {most:,} API keys. Please revoke one first."
        raise limits.reached("API_KEYS_PER_HOST", host=user.id, words=words, field="name")
    wanted = [Scope(scope) for scope in dict.fromkeys(scopes)]
    plain = "cal_" + secrets.token_urlsafe(32)
    key = ApiKey(user_id=user.id, name=name, key_hash=hashed(plain), hint=plain[:8], scopes=wanted)
    session.add(key)
    session.flush()
    return key, plain


def api_keys(session: Session, user_id: int) -> list[ApiKey]:
    """Return the user's keys that are not revoked, newest first."""
    query = select(ApiKey).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    return list(session.scalars(query.order_by(ApiKey.id.desc())))


def find_api_key(session: Session, plain: str) -> ApiKey | None:
    """Return the key with this text, unless it is revoked."""
    wanted = hashed(plain)
    query = select(ApiKey).join(User, User.id == ApiKey.user_id)
    query = query.where(ApiKey.key_hash == wanted, ApiKey.revoked_at.is_(None), User.closed_at.is_(None))
    found = session.scalar(query)
    return found if found and is_same(found.key_hash, wanted) else None


def revoke_api_key(session: Session, user_id: int, key_id: int) -> ApiKey:
    """End a key; raise NotFound when this user has none with this id."""
    key = session.get(ApiKey, key_id)
    if key is None or key.user_id != user_id or key.revoked_at is not None:
        raise NotFound
    key.revoked_at = now()
    return key


def link_keys(session: Session, user_id: int) -> list[LinkKey]:
    """Return the keys that a host's links may be signed with, the current one first."""
    query = select(LinkKey).where(LinkKey.user_id == user_id)
    return list(session.scalars(query.order_by(LinkKey.id.desc())))


def create_link_key(session: Session, user_id: int) -> tuple[LinkKey, str]:
    """Make a link key; return it and its text. The one before stays valid; raise Conflict when two are."""
    lock_user(session, user_id)
    if len(link_keys(session, user_id)) >= LINK_KEYS:
        raise Conflict("Two link keys are valid already. Please end the previous one first.")
    plain = "lk_" + secrets.token_urlsafe(32)
    key = LinkKey(user_id=user_id, sealed_secret=seal(plain), hint=plain[:8])
    session.add(key)
    session.flush()
    return key, plain


def end_link_key(session: Session, user_id: int, key_id: int) -> None:
    """End a link key: what it has signed is no longer verified; raise NotFound when there is no such key."""
    lock_user(session, user_id)
    key = session.get(LinkKey, key_id)
    if key is None or key.user_id != user_id:
        raise NotFound
    session.delete(key)


def begin_session(session: Session, user: User, user_agent: str) -> None:
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


def find_session(session: Session, login_id: str) -> tuple[User, UserSession | None] | None:
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
    if (
        row is None
        or not is_same(row[1].token_hash, hashed(token))
        or row[1].last_seen_at < now() - SESSION_LIFETIME
    ):
        return None
    return row[0], row[1]


def end_session(session: Session, login_id: str) -> None:
    """End the session of a cookie: a copy of the cookie is worth nothing from now on.

    One from before there were rows ends together with all others of its kind, since they are all alike.
    """
    found = find_session(session, login_id)
    if found is None:
        return
    user, row = found
    if row is None:
        user.session_token = secrets.token_urlsafe(32)
    else:
        session.delete(row)


def end_one_session(session: Session, user_id: int, session_id: int) -> None:
    """End one session of a user; nothing happens when there is none with this id."""
    _delete_sessions(session, UserSession.user_id == user_id, UserSession.id == session_id)


def end_sessions(session: Session, user: User) -> None:
    """End every session of a user."""
    user.session_token = secrets.token_urlsafe(32)
    _delete_sessions(session, UserSession.user_id == user.id)


def sessions_of(session: Session, user_id: int) -> Sequence[UserSession]:
    """Return where a user is signed in, seen last first."""
    query = select(UserSession).where(
        UserSession.user_id == user_id, UserSession.last_seen_at >= now() - SESSION_LIFETIME
    )
    return session.scalars(query.order_by(UserSession.last_seen_at.desc(), UserSession.id.desc())).all()


def remove_expired_sessions(session: Session) -> int:
    """Remove a step of sessions that are too old to count; return how many."""
    old = select(UserSession.id).where(UserSession.last_seen_at < now() - SESSION_LIFETIME).limit(STEP)
    return _delete_sessions(session, UserSession.id.in_(session.scalars(old).all()))


def remove_expired_forms(session: Session) -> int:
    """Remove a step of kept forms whose time is over; return how many."""
    ids = session.scalars(select(UnsavedForm.id).where(UnsavedForm.expires_at <= now()).limit(STEP)).all()
    session.execute(delete(UnsavedForm).where(UnsavedForm.id.in_(ids)))
    return len(ids)


def session_id_in(login_id: str) -> int | None:
    """Return the id of the session that a cookie names."""
    given = LOGIN_ID.fullmatch(login_id)
    return int(given[2]) if given is not None and given[2] else None


def browser_of(user_agent: str) -> str:
    """Return a browser's name as people know it, such as `Firefox on Linux`, from its User-Agent header."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), "Unknown browser")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return f"{browser} on {system}" if system else browser


def _delete_sessions(session: Session, *where: object) -> int:
    statement = delete(UserSession).where(*where)  # type: ignore[arg-type]
    result = session.execute(statement, execution_options={"synchronize_session": "fetch"})
    return result.rowcount if isinstance(result, CursorResult) else 0
