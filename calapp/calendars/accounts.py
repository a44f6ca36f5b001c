"""A host's accounts on CalDAV servers: signed in to once, with calendars of which the host chooses some."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from calapp import limits
from calapp.accounts.guards import current_host
from calapp.accounts.models import User
from calapp.accounts.service import lock_user
from calapp.addresses import key_of, parsed
from calapp.calendars import service
from calapp.calendars.caldav import discover, typed_address
from calapp.calendars.fetch import Source, Unreadable
from calapp.calendars.models import (
    CalendarAccount,
    CalendarCopy,
    CalendarKind,
    CopyState,
    Credentials,
    ExternalCalendar,
)
from calapp.calendars.reading import ReadOutcome, read
from calapp.calendars.schemas import CalendarInput
from calapp.db import database_now, db
from calapp.encryption import hashed
from calapp.errors import Busy, Conflict, Invalid, NotFound
from calapp.rest.schemas import RequestSchema, cleaned, from_form, said
from calapp.text import line

ADDRESS_LENGTH = 500  # characters of a server's address, percent-encoded
NAME_LENGTH = 16  # characters of what a form calls a calendar


def _server(text: str) -> str:
    """Return the URL that was meant; raise ValueError, as pydantic wants it."""
    try:
        url = typed_address(text)
    except Invalid as error:
        raise ValueError(error.message.removesuffix(" Use a custom header instead.")) from None
    except Unreadable as error:
        raise ValueError(error.words) from None
    if len(url) > ADDRESS_LENGTH:
        raise ValueError(f"Please enter an address of at most {ADDRESS_LENGTH} characters.")
    return url


class AccountInput(RequestSchema):
    """How to sign in to a CalDAV server, as typed; the password stays as it is."""

    verbatim: ClassVar[frozenset[str]] = frozenset({"password"})

    address: Annotated[str, Field(max_length=2000), AfterValidator(_server)]
    username: Annotated[
        str,
        cleaned(line),
        Field(min_length=1, max_length=254, pattern=r"^[^:]+$"),
        said("Please enter the username, at most 254 characters without a colon."),
    ]
    password: Annotated[
        str,
        Field(min_length=1, max_length=500),
        said("Please enter the password, at most 500 characters."),
    ]


@dataclass(frozen=True)
class AccountCalendar:
    """A calendar that an account was found to have, and what it is used for; `key` names it in a form."""

    key: str
    url: str
    name: str
    color: str
    writable: bool
    blocks: bool
    writes: bool


@dataclass(frozen=True)
class Choice:
    """What a host wants of an account's calendars, by their keys."""

    blocks: frozenset[str]
    writes: str


@dataclass(frozen=True)
class ShownAccount:
    """An account as its row shows it; `waiting` copies of bookings are late, for the reason `error`."""

    row: CalendarAccount
    place: str
    names: Sequence[str]  # of the calendars that are used
    written: str | None  # the name of that which bookings are written to
    waiting: int
    error: str | None


def own_account(account_id: int) -> CalendarAccount:
    """Return the account with this id of the host who asks; raise NotFound for any other."""
    found = db.session().get(CalendarAccount, account_id)
    if found is None or found.user_id != current_host().id:
        raise NotFound
    return found


def shown_accounts(session: Session, user_id: int) -> list[ShownAccount]:
    """Return a host's accounts, the oldest first."""
    accounts = session.scalars(
        select(CalendarAccount).where(CalendarAccount.user_id == user_id).order_by(CalendarAccount.id)
    ).all()
    if not accounts:
        return []
    rows = [one for one in service.of_host(session, user_id) if one.account_id is not None]
    late: dict[int, tuple[int, str | None]] = {
        calendar_id: (count, error)
        for calendar_id, count, error in session.execute(
            select(CalendarCopy.calendar_id, func.count(), func.max(CalendarCopy.error))
            .where(CalendarCopy.calendar_id.in_([one.id for one in rows]), CalendarCopy.error.is_not(None))
            .where(CalendarCopy.state.in_((CopyState.WAITING, CopyState.FAILED)))
            .group_by(CalendarCopy.calendar_id)
        )
    }
    shown = []
    for account in accounts:
        mine = [one for one in rows if one.account_id == account.id]
        counts = [late[one.id] for one in mine if one.id in late]
        shown.append(
            ShownAccount(
                row=account,
                place=parsed(account.address).host,
                names=[one.name for one in mine],
                written=next((one.name for one in mine if one.writes), None),
                waiting=sum(count for count, _ in counts),
                error=counts[0][1] if counts else None,
            )
        )
    return shown


def checked_account(form: Mapping[str, str], saved: CalendarAccount | None = None) -> AccountInput:
    """Return what a form says; raise Invalid naming each bad field.

    Of a saved account only the password is typed.
    """
    data = {name: form.get(name, "") for name in ("address", "username", "password")}
    if saved is not None:
        data |= {"address": saved.address, "username": saved.username}
    return from_form(AccountInput, data)


def found_calendars(user_id: int, wanted: AccountInput) -> list[dict[str, Any]]:
    """Sign in and return the calendars as they are kept, while a person waits; raise Unreadable, Busy.

    No transaction may be open.
    """
    with service.places.taken(user_id) as free:
        if not free:
            raise Busy("Several calendars are being read. Please try again in a moment.")
        found = discover(wanted.address, Credentials(wanted.username, wanted.password))
    return [
        {name: value for name, value in asdict(one).items() if name != "version"}
        for one in found
        if len(one.url) <= 2000
    ]


def refuse_another(session: Session, user_id: int, wanted: AccountInput) -> None:
    """Raise Conflict when a host has this account already, LimitReached for one too many."""
    mine = session.scalars(select(CalendarAccount).where(CalendarAccount.user_id == user_id)).all()
    if any((one.address, one.username) == (wanted.address, wanted.username) for one in mine):
        words = "You have added this account already."
        raise Conflict(words, address=words)
    if len(mine) >= limits.CALENDAR_ACCOUNTS_PER_HOST:
        words = f"You have {len(mine)} accounts, which is the limit. Please remove one first."
        raise limits.reached("CALENDAR_ACCOUNTS_PER_HOST", host=user_id, words=words, field="address")


def create(
    session: Session, user_id: int, wanted: AccountInput, found: Sequence[Mapping[str, Any]]
) -> CalendarAccount:
    """Save an account that could be signed in to; raise Conflict, LimitReached."""
    lock_user(session, user_id)
    refuse_another(session, user_id, wanted)
    account = CalendarAccount(user_id=user_id, address=wanted.address, username=wanted.username)
    account.set_password(wanted.password)
    account.found = [dict(one) for one in found]
    session.add(account)
    session.flush()
    return account


def change_password(
    session: Session, account: CalendarAccount, password: str, found: Sequence[Mapping[str, Any]]
) -> None:
    """Keep a password that fits, and have the account's calendars read with it."""
    account.set_password(password)
    account.found = [dict(one) for one in found]
    for calendar in _calendars_of(session, account):
        service.read_soon(session, calendar)


def remove(session: Session, account: CalendarAccount) -> None:
    """Remove an account with its calendars; what was written to them stays there."""
    lock_user(session, account.user_id)
    for calendar in _calendars_of(session, account):
        service.remove(session, calendar)
    session.flush()
    session.delete(account)


def _calendars_of(session: Session, account: CalendarAccount) -> Sequence[ExternalCalendar]:
    return session.scalars(select(ExternalCalendar).where(ExternalCalendar.account_id == account.id)).all()


def calendars_of(session: Session, account: CalendarAccount) -> list[AccountCalendar]:
    """Return what an account was found to have, with what each is used for."""
    used = {one.address_hash: one for one in _calendars_of(session, account)}
    shown = []
    for one in account.found:
        full = hashed(key_of(one["url"]))
        row = used.get(full)
        shown.append(
            AccountCalendar(
                key=full[:NAME_LENGTH],
                blocks=row is not None and row.blocks,
                writes=row is not None and row.writes,
                **one,
            )
        )
    return shown


def first_readings(
    user: User, account: CalendarAccount, wanted: Collection[AccountCalendar]
) -> dict[str, ReadOutcome]:
    """Read calendars that are to block, while a person waits; return what came of each, by its key.

    Raises Unreadable with the name of the one that cannot be read, and Busy. No transaction may be open.
    """
    session = db.session()
    first, last = service.range_of(session, user.id)
    viewer, credentials, user_id = service.viewer_of(session, user), account.credentials, user.id
    session.rollback()  # nothing may stay open while the network is awaited
    readings: dict[str, ReadOutcome] = {}
    with service.places.taken(user_id) as free:
        if not free:
            raise Busy("Several calendars are being read. Please try again in a moment.")
        for one in wanted:
            try:
                readings[one.key] = read(
                    Source(CalendarKind.CALDAV, one.url, credentials, first, last), viewer
                )
            except Unreadable as error:
                raise Unreadable(error.code, f"“{one.name}”: {error.words}") from None
    return readings


def choose(
    session: Session, account: CalendarAccount, choice: Choice, readings: Mapping[str, ReadOutcome]
) -> ExternalCalendar | None:
    """Use an account's calendars as chosen; return the one that bookings are now written to, if it is new.

    `readings` are of those that are to block and did not. One that is used for nothing goes, unless bookings
    were written to it: those are still moved and removed there. Raises Conflict, LimitReached.
    """
    lock_user(session, account.user_id)
    target: ExternalCalendar | None = None
    for one in calendars_of(session, account):
        writes = one.writable and choice.writes == one.key
        row = _used(
            session, account, one, readings.get(one.key), blocks=one.key in choice.blocks, writes=writes
        )
        if row is None:
            continue
        if writes and not row.writes:
            target = row
        row.writes = writes
        copies = select(CalendarCopy.id).where(CalendarCopy.calendar_id == row.id).limit(1)
        if not row.blocks and not writes and session.scalar(copies) is None:
            service.remove(session, row)
    if target is not None:
        others = update(ExternalCalendar).where(
            ExternalCalendar.user_id == account.user_id, ExternalCalendar.id != target.id
        )
        session.execute(others.values(writes=False))
    session.flush()
    for follow in service.after_change:
        follow(session, account.user_id)
    return target


def _used(
    session: Session,
    account: CalendarAccount,
    one: AccountCalendar,
    outcome: ReadOutcome | None,
    *,
    blocks: bool,
    writes: bool,
) -> ExternalCalendar | None:
    """Return the row of a calendar with what was read of it; None when there is none and need be none."""
    query = select(ExternalCalendar).where(
        ExternalCalendar.account_id == account.id, ExternalCalendar.address_hash == hashed(key_of(one.url))
    )
    row = session.scalar(query)
    if row is None and not (blocks or writes):
        return None
    if row is None:
        service.refuse_another(session, account.user_id, one.url)
        row = ExternalCalendar(user_id=account.user_id, kind=CalendarKind.CALDAV, account=account)
        service.apply(row, CalendarInput().model_copy(update={"address": one.url, "name": one.name}))
        session.add(row)
    row.blocks = blocks
    session.flush()
    if outcome is not None:
        row.attempted_at = database_now(session)  # who is reading it now stores nothing
        service.store(session, row, outcome)
    return row
